"""A folder per class, with or without split folders above: `cats/1.jpg`, or `train/cats/1.jpg`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from pathlib import Path

from graft.data.formats.class_folders import ClassFolders
from graft.data.formats.few_labels import NumTrain, Rest, keep_labels
from graft.data.formats.files import EXTENSIONS_READ, FileReader, Found, find_files
from graft.data.formats.given_splits import GivenSplits, Splits, find_splits
from graft.data.formats.listing import Entry, Listing, check_task, distinct_colours
from graft.data.formats.splits import Groups, TestFraction, ValFraction, check_fractions, check_not_empty
from graft.data.formats.unlabelled_images import is_picture, outside_unlabelled_folders, unlabelled_entry
from graft.foundation.class_map import ClassMap
from graft.foundation.counted import counted

NUM_LEFT_ASIDE_SHOWN = 5


def image_folder(
    task: str,
    seed: int,
    root: Path,
    *,
    val_fraction: ValFraction = 0.15,
    test_fraction: TestFraction = 0.15,
    group_pattern: str | None = None,
    splits: Splits | None = None,
    num_train: NumTrain | None = None,
    rest: Rest = "none",
) -> Listing:
    """A folder of images for each class; deeper folders belong to the class.

    The usual layout of a set of photographs to classify, torchvision's ImageFolder among them. Where folders named
    after splits (train, Testing, val_set, dev …) or lists (train.txt) include val, they are taken as they are. Where
    only train (or train and test) are there, or neither, what is missing is taken out of the training images by hash.
    A folder named `unlabelled` is no class: its images have no label.

    Args:
        val_fraction: Share of the groups that go to val, where no folder or list says it.
        test_fraction: Share of the groups that go to test, where neither val nor test is given; 0 makes no test split.
        group_pattern: Regular expression over the id; images in which it finds the same stay in one split.
        splits: Split to its folder or list, or several, as `{train: Training, test: [Testing, extra]}`; null finds
            them by name; with `{}` every folder at the root is a class, one called train or unlabelled included.
        num_train: Keep only so many labelled training images, of each class as many if there are: the first in an order
            made by hashing (split seed, id). None keeps all.
        rest: Whether the training images that `num_train` leaves out are `unlabelled`, or taken at all (`none`).
    """
    check_task(task, "classification", "image_folder")
    check_fractions(val_fraction, test_fraction)
    everything, groups = find_files(root), Groups(group_pattern)
    found = everything if splits == {} else outside_unlabelled_folders(everything)
    bare = [id for id in sorted(everything.paths.keys() - found.paths.keys()) if is_picture(id)]
    folders = ClassFolders.of(found, splits)
    images = [id for id in found.paths if posixpath.splitext(id)[1].lower() in EXTENSIONS_READ]
    number_of = {name: number for number, name in enumerate(folders.classes())}
    problems = found.problems + found.refusals([*images, *bare]) + folders.problems(images)
    given = _given(found, images, folders, splits)
    entries = []
    for id in sorted(images):
        name, group = folders.class_of(id), groups.of(id)
        if id in found.refused or name not in number_of:
            continue
        if (split := given.assign(id, group, seed, val_fraction, test_fraction)) is not None:
            entries.append(Entry(id, split, "unspecified", group, found.paths[id], label=number_of[name]))
    problems += groups.problems
    if not problems:
        check_not_empty(entries, given.needed(test_fraction))
    entries = keep_labels(entries, num_train, rest, seed)
    entries += [unlabelled_entry(everything, id) for id in bare if id not in found.refused]
    class_map = _class_map([*number_of], official_splits=given.are_official)
    notes = [*_notes(found, images), *given.notes]
    bare_ids = folders.without_class(images)
    read = FileReader(str(root))
    return Listing(class_map, entries, read, problems=sorted(problems), notes=notes, without_target=bare_ids)


def _given(found: Found, images: list[str], folders: ClassFolders, splits: Splits | None) -> GivenSplits:
    """The splits of the images: those of the folders above the classes, or those of lists."""
    if splits is not None or not folders.split_of:
        return find_splits(found, images, splits)
    return GivenSplits({id: split for id in images if (split := folders.split_of_image(id)) is not None})


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
    return [f"{counted(len(others), 'file')} not named as images: {shown}"]
