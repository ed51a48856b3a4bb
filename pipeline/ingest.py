"""Stage 1, ingest: turns the images of one delivery into shards, a manifest and a class map.

Reads the folder `ingest.root`, or that of one of `ingest.deliveries`, in any known format.
Writes `<split>/<batch>-00000.parquet` (encoded images and targets), `manifest.parquet` (facts about each image) and
`class_map.json`. The split `unlabelled` is there even without images, and beside it `none`, which never has any: what
`augment.unlabelled` may name.
Stops when a file cannot become a row; it reads all of them first, and lists every problem in one message.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.facts import Describer
from graft.data.formats import FORMATS, check_labels
from graft.data.formats.listing import read_within
from graft.data.formats.unlabelled_images import add_unlabelled
from graft.data.shards import MANIFEST_SCHEMA, ShardWriter, TableWriter
from graft.foundation.choices import resolve
from graft.foundation.class_map import SPLITS, UNLABELLED
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress, say
from graft.foundation.workers import map_in_order

if TYPE_CHECKING:
    from graft.data.formats.listing import Entry, Listing
    from graft.params.sections import Ingest

NO_SPLIT = "none"  # the folder that stands for no images


def ingest(
    *, task: str, ingest: Ingest, root: Path, out: Path, seed: int | None = None, front: str = ""
) -> dict[str, float]:
    """Reads every image once, on every core; returns the number of images, in all and by split.

    A file is refused only if it cannot become a row; all else is a fact in the manifest, which `validate` judges.
    Memory does not grow with the number of images beyond the list of their names. `seed` takes the place of
    `ingest.split_seed`, for callers who try several splits of the same section. `front` stands before every id, so that
    two deliveries may hold files of one name.
    """
    split_seed = ingest.split_seed if seed is None else seed
    source = resolve(FORMATS, ingest.source, where="ingest.source")
    check_labels(task, source.name)
    listing = source(task, split_seed, root)
    listing = add_unlabelled(listing, root, ingest.unlabelled)
    for note in listing.notes:
        say(f"Left aside: {note}")
    for warning in listing.warnings:
        say(f"Warning: {warning}")
    entries = sorted(listing.entries, key=lambda entry: (SPLITS.index(entry.split), entry.id))
    written = _write(listing, entries, ingest, out, front)
    problems = [*listing.problems, *written.problems]
    if problems:
        raise GraftError.of_all(
            f"{root}: files that cannot be used",
            list(dict.fromkeys(problems)),
            remedy="fix them, or remove what does not belong here, then run dvc repro",
        )
    listing.class_map.write(out / "class_map.json")
    _say_what_is_left_aside(root, len(entries), written)
    counts = {f"num_{split}": float(written.rows[split]) for split in SPLITS if written.rows[split]}
    return {"num_images": float(written.rows.total()), **counts}


@dataclass
class Written:
    """Outcome of reading: all problems, rows by split, points of point clouds and those of them left out."""

    problems: list[str] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    num_points: int = 0
    num_points_left_out: int = 0


def _say_what_is_left_aside(root: Path, num_entries: int, written: Written) -> None:
    """Counts tiles and points that were left out, and refuses images whose tiles all were."""
    if written.num_points:
        outside = f"{written.num_points_left_out:,} of {written.num_points:,} points"
        say(f"Left aside: {outside}, which lie behind the camera or beside its image")
    if num_left_out := num_entries - written.rows.total():
        say(f"Left aside: {num_left_out} of {num_entries} tiles, of which no pixel has data")
    if num_entries and not written.rows:
        raise GraftError(
            "no pixel of any tile has data",
            where=root,
            remedy="look at the nodata values of images and masks (gdalinfo)",
        )


def _write(listing: Listing, entries: list[Entry], ingest: Ingest, out: Path, front: str) -> Written:
    """Writes shards and manifest until the first problem, and reads on to the end."""
    read = read_within(listing.read, ingest.max_pixels)
    describe = Describer(read, listing.translation, ingest.batch, ingest.max_pixels, listing.class_map)
    shards, manifest = ShardWriter(out, ingest.batch), TableWriter(out / "manifest.parquet", MANIFEST_SCHEMA)
    written = Written()
    described: Any = map_in_order(describe, entries, num_items=len(entries))
    for row in progress(described, "Reading images", total=len(entries), unit="image"):
        if isinstance(row, list):
            written.problems += row
        elif row is not None and not written.problems:
            row |= _names_behind(front, row)
            shards.add(row)
            manifest.add(row)
            written.rows[row["split"]] += 1
            all_points, left_out = row.get("num_points", (0, 0))
            written.num_points += all_points
            written.num_points_left_out += left_out
    shards.close()
    for split in (NO_SPLIT,) if written.rows[UNLABELLED] else (NO_SPLIT, UNLABELLED):
        shards.leave_empty(split)
    manifest.close()
    return written


def _names_behind(front: str, row: dict[str, Any]) -> dict[str, str]:
    """Id and group behind the name of a delivery; a group that the source knows, as a patient, spans deliveries."""
    is_own = row["group"] == row["image_id"]
    return {"id": front + row["id"], "group": front + row["group"] if is_own else row["group"]}
