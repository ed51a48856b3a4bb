"""A sheet of training images beside their views, with the classes drawn over them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from graft.data.images.codec import overlay
from graft.data.images.stacks import channels_shown, composite
from graft.data.resize import resize_image, resize_mask
from graft.data.shards import Row
from graft.data.views.view import Recipe, label_of
from graft.foundation.class_map import IGNORE_INDEX, RGB, ClassMap, ignored_target

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

NUM_SAMPLES = 5
NUM_VIEWS_SHOWN = 4
CELL_WIDTH_PX = 288
MARGIN_PX, GAP_PX, PAIR_GAP_PX = 28, 10, 3
INK, FAINT, PAPER, VOID = (28, 32, 38), (112, 118, 126), (255, 255, 255), (70, 70, 70)


@dataclass(frozen=True)
class Cell:
    """One picture of the sheet: an image and, for segmentation, its mask; a caption below."""

    image: np.ndarray
    mask: np.ndarray | None
    caption: str


def preview(recipe: Recipe, rows: Sequence[Row], class_map: ClassMap, stats: dict[str, Any]) -> Image.Image:
    """Draws the sheet: a line for each row; columns are the image and its first views; below, the classes.

    Args:
        recipe: Recipe of the views.
        rows: The rows to show.
        class_map: Names and colours; where it says `synthetic`, so does the sheet.
        stats: As `graft.data.augmented.statistics.statistics` gives them, for the shares beside the names.

    Returns:
        The sheet, RGB; the same arguments give the same pixels.
    """
    lines = [cells(recipe, row, class_map) for row in rows]
    num_columns = len(lines[0])
    cell_height = max(_fitted_height(cell.image) for line in lines for cell in line)
    shown = 2 if recipe.task == "segmentation" else 1
    line_height = shown * cell_height + (shown - 1) * PAIR_GAP_PX + 24
    width = 2 * MARGIN_PX + num_columns * CELL_WIDTH_PX + (num_columns - 1) * GAP_PX
    legend = _legend_rows(width, class_map)
    height = 112 + len(lines) * (line_height + GAP_PX) + 34 * len(legend) + 2 * MARGIN_PX
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _title(draw, recipe, class_map, num_columns)
    for number, line in enumerate(lines):
        for column, cell in enumerate(line):
            corner = (MARGIN_PX + column * (CELL_WIDTH_PX + GAP_PX), 112 + number * (line_height + GAP_PX))
            _paint(sheet, corner, cell, cell_height, class_map)
    _legend(draw, height - 34 * len(legend) - MARGIN_PX, legend, class_map, stats)
    return sheet


def cells(recipe: Recipe, row: Row, class_map: ClassMap) -> list[Cell]:
    """The image of a row, then its first views."""
    image, mask = recipe.prepared(row)
    name = _told(label_of(row, recipe.task), class_map) if mask is None else None
    told = row.id if recipe.task == "multilabel" or not name else f"{row.id} · {name}"
    first = Cell(composite(image, recipe.channels), mask, _ending(told, 46))
    shown = range(min(recipe.num_views, NUM_VIEWS_SHOWN))
    views = [recipe.view(row.id, image, mask, k) for k in shown]
    return [first, *(Cell(composite(view, recipe.channels), target, name or "") for view, target in views)]


def _told(label: int | np.ndarray, class_map: ClassMap) -> str:
    """The label of an image by name, or all of its labels."""
    if isinstance(label, int):
        return class_map.names[label]
    return _beginning(", ".join(class_map.names[number] for number in np.flatnonzero(label)) or "no label", 46)


def keep_shown(rows: Iterable[Row], num_rows: int, kept: list[Row]) -> Iterator[Row]:
    """Passes rows on, keeping those that the sheet shows: a few, spread evenly over the training split."""
    shown = set(np.linspace(0, num_rows - 1, min(NUM_SAMPLES, num_rows)).round().astype(int).tolist())
    for number, row in enumerate(rows):
        if number in shown:
            kept.append(row)
        yield row


def font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib carries: the same glyphs on every machine, far beyond Latin."""
    spec = cast("ModuleSpec", importlib.util.find_spec("matplotlib"))
    folder = Path(cast(str, spec.origin)).parent / "mpl-data/fonts/ttf"
    return ImageFont.truetype(str(folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf"), size_px)


def _title(draw: ImageDraw.ImageDraw, recipe: Recipe, class_map: ClassMap, num_columns: int) -> None:
    draw.text((MARGIN_PX, 24), "What the model trains on", INK, font(26, bold=True))
    kind = "synthetic images · " if class_map.synthetic else ""
    if class_map.channels != RGB:
        kind += f"{', '.join(channels_shown(class_map.channels))} of {len(class_map.channels)} channels · "
    draw.text((MARGIN_PX, 60), _beginning(kind + _about(recipe.policy), num_columns * 42), FAINT, font(14))
    for column in range(num_columns):
        left = MARGIN_PX + column * (CELL_WIDTH_PX + GAP_PX)
        draw.text((left, 88), "image" if column == 0 else f"view {column - 1}", INK, font(15, bold=True))


def _about(policy: dict[str, Any]) -> str:
    if "parts" in policy:
        return f"policy {policy['name']}: {' + '.join(part['name'] for part in policy['parts'])}"
    options = ", ".join(f"{key} {value}" for key, value in policy.items() if key != "name")
    return f"policy {policy['name']}" + (f" ({options})" if options else "")


def _paint(sheet: Image.Image, corner: tuple[int, int], cell: Cell, height: int, class_map: ClassMap) -> None:
    size = (_fitted_height(cell.image), min(CELL_WIDTH_PX, round(cell.image.shape[1] * height / cell.image.shape[0])))
    size = (height, size[1]) if size[1] < CELL_WIDTH_PX else size
    image = resize_image(cell.image, size)
    sheet.paste(Image.fromarray(image), corner)
    bottom = corner[1] + size[0]
    if cell.mask is not None:
        mask = resize_mask(cell.mask, size)
        drawn = overlay(image, mask, class_map.colors, alpha=0.6).copy()
        drawn[(mask == IGNORE_INDEX) & _stripes(*size)] = VOID
        sheet.paste(Image.fromarray(drawn), (corner[0], bottom + PAIR_GAP_PX))
        bottom += PAIR_GAP_PX + size[0]
    ImageDraw.Draw(sheet).text((corner[0], bottom + 3), cell.caption, FAINT, font(11))


def _stripes(height: int, width: int) -> np.ndarray:
    return (np.arange(height)[:, None] + np.arange(width)) % 8 < 2


def _fitted_height(image: np.ndarray) -> int:
    return min(round(image.shape[0] * CELL_WIDTH_PX / image.shape[1]), CELL_WIDTH_PX)


def _legend_rows(width: int, class_map: ClassMap) -> list[list[int]]:
    a_row = max((width - 2 * MARGIN_PX) // 250, 1)
    entries = [*range(class_map.num_classes), *([IGNORE_INDEX] if class_map.task == "segmentation" else [])]
    return [entries[start : start + a_row] for start in range(0, len(entries), a_row)]


def _legend(
    draw: ImageDraw.ImageDraw, top: int, rows: list[list[int]], class_map: ClassMap, stats: dict[str, Any]
) -> None:
    before, after = (_shares(stats, when) for when in ("before", "after"))
    ignored = ignored_target(class_map.num_classes)
    for number, row in enumerate(rows):
        for column, k in enumerate(row):
            x, y = MARGIN_PX + column * 250, top + 34 * number
            name = "ignored" if k == ignored else class_map.names[k]
            draw.rectangle((x, y + 2, x + 20, y + 22), VOID if k == ignored else class_map.colors[k], FAINT)
            draw.text((x + 28, y), _beginning(name, 24), INK, font(13, bold=True))
            draw.text((x + 28, y + 15), f"{before[k]:.1%} of images, {after[k]:.1%} of views", FAINT, font(10))


def _shares(stats: dict[str, Any], when: str) -> dict[int, float]:
    pixels = stats[f"class_pixels_{when}"]
    counted = {**dict(enumerate(pixels)), ignored_target(len(pixels)): stats[f"void_{when}"]}
    has_labels = stats["task"] == "multilabel"
    num_counted = stats["num_images"] * (1 if when == "before" else stats["num_views_counted"])
    total = max(num_counted if has_labels else sum(counted.values()), 1)
    return {k: pixels / total for k, pixels in counted.items()}


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _ending(text: str, most: int) -> str:
    return text if len(text) <= most else f"…{text[1 - most :]}"
