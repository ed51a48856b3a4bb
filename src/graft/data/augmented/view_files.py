"""Make and store every view of every training row, on every core, in bounded memory; refuse a disk without room."""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.data.augmented.statistics import MOST_VIEWS_COUNTED, Counts, class_counts_file, counts_of, no_counts
from graft.data.shards import Row, read_rows
from graft.data.views.rows import write_rows
from graft.data.views.view import Recipe, label_of
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from graft.foundation.workers import map_in_order, num_usable_cores

# A worker imports albumentations before it helps (4 s): fewer pixels than this are done sooner by one process.
FEWEST_PIXELS_FOR_A_POOL = 150_000_000


@dataclass(frozen=True)
class RowSummary:
    """The counts of one row, found while its views were made."""

    id: str
    image_sha256: str
    counts: Counts


def training_rows(recipe: Recipe, train: Path, out: Path, numbers: Set[int] | None = None) -> Iterator[Row]:
    """The rows of the shards in `train`; online, each is copied to `out` as it passes.

    Args:
        recipe: Recipe of the views.
        train: Folder of the shards.
        out: Folder of the views.
        numbers: Which rows, as `read_rows` counts them; None gives all.

    Raises:
        GraftError: The disk has no room for the copy.
    """
    if recipe.storage == "materialised":
        return read_rows(train, numbers)
    need_room(out, sum(shard.stat().st_size for shard in train.rglob("*.parquet")), recipe.storage)
    return write_rows(out / "rows.arrow", read_rows(train, numbers))


def make_views(
    recipe: Recipe, rows: Iterable[Row], num_rows: int, classes: ClassMap, out: Path, *, num_workers: int | None = None
) -> Iterator[RowSummary]:
    """Makes the views of all rows and, where the recipe says `materialised`, stores them in `out`.

    Writes images.npy uint8 [N * views, H, W, C] and targets.npy (masks uint8 [N * views, H, W], labels int64 [N], or
    for multilabel uint8 [N, K]); in any case class_counts.npy int64 [N, K], the pixels of each class in each row (or
    its label, one-hot, or its labels).
    The bytes do not depend on the number of workers: each writes the places of its own rows.

    Raises:
        GraftError: The disk has no room, a row has no target, or a mask gained a value.
    """
    if recipe.storage == "materialised":
        allocate_views(recipe, num_rows, classes.num_classes, out)
    work = num_rows * recipe.num_views * recipe.height * recipe.width
    workers = num_workers or (num_usable_cores() if work >= FEWEST_PIXELS_FOR_A_POOL else 1)
    make = functools.partial(_make_row, recipe, classes, out)
    with explain_full_disk(out), class_counts_file(out / "class_counts.npy", num_rows, classes.num_classes) as write:
        for item in map_in_order(make, enumerate(rows), num_items=num_rows, num_workers=workers):
            write(item.counts.before[: classes.num_classes])
            yield item


def _make_row(recipe: Recipe, classes: ClassMap, out: Path, item: tuple[int, Row]) -> RowSummary:
    number, row = item
    image, mask = recipe.prepared(row)
    stored = recipe.storage == "materialised"
    num_made = recipe.num_views if stored else min(recipe.num_views, MOST_VIEWS_COUNTED)
    with ViewWriter(recipe, number, classes.num_classes, out) if stored else contextlib.nullcontext() as writer:
        counted: list[Any] = []
        for k in range(num_made):
            view, view_mask = recipe.view(row.id, image, mask, k)
            if len(counted) < MOST_VIEWS_COUNTED:
                counted.append(label_of(row, recipe.task) if view_mask is None else view_mask)
            if writer is not None:
                writer.write(view, view_mask)
        if writer is not None and mask is None:
            writer.write_label(label_of(row, recipe.task))
    if recipe.weak:
        return RowSummary(row.id, row.image_sha256, no_counts(classes))
    target = label_of(row, recipe.task) if mask is None else mask
    return RowSummary(row.id, row.image_sha256, counts_of(image, target, counted, classes))


class ViewWriter(contextlib.ExitStack):
    """Writes the views of one row, in order, to their place in the arrays.

    By write and not through a memory map: on a full disk a write fails with an error, a map kills the process.
    """

    def __init__(self, recipe: Recipe, number: int, num_classes: int, out: Path) -> None:
        super().__init__()
        self.images = self.enter_context((out / "images.npy").open("r+b"))
        self.targets = self.enter_context((out / "targets.npy").open("r+b"))
        pixels, row = recipe.height * recipe.width, number * recipe.num_views
        self.images.seek(_header_bytes(self.images) + row * pixels * len(recipe.channels))
        of_one, dtype = label_form(recipe, num_classes)
        label_bytes = math.prod(of_one) * np.dtype(dtype).itemsize
        place = row * pixels if recipe.task == "segmentation" else number * label_bytes
        self.targets.seek(_header_bytes(self.targets) + place)

    def write(self, image: np.ndarray, mask: np.ndarray | None) -> None:
        self.images.write(image.data)
        if mask is not None:
            self.targets.write(mask.data)

    def write_label(self, label: int | np.ndarray) -> None:
        self.targets.write(label.data if isinstance(label, np.ndarray) else np.int64(label).tobytes())


def _header_bytes(file: Any) -> int:
    version = np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file) if version == (1, 0) else np.lib.format.read_array_header_2_0(file)
    return file.tell()


def label_form(recipe: Recipe, num_classes: int) -> tuple[tuple[int, ...], type]:
    """Shape and type of the target of one sample where it is no mask: int64 [], or for multilabel uint8 [K]."""
    has_several = recipe.task == "multilabel" and not recipe.weak
    return ((num_classes,), np.uint8) if has_several else ((), np.int64)


def allocate_views(recipe: Recipe, num_rows: int, num_classes: int, out: Path) -> None:
    """Creates images.npy and targets.npy at their full size, after asking the disk whether they fit.

    Raises:
        GraftError: They do not fit.
    """
    num_views = num_rows * recipe.num_views
    size = (num_views, recipe.height, recipe.width)
    masks = recipe.task == "segmentation"
    of_one, dtype = label_form(recipe, num_classes)
    need_room(out, num_views * recipe.height * recipe.width * (len(recipe.channels) + masks))
    shapes = {
        "images.npy": ((*size, len(recipe.channels)), np.uint8),
        "targets.npy": (size, np.uint8) if masks else ((num_rows, *of_one), dtype),
    }
    with explain_full_disk(out):
        for name, (shape, dtype) in shapes.items():
            np.lib.format.open_memmap(out / name, mode="w+", dtype=dtype, shape=shape)
            _reserve(out / name)


def _reserve(path: Path) -> None:
    if hasattr(os, "posix_fallocate"):  # Linux: the blocks are ours from here on, so the disk cannot fill up under us
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def need_room(folder: Path, num_bytes: int, storage: str = "materialised") -> None:
    """Refuses what the disk under `folder` has no room for.

    Raises:
        GraftError: Fewer bytes are free.
    """
    free_bytes = shutil.disk_usage(folder).free
    if num_bytes <= free_bytes:
        return
    what, kept, smaller = {
        "materialised": (
            "views",
            "num_images × views × height × width × (channels + 1) bytes",
            "set augment.storage: online, fewer augment.views, a smaller augment.crop, or ",
        ),
        "online": ("rows", "a copy of the training shards", ""),
    }[storage]
    raise GraftError(
        f"the training {what} need {_gigabytes(num_bytes)}, the disk has {_gigabytes(free_bytes)} left",
        where=folder,
        rule=f"augment.storage: {storage} keeps {kept}",
        remedy=f"{smaller}free some space",
    )


@contextlib.contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Turns the system's word for a full disk (or a spent quota) into an error a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise GraftError(
            "the disk is full", where=folder, remedy="free some space, or set augment.storage: online, then dvc repro"
        ) from error


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"
