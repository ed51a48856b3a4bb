"""The images most worth labelling, chosen among many and handed to a labelling tool with what a model proposes."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graft.data.formats.translation import VOID
from graft.data.images.codec import decode_image
from graft.data.shards import num_rows, read_rows
from graft.deployment.image_paths import MAX_IMAGE_PIXELS
from graft.deployment.labelling import MASKS, POLYGONS, TOOLS, Tool
from graft.deployment.labelling.handover import IMAGES, DrawnImage, Handover, drawn_classes, name_of
from graft.deployment.labelling.outlines import SMALLEST_PX, TOLERANCE_PX, outlines_of, paint
from graft.deployment.labelling.regions import regions_of
from graft.deployment.labelling.sheet import SheetImage, write_sheet
from graft.deployment.labelling.unlabelled import (
    PredictFeatures,
    Unlabelled,
    find_unlabelled,
    look_at,
)
from graft.deployment.labelling.worth import Pick, choose
from graft.evaluation.report.examples import show
from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_seed
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress

SHEET, REASONS = "sheet.html", "reasons.csv"
MOST_LABELLED = 1000  # that distances are measured to; embedding one costs as much as predicting one


@dataclass(frozen=True)
class LabelledImages:
    """Images that have labels: names, and embeddings float32 [M, D]."""

    names: Sequence[str]
    features: np.ndarray


@dataclass(frozen=True)
class NextLabels:
    """The images that were chosen and handed over.

    Attributes:
        out: Folder that holds them.
        num: Number of them.
        num_asked: Number that was asked for.
        among: Images they were chosen among.
        num_labelled: Number of labelled images that they were compared with.
        handover: The way to the tool and back.
        num_moved: Number of pixels that come back as another class where nobody corrects a polygon.
        num_pixels: Number of pixels of the chosen images.
    """

    out: Path
    num: int
    num_asked: int
    among: Unlabelled
    num_labelled: int
    handover: Handover
    num_moved: int = 0
    num_pixels: int = 0

    def __str__(self) -> str:
        compared = f"far from {self.num_labelled} labelled images and" if self.num_labelled else "far"
        chosen = f"{self.num} of {len(self.among.files)} images, those the model is least sure of, {compared} "
        lines = [f"{chosen}from each other: {self.out / IMAGES}, shown in {self.out / SHEET}, reasons in {REASONS}"]
        if self.num < self.num_asked:
            lines.append(f"{self.num_asked} were asked for: all others are near duplicates of these, or cannot be read")
        if self.num_moved:
            lines.append(
                f"the polygons give {self.num_moved:,} of {self.num_pixels:,} pixels another class than was predicted: "
                f"edges are drawn to {TOLERANCE_PX} px, and specks of fewer than {SMALLEST_PX} px left out "
                f"(--shapes {MASKS} keeps every pixel)"
            )
        return "\n".join([*lines, *filter(None, [self.among.left_out()])])


def label_next(
    num: int,
    paths: Sequence[str],
    see: PredictFeatures,
    classes: ClassMap,
    out: Path,
    *,
    tool: str | None = None,
    shapes: str = POLYGONS,
    known: Collection[str] = (),
    labelled: Path | None = None,
) -> NextLabels:
    """Chooses images, and writes them with proposals, reasons and a sheet into `out`: all of it, or nothing.

    Args:
        num: Number of images to choose; near duplicates are passed over, so that there may be fewer.
        paths: Files, folders and globs.
        see: Function that predicts and embeds an image.
        classes: Classes of the model.
        out: Folder to write to, which is empty or not there.
        tool: Name of the form of the proposals; by default the first that fits the task.
        shapes: Form of a proposed mask, `polygons` or `masks`.
        known: Digests, sha256, of the images that are left out.
        labelled: Shards of images that have labels; None measures distances among the chosen only.

    Raises:
        GraftError: Fewer images can be chosen than are asked for, the tool does not fit, or `out` holds something.
    """
    write = _tool(tool, classes.task, shapes)
    found = _find_enough(num, paths, known, out)
    others = _embed_labelled(labelled, see)
    seen = look_at(found, see)
    picks = choose(seen.features, seen.uncertainty, seen.hashes, others.features, num)
    with _at_once(out) as folder:
        chosen = [(pick, seen.files[pick.number]) for pick in picks]
        drawn, shown, num_moved = _write_images(folder, chosen, see, classes, others.names, shapes)
        handover = write(folder, drawn, classes)
        _write_reasons(folder / REASONS, shown, [file for _, file in chosen])
        num_pixels = sum(image.height * image.width for image in drawn)
        result = NextLabels(out, len(picks), num, found, len(others.names), handover, num_moved, num_pixels)
        write_sheet(folder / SHEET, shown, classes, str(result).partition(": ")[0])
    return result


def _find_enough(num: int, paths: Sequence[str], known: Collection[str], out: Path) -> Unlabelled:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        remedy = "name a folder that is not there yet: --out FOLDER"
        raise GraftError("it holds something already", where=out, rule="labels are not written over", remedy=remedy)
    found = find_unlabelled(paths, known, out)
    if len(found.files) < num:
        more = f", {found.num_known} are seen or labelled already" if found.num_known else ""
        what = f"{num} images are asked for, and {len(found.files)} can be chosen{more}"
        raise GraftError(what, where="graft label-next", remedy="ask for fewer, or name more images")
    return found


def _tool(name: str | None, task: str, shapes: str) -> Tool:
    if task not in TOOLS:
        raise GraftError(
            f"a {task} model proposes no labels yet",
            where="graft label-next",
            rule=f"proposals are of {' and '.join(TOOLS)} models",
            remedy="log predictions (graft predict --log FOLDER), correct the table, and add it as a delivery",
        )
    tools = TOOLS[task]
    if shapes not in (POLYGONS, MASKS):
        raise GraftError(f"there is no shape {shapes!r}", where="--shapes", remedy=f"take {POLYGONS} or {MASKS}")
    if shapes == MASKS and task != "segmentation":
        raise GraftError(f"a {task} model proposes no masks", where="--shapes", remedy="leave it out")
    if name is not None and name not in tools:
        known = ", ".join(tools)
        raise GraftError(
            f"{name} does not take proposals of a {task} model", where="--format", remedy=f"take one of {known}"
        )
    return tools[name or next(iter(tools))]


def _embed_labelled(labelled: Path | None, see: PredictFeatures) -> LabelledImages:
    """Embeds the images of a split; of more than `MOST_LABELLED`, as many as that, drawn by the hash of their place."""
    if labelled is None:
        return LabelledImages([], np.empty((0, 1), np.float32))
    order = sorted(range(num_rows(labelled)), key=lambda number: content_seed(0, "labelled", number))
    numbers = set(order[:MOST_LABELLED])
    names, features = [], []
    for row in progress(read_rows(labelled, numbers), "Looking at labelled images", total=len(numbers), unit="image"):
        names.append(row.id)
        features.append(see(decode_image(row.image, where=row.id)).features)
    return LabelledImages(names, np.stack(features))


def _write_images(
    folder: Path,
    chosen: Sequence[tuple[Pick, Path]],
    see: PredictFeatures,
    classes: ClassMap,
    labelled: Sequence[str],
    shapes: str,
) -> tuple[list[DrawnImage], list[SheetImage], int]:
    """Copies the images, their rank before their name, so that every tool shows the most worth first.

    Returns:
        What is proposed for each, what the sheet shows of it, and the number of pixels that its polygons move.
    """
    drawn, shown, num_moved = [], [], 0
    (folder / IMAGES).mkdir()
    for rank, (pick, file) in enumerate(progress(chosen, "Drawing", unit="image"), 1):
        name = f"{rank:0{len(str(len(chosen)))}}-{name_of(file.name)}"
        shutil.copyfile(file, folder / IMAGES / name)
        image = decode_image(file.read_bytes(), where=file, max_pixels=MAX_IMAGE_PIXELS)
        found = see(image).class_ids
        one, moved = _draw(name, image.shape[:2], found, classes, shapes)
        drawn.append(one)
        num_moved += moved
        pictures = show(image, {"proposal": found} if found.ndim else {}, classes.colors)
        nearest = "" if pick.nearest is None else labelled[pick.nearest]
        shown.append(SheetImage(name, pick, nearest, pictures, one.label or ""))
    return drawn, shown, num_moved


def _draw(
    name: str, size: tuple[int, int], found: np.ndarray, classes: ClassMap, shapes: str
) -> tuple[DrawnImage, int]:
    """Draws what was predicted; counts the pixels that come back as another class, which masks have none of."""
    if found.ndim == 0:
        return DrawnImage(name, *size, label=classes.names[int(found)]), 0
    ids = drawn_classes(classes)
    if shapes == MASKS:
        return DrawnImage(name, *size, regions=regions_of(found, ids)), 0
    outlines = outlines_of(found, ids)
    background = next((id for id in range(len(classes.names)) if id not in ids), VOID)
    return DrawnImage(name, *size, outlines), int((paint(outlines, *size, background) != found).sum())


def _write_reasons(path: Path, shown: Sequence[SheetImage], files: Sequence[Path]) -> None:
    """Writes a line for each image, the most worth first."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["rank", "image", "file", "uncertainty", "nearest_labelled", "distance", "proposal"])
        for rank, (image, file) in enumerate(zip(shown, files, strict=True), 1):
            distance = "" if image.pick.distance is None else f"{image.pick.distance:.4f}"
            uncertainty = f"{image.pick.uncertainty:.4f}"
            writer.writerow(
                [rank, IMAGES / image.name, file.as_posix(), uncertainty, image.nearest, distance, image.label]
            )


@contextmanager
def _at_once(out: Path) -> Iterator[Path]:
    """Yields a folder that becomes `out` if the block ends well, and is deleted if it does not."""
    folder = out.with_name(f".tmp-{os.getpid()}-{out.name}")
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
