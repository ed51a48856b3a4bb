"""Whether the source of the images has the splits that the stages need, as far as the names of its files tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graft.data.formats import FORMATS
from graft.data.formats.coco_files import annotation_files
from graft.data.formats.files import find_files
from graft.data.formats.unlabelled_images import add_unlabelled
from graft.foundation.choices import Choice, resolve
from graft.foundation.class_map import SPLITS, UNLABELLED
from graft.foundation.errors import GraftError
from graft.params.sections import Ingest, Params
from graft.params.source_parts import sources_in

SLOW_TO_LIST = ("coco", "coco_panoptic")  # their annotation files are read whole: 450 MB as published


def find_missing_splits(params: Params) -> Iterator[tuple[tuple[str, str], GraftError]]:
    """Refuses a source without training or validation images, the split that is scored, or unlabelled images if named.

    Reads names of files and tables, no image. A source that cannot be listed is left to ingest, which says why.
    """
    sections = [params.ingest, *(params.ingest.of(name) for name in params.ingest.deliveries)]
    source, scored = resolve(FORMATS, params.ingest.source, where="ingest.source"), params.evaluate.split
    found = [_splits_of(section, params.task) for section in sections]
    splits = {split for each in found if each is not None for split in each}
    if None in found:
        return
    has_pattern = any(section.unlabelled is not None for section in sections)
    for section, key in (("augment", "unlabelled"), ("pretrain_load", "images")):
        if getattr(params.section(section), key) == UNLABELLED and UNLABELLED not in splits and not has_pattern:
            yield (section, key), no_unlabelled(f"{section}.{key}", source.name)
    splits.discard(UNLABELLED)
    for split in dict.fromkeys(("train", "val", scored)):
        if split not in splits:
            named = f" (there {'is' if len(splits) == 1 else 'are'} {', '.join(sorted(splits))})" if splits else ""
            yield (
                ("evaluate", "split") if split == scored else ("ingest", "source"),
                GraftError(
                    f"there are no {split} images: {source.name} makes no {split} split{named}",
                    rule=f"evaluate scores the model on evaluate.split: {scored}; val chooses the best epoch",
                    remedy=_remedy(source, split, scored),
                ),
            )


def _splits_of(ingest: Ingest, task: str) -> set[str] | None:
    """The splits that hold images of one delivery; None where only ingest can tell."""
    source, root = resolve(FORMATS, ingest.source, where="ingest.source"), Path(ingest.root)
    options = source.options
    if source.name == "scenes":
        return {split for split in SPLITS if options[f"num_{split}"]}
    if source.name in SLOW_TO_LIST:
        is_panoptic = source.name == "coco_panoptic"
        return None if options["test_from"] != "none" or _has_test_file(root, is_panoptic) else {"train", "val"}
    if any(one.name in SLOW_TO_LIST for one in sources_in(source)):
        return None
    if not root.is_dir():
        has_none = options.get("test_fraction") == 0 and not (options.get("splits") or options.get("split_column"))
        return {"train", "val"} if has_none else None
    try:
        listing = add_unlabelled(source(task, ingest.split_seed, root), root, ingest.unlabelled)
    except GraftError:
        return None
    return None if listing.problems else {entry.split for entry in listing.entries}


def no_unlabelled(key: str, source: str) -> GraftError:
    """The error that says that a key names unlabelled images and the source has none."""
    return GraftError(
        f"{key} is {UNLABELLED}, and {source} has no unlabelled images",
        rule="a folder named unlabelled, lines of a table that say so, num_unlabelled of scenes, num_train with rest: "
        "unlabelled, or a pattern in ingest.unlabelled make such images",
        remedy=f"give the source some, or set {key}: {'none' if key == 'augment.unlabelled' else 'train'}",
    )


def _has_test_file(root: Path, is_panoptic: bool) -> bool:
    try:
        return "test" in annotation_files(find_files(root), panoptic=is_panoptic)
    except GraftError:
        return False


def _remedy(source: Choice, split: str, scored: str) -> str:
    options = source.options
    if "test_from" in options:
        how = "set ingest.source.test_from to val or train"
    elif f"{split}_stretch" in options:
        how = f"raise ingest.source.{split}_stretch, or name a clip in {split}_clips"
    elif f"num_{split}" in options:
        how = f"raise ingest.source.num_{split}"
    elif options.get("split_column"):
        how = f"write {split} into some lines of the column {options['split_column']}"
    elif options.get(f"{split}_fraction") == 0:
        how = f"raise ingest.source.{split}_fraction"
    else:
        how = f"add a folder or a list that is named {split}"
        if "splits" in options and split == "test":
            how += (
                ", or let the images of val be test (splits: {train: <folder of train>, test: <folder of val>}), and "
            )
            how += "val is taken out of train by hash"
    if split == "test" and scored == "test":
        how += "; or set evaluate.split: val, on which the best epoch is chosen, so that the score flatters"
    return how
