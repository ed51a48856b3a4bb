"""The listing of annotation files of COCO, whatever their masks are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graft.data.formats.coco_annotations import Annotations
from graft.data.formats.coco_categories import choose_categories
from graft.data.formats.coco_files import CocoImages, unlisted
from graft.data.formats.coco_masks import AnnotatedEntry
from graft.data.formats.files import Found
from graft.data.formats.held_out import TestFrom, add_test, split_one_list
from graft.data.formats.listing import Entry, Listing, Reader, distinct_colours
from graft.data.formats.translation import identity
from graft.foundation.class_map import ClassMap
from graft.foundation.counted import counted


@dataclass(frozen=True)
class CocoOptions:
    """The options that all sources of COCO's annotation files have."""

    categories: list[str] | None
    background: str | None
    test_from: TestFrom
    held_out_fraction: float


def list_coco(
    source: str,
    seed: int,
    found: Found,
    files: Mapping[str, str],
    read: Mapping[str, Annotations],
    options: CocoOptions,
    reader: Reader,
) -> Listing:
    """The listing of the annotation files of a data set.

    Args:
        source: Name of the source.
        seed: Split seed.
        found: Files below the root.
        files: Id of the annotation file of each split.
        read: Its content.
        options: Options of the source.
        reader: Reader of an image and its mask.

    Raises:
        GraftError: Categories do not fit together, or nothing would be left to train on.
    """
    background = options.background
    chosen, notes = choose_categories(read, files, options.categories, background)
    entries, problems, left_aside = _entries(found, read, files, chosen, background)
    are_given = "val" in files and (options.test_from == "none" or "test" in files)
    if not problems and not are_given:
        divide = add_test if "val" in files else split_one_list
        given = [entry for entry in entries if entry.split == "test"]
        others = [entry for entry in entries if entry.split != "test"]
        entries = given + divide(others, "none" if given else options.test_from, options.held_out_fraction, seed)
    class_map = _class_map(source, read["train"], chosen, background, official_splits=are_given)
    notes = [*notes, *(note for one in read.values() for note in one.notes), *left_aside]
    return Listing(class_map, entries, reader, identity(class_map.num_classes), problems, notes)


def _entries(
    found: Found,
    read: Mapping[str, Annotations],
    files: Mapping[str, str],
    chosen: Sequence[str],
    background: str | None,
) -> tuple[list[Entry], list[str], list[str]]:
    entries: list[Entry] = []
    listed: dict[str, str] = {}
    num_empty, images = 0, CocoImages(found)
    problems = sorted(found.problems) + [problem for one in read.values() for problem in one.problems]
    first = 0 if background is None else 1
    for split, one in read.items():
        class_of = {id: chosen.index(name) + first for id, name in one.categories.items() if name in chosen}
        for image in one.images:
            id, file = images.of(image.name, split, files[split]), files[split]
            places = image.hand_over(class_of)
            if id not in found.paths or id in listed:
                again = "twice" if listed.get(id) == file else f"and so does {listed.get(id)}"
                problems.append(f"{id}: {file} lists it {again if id in listed else 'and it is not there'}")
            elif id in found.refused:
                problems += found.refusals([id])
            elif background is not None or places:
                names = (id, split, "unspecified", id, found.paths[id], image.mask)
                drawn = {"annotations": found.paths[file], "height": image.height, "width": image.width}
                entries.append(AnnotatedEntry(*names, **drawn, places=places))  # type: ignore[arg-type]
            else:
                num_empty += 1
            listed.setdefault(id, file)
    notes = unlisted(images, listed)
    notes += [f"{counted(num_empty, 'image')} without a chosen category"] if num_empty else []
    return entries, problems, notes


def _class_map(
    source: str, train: Annotations, chosen: Sequence[str], background: str | None, *, official_splits: bool
) -> ClassMap:
    """Source values are category ids of the file for train; the background is the smallest number that is none."""
    free = next(number for number in range(len(train.categories) + 1) if number not in train.categories)
    id_of_name = {name: id for id, name in [*reversed([*train.categories.items()]), *train.used.items()]}
    colours = distinct_colours(len(chosen))
    return ClassMap(
        task="segmentation",
        names=(*([background] if background is not None else []), *chosen),
        colors=colours if background is None else ((0, 0, 0), *colours),
        source_values=(*([free] if background is not None else []), *(id_of_name[name] for name in chosen)),
        official_splits=official_splits,
        synthetic=False,
        source=source,
        licence="annotations CC BY 4.0; the images are from Flickr, each under a licence of its own",
    )
