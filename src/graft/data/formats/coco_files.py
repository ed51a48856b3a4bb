"""Where the annotation file of each split lies, and the image that a file name in it stands for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from functools import cached_property

from graft.data.formats.files import EXTENSIONS_READ, Found, by_end, ends_of
from graft.data.formats.split_names import split_named
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

EXPECTED = (
    "annotations/instances_train2017.json and annotations/instances_val2017.json (…_test2017.json), "
    "train/_annotations.coco.json and valid/_annotations.coco.json, train.json and val.json, or one file alone that "
    "names no split, as annotations/instances_default.json"
)
EXPECTED_OF_SEGMENTS = (
    "annotations/panoptic_train2017.json and annotations/panoptic_val2017.json (…_test2017.json), or one file alone "
    "that names no split, as panoptic.json; each with its masks in PNG"
)
PANOPTIC, INSTANCES, NUM_SHOWN = "panoptic", "instances", 4
WITHOUT_OUTLINES = {"keypoints": "is of key points, which are no outlines", "captions": "is of captions"}


def annotation_files(found: Found, *, panoptic: bool = False) -> dict[str, str]:
    """The annotation file of each split: train and, where there is one, val and test.

    A single file that names no split, as labelling tools export it, is the one for train, and there is none for val.
    Of several for one split, the one called `instances` counts, as others are of labels or boxes of the same images.

    Args:
        found: Files below the root.
        panoptic: Whether those of segments are meant, with `panoptic` in their names, or those of outlines.

    Raises:
        GraftError: There is none for train, none that is known to be for val among several, or two for one split.
    """
    files: dict[str, list[str]] = {}
    unnamed: list[str] = []
    others: list[str] = []
    for id in sorted(id for id in found.paths if id.lower().endswith(".json")):
        if _is_of_something_else(id, panoptic):
            others.append(id)
        elif (split := _split_of(id)) in ("train", "val", "test"):
            files.setdefault(str(split), []).append(id)
        else:
            unnamed.append(id)
    if not files and len(unnamed) == 1:
        return {"train": unnamed[0]}
    needed = ("train", "val") if unnamed else ("train",)
    if lack := [split for split in needed if split not in files]:
        source, expected = ("coco_panoptic", EXPECTED_OF_SEGMENTS) if panoptic else ("coco", EXPECTED)
        aside = "".join(f"; {id} {_why_aside(id)}" for id in others[:NUM_SHOWN])
        raise GraftError(
            f"{source} expects an annotation file for {' and for '.join(lack)}; {found.in_words()}{aside}",
            where=found.root,
            rule=f"found by their names are {expected}",
            remedy="rename the files so, or set ingest.root to the folder that holds them",
        )
    chosen = {split: [id for id in ids if INSTANCES in posixpath.basename(id).lower()] for split, ids in files.items()}
    files = {split: chosen[split] if len(chosen[split]) == 1 else ids for split, ids in files.items()}
    twice = [" and ".join(ids) for ids in files.values() if len(ids) > 1]
    if twice:
        raise GraftError(
            f"two annotation files for one split: {'; '.join(twice)}",
            where=found.root,
            remedy="leave the one to be read, and move the others out of the root",
        )
    return {split: files[split][0] for split in ("train", "val", "test") if split in files}


def _is_of_something_else(id: str, panoptic: bool) -> bool:
    name = posixpath.basename(id).lower()
    return (PANOPTIC in name) != panoptic or any(word in name for word in WITHOUT_OUTLINES)


def _why_aside(id: str) -> str:
    """The reason why a file is not read, in words that follow its name."""
    name = posixpath.basename(id).lower()
    named = (why for word, why in WITHOUT_OUTLINES.items() if word in name)
    return next(named, f"is for the source {'coco_panoptic' if PANOPTIC in name else 'coco'}")


def _split_of(id: str) -> str | None:
    """The split that a file is named after, or its folder where its name says nothing else."""
    stem = re.sub(r"instances|annotations|panoptic|coco|labels|\.json", " ", posixpath.basename(id).lower())
    says_nothing = re.search("[a-z]", stem) is None
    return split_named(posixpath.basename(posixpath.dirname(id)) if says_nothing else stem)


class CocoImages:
    """The images below the root, by what annotation files call them."""

    def __init__(self, found: Found) -> None:
        images = [id for id in found.paths if posixpath.splitext(id)[1].lower() in EXTENSIONS_READ]
        self.all, self._by_end = images, by_end(images, bare=False)

    def of(self, name: str, split: str, file: str) -> str:
        """The id of an image, or where it should be: in the folder of its split, or beside its annotation file.

        What stands in front of the name on somebody else's machine is dropped.
        """
        for end in ends_of(name):
            ids = self._by_end.get(end, [])
            beside = [id for id in ids if id == posixpath.join(posixpath.dirname(file), end)]
            own = [id for id in ids if split in _splits_above(id)]
            free = [id for id in ids if not _splits_above(id)]
            for known in (beside, own, free):
                if len(known) == 1:
                    return known[0]
        return posixpath.join(self._folder_of(split, file), name)

    def _folder_of(self, split: str, file: str) -> str:
        return self._folders.get(split, posixpath.dirname(file))

    @cached_property
    def _folders(self) -> dict[str | None, str]:
        """The first folder of images that is named after each split."""
        folders = sorted({posixpath.dirname(id) for id in self.all}, reverse=True)
        return {split_named(posixpath.basename(folder)): folder for folder in folders}


def _splits_above(id: str) -> set[str]:
    """The splits that the folders of a file are named after."""
    return {split for folder in id.split("/")[:-1] if (split := split_named(folder)) is not None}


def unlisted(images: CocoImages, listed: Mapping[str, object]) -> list[str]:
    """A note of the images that no annotation file lists."""
    others = [id for id in images.all if id not in listed]
    return [f"{counted(len(others), 'file')} that no annotation file lists"] if others else []
