"""Stage 1, ingest: turns the images of one delivery into shards, a manifest and a class map.

Reads the folder `ingest.root`, or that of one of `ingest.deliveries`, in any known format.
Writes `<split>/<batch>-00000.parquet` (encoded images and targets), `manifest.parquet` (facts about each image) and
`class_map.json`. The split `unlabelled` is there even without images, and beside it `none`, which never has any: what
`augment.unlabelled` may name.
Stops when a file cannot become a row; it reads all of them first, and lists every problem in one message.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.data.facts import Describer
from graft.data.formats import FORMATS
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
    listing = resolve(FORMATS, ingest.source, where="ingest.source")(task, split_seed, root)
    listing = add_unlabelled(listing, root, ingest.unlabelled)
    for note in listing.notes:
        say(f"Left aside: {note}")
    for warning in listing.warnings:
        say(f"Warning: {warning}")
    entries = sorted(listing.entries, key=lambda entry: (SPLITS.index(entry.split), entry.id))
    problems = list(listing.problems) + _write(listing, entries, ingest, out, front)
    if problems:
        raise GraftError.of_all(
            f"{root}: files that cannot be used",
            problems,
            remedy="fix them, or remove what does not belong here, then run dvc repro",
        )
    listing.class_map.write(out / "class_map.json")
    counts = {split: sum(entry.split == split for entry in entries) for split in SPLITS}
    return {"num_images": float(len(entries)), **{f"num_{split}": float(n) for split, n in counts.items() if n}}


def _write(listing: Listing, entries: list[Entry], ingest: Ingest, out: Path, front: str) -> list[str]:
    """Writes shards and manifest until the first problem, reads on to the end, and returns all the problems."""
    describe = Describer(listing.read, listing.translation, ingest.batch, ingest.max_pixels, listing.class_map)
    shards, manifest = ShardWriter(out, ingest.batch), TableWriter(out / "manifest.parquet", MANIFEST_SCHEMA)
    problems: list[str] = []
    described: Any = map_in_order(describe, entries, num_items=len(entries))
    for row in progress(described, "Reading images", total=len(entries), unit="image"):
        if isinstance(row, list):
            problems += row
        elif not problems:
            row |= _names_behind(front, row)
            shards.add(row)
            manifest.add(row)
    shards.close()
    for split in (NO_SPLIT,) if any(entry.split == UNLABELLED for entry in entries) else (NO_SPLIT, UNLABELLED):
        shards.leave_empty(split)
    manifest.close()
    return problems


def _names_behind(front: str, row: dict[str, Any]) -> dict[str, str]:
    """Id and group behind the name of a delivery; a group that the source knows, as a patient, spans deliveries."""
    return {"id": front + row["id"], "group": front + row["group"] if row["group"] == row["id"] else row["group"]}
