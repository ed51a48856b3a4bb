"""A folder per class, with or without split folders above: `cats/1.jpg`, or `train/cats/1.jpg`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from graft.data.formats.files import EXTENSIONS_READ, FileReader, Found, find_files
from graft.data.formats.listing import Entry, Listing, check_task, distinct_colours
from graft.data.formats.splits import Groups, TestFraction, ValFraction, check_fractions, check_not_empty, hashed_split
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError

SPLIT_OF_FOLDER = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
NUM_LEFT_ASIDE_SHOWN = 5


def image_folder(
    task: str,
    seed: int,
    root: Path,
    *,
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.15,
    group_pattern: str | None = None,
) -> Listing:
    """A folder of images for each class; deeper folders belong to the class.

    The usual layout of a set of photographs to classify, torchvision's ImageFolder among them. Where split folders
    include val, they are taken as they are. Where only train (or train and test) are there, or no split folders at
    all, what is missing is taken out of the training images by hash.

    Args:
        val_fraction: Share of the groups that go to val, where no folder says it.
        test_fraction: Share of the groups that go to test, where neither val nor test has a folder; 0 makes no test.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
    """
    check_task(task, "classification", "image_folder")
    check_fractions(val_fraction, test_fraction)
    found, groups = find_files(root), Groups(group_pattern)
    layout = _Layout.of(found)
    images = [id for id in found.paths if posixpath.splitext(id)[1].lower() in EXTENSIONS_READ]
    number_of = {name: number for number, name in enumerate(layout.classes(found))}
    problems = found.problems + found.refusals(images) + layout.problems(found, images)
    entries = []
    for id in sorted(images):
        split, name = layout.place(id)
        if id in found.refused or name not in number_of:
            continue
        group = groups.of(id)
        if split is None or (split == "train" and "val" not in layout.given):
            split = hashed_split(seed, group, val_fraction, 0.0 if "test" in layout.given else test_fraction)
        entries.append(Entry(id, split, "unspecified", group, found.paths[id], label=number_of[name]))
    problems += groups.problems
    if not problems:
        check_not_empty(entries, ["train", "val"] + ["test"] * (test_fraction > 0 and "val" not in layout.given))
    class_map = _class_map([*number_of], official_splits="val" in layout.given)
    return Listing(class_map, entries, FileReader(str(root)), problems=sorted(problems), notes=_notes(found, images))


@dataclass(frozen=True)
class _Layout:
    """Which folders are splits; none where the classes stand at the root."""

    split_of: dict[str, str]

    @classmethod
    def of(cls, found: Found) -> _Layout:
        top = {folder for folder in found.folders if "/" not in folder}
        splits = {folder: SPLIT_OF_FOLDER[folder.lower()] for folder in top if folder.lower() in SPLIT_OF_FOLDER}
        if not top:
            raise _wrong_layout(found, "no folders")
        if splits and "train" not in splits.values():
            raise _wrong_layout(found, f"no train beside {', '.join(sorted(splits))}")
        second = {folder.split("/")[1].lower() for folder in found.folders if folder.count("/") == 1}
        if not splits and second & {"train", "val"}:
            raise _wrong_layout(found, "split folders inside the class folders")
        return cls(splits)

    @property
    def given(self) -> set[str]:
        return set(self.split_of.values())

    def place(self, id: str) -> tuple[str | None, str | None]:
        """Split and class an id says by its folders, None where it says none."""
        folders = id.split("/")[:-1]
        split = self.split_of.get(folders[0]) if folders and self.split_of else None
        if self.split_of:
            folders = folders[1:] if split else []
        return split, folders[0] if folders else None

    def class_folders(self, found: Found) -> list[str]:
        depth = 1 if self.split_of else 0
        return [f for f in found.folders if f.count("/") == depth and (not depth or f.split("/")[0] in self.split_of)]

    def classes(self, found: Found) -> list[str]:
        names = sorted({posixpath.basename(folder) for folder in self.class_folders(found)})
        if len(names) < 2:
            raise _wrong_layout(
                found, f"{len(names)} class folders" if len(names) != 1 else f"only one class, {names[0]}"
            )
        return names

    def problems(self, found: Found, images: list[str]) -> list[str]:
        """Images that stand in no class, classes without images, folders that are neither split nor class."""
        filled = {"/".join(id.split("/")[: 2 if self.split_of else 1]) for id in images}
        strangers = {f for f in found.folders if self.split_of and "/" not in f and f not in self.split_of}
        return [
            *(f"{id}: image without label (it lies in no class folder)" for id in images if self.place(id)[1] is None),
            *(
                f"{f}: label without image (the class folder is empty)"
                for f in self.class_folders(found)
                if f not in filled
            ),
            *(f"{f}: a folder beside the split folders {', '.join(sorted(self.split_of))}" for f in strangers),
        ]


def _wrong_layout(found: Found, what: str) -> GraftError:
    return GraftError(
        f"image_folder finds {what}; {found.in_words()}",
        where=found.root,
        rule="it expects <class>/<image> with at least two classes, or <train|val|test>/<class>/<image>",
        remedy="set ingest.root to the folder above the classes or splits",
    )


def _class_map(classes: list[str], *, official_splits: bool) -> ClassMap:
    return ClassMap(
        task="classification",
        names=tuple(classes),
        colors=distinct_colours(len(classes)),
        source_values=tuple(classes),
        official_splits=official_splits,
        synthetic=False,
        source="image_folder",
    )


def _notes(found: Found, images: Iterable[str]) -> list[str]:
    others = sorted(set(found.paths) - set(images))
    if not others:
        return []
    shown = ", ".join(others[:NUM_LEFT_ASIDE_SHOWN]) + (", …" if len(others) > NUM_LEFT_ASIDE_SHOWN else "")
    return [f"{len(others)} files that are not named as images: {shown}"]
