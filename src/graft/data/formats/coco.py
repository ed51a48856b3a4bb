"""COCO as it is published: `train2017`, `val2017`, and `annotations/instances_train2017.json`, `…_val2017.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from graft.data.formats.coco_annotations import Annotations, read_annotations
from graft.data.formats.coco_masks import AnnotatedEntry, CocoReader
from graft.data.formats.files import Found, find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom, add_test
from graft.data.formats.layout import check_layout
from graft.data.formats.listing import Entry, Listing, check_task, distinct_colours
from graft.data.formats.translation import MOST_CLASSES, VOID, identity
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError, suggest

FOLDER_OF = {"train": "train2017", "val": "val2017"}
FILE_OF = {split: f"annotations/instances_{folder}.json" for split, folder in FOLDER_OF.items()}


def coco(
    task: str,
    seed: int,
    root: Path,
    *,
    categories: list[str] | None = None,
    background: str | None = "background",
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.05,
) -> Listing:
    """Photographs with 80 kinds of objects in context, about 118 000 to train on and 5 000 to validate.

    The largest of the sources, for everyday objects, and for whatever is annotated in its format. Instances become
    one index mask: crowds first, then from the largest to the smallest, so that where regions overlap the smaller is
    on top. Annotation files are read item by item, masks are painted by every core; memory holds 24 bytes an
    annotation. The labels of the official test are not public; by default the official val is the test split, and
    training images held out by hash are val.

    Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; polygons and run lengths as pycocotools reads them.

    Args:
        categories: Names of the categories that become classes, in this order; null takes all, in order of their ids.
        background: Name of class 0, every pixel of no chosen category; null ignores those pixels, and leaves aside
            images without any other.
        test_from: `val`: the official val is test, held-out training images are val. `train`: held-out training
            images are test, val stays val. `none`: the official splits, no test.
        held_out_fraction: Share of the training images that is held out.
    """
    check_task(task, "segmentation", "coco")
    found = find_files(root)
    check_layout("coco", found, folders=[*FOLDER_OF.values(), "annotations"], files=[*FILE_OF.values()])
    read = {split: read_annotations(root / found.paths[file], file) for split, file in FILE_OF.items()}
    chosen = _choose(read, categories, background)
    class_of = {category: number + (background is not None) for number, category in enumerate(chosen)}
    entries, problems, notes = _entries(found, read, class_of, keep_empty=background is not None)
    if not problems:
        entries = add_test(entries, test_from, held_out_fraction, seed)
    class_map = _class_map(read["train"].categories, chosen, background, official_splits=test_from == "none")
    reader = CocoReader(str(root), VOID if background is None else 0)
    return Listing(class_map, entries, reader, identity(class_map.num_classes), problems, notes)


def _choose(read: Mapping[str, Annotations], names: Sequence[str] | None, background: str | None) -> list[int]:
    """Ids of the categories that become classes, in order of class."""
    listed = read["train"].categories
    id_of_name = {name: id for id, name in listed.items()}
    names = [*listed.values()] if names is None else names
    problems = [f"{name!r}: {suggest(name, id_of_name)}" for name in names if name not in id_of_name]
    twice = [name for name, number in Counter([*names, *([background] if background else [])]).items() if number > 1]
    problems += [f"{name!r} is there twice" for name in twice]
    if len(id_of_name) != len(listed) or read["val"].categories != listed:
        problems.append(f"{FILE_OF['train']} names a category twice, or lists others than {FILE_OF['val']}")
    num_classes = len(names) + (background is not None)
    if not 2 <= num_classes <= MOST_CLASSES:
        problems.append(f"{num_classes} classes; there must be 2 to {MOST_CLASSES}")
    problems += [f"category {id}: a mask holds values of 0 to 65535" for id in listed if not 0 <= id <= 65535]
    if problems:
        raise GraftError.of_all("ingest.source.categories and background cannot be used", problems)
    return [id_of_name[name] for name in names]


def _entries(
    found: Found, read: Mapping[str, Annotations], class_of: Mapping[int, int], *, keep_empty: bool
) -> tuple[list[Entry], list[str], list[str]]:
    entries: list[Entry] = []
    listed: set[str] = set()
    num_empty = 0
    problems = sorted(found.problems) + [problem for one in read.values() for problem in one.problems]
    for split, image in ((split, image) for split, one in read.items() for image in one.images):
        id, file = f"{FOLDER_OF[split]}/{image.name}", FILE_OF[split]
        places = image.of_classes(class_of)
        if id not in found.paths or id in listed:
            problems.append(f"{id}: {file} lists it {'twice' if id in listed else 'and it is not there'}")
        elif id in found.refused:
            problems += found.refusals([id])
        elif keep_empty or places:
            names = (id, split, "unspecified", id, found.paths[id])
            drawn = {"annotations": found.paths[file], "height": image.height, "width": image.width, "places": places}
            entries.append(AnnotatedEntry(*names, **drawn))  # type: ignore[arg-type]
        else:
            num_empty += 1
        listed.add(id)
    num_others = sum(id.startswith(("train2017/", "val2017/")) and id not in listed for id in found.paths)
    notes = [f"{num_others} files that no annotation file lists"] if num_others else []
    notes += [f"{num_empty} images without a chosen category"] if num_empty else []
    return entries, problems, notes


def _class_map(
    listed: Mapping[int, str], chosen: Sequence[int], background: str | None, *, official_splits: bool
) -> ClassMap:
    """Source values are category ids; the background is the smallest number that is none."""
    free = next(number for number in range(len(listed) + 1) if number not in listed)
    values = [*([free] if background is not None else []), *chosen]
    names = [*([background] if background is not None else []), *(listed[id] for id in chosen)]
    colours = distinct_colours(len(chosen))
    return ClassMap(
        task="segmentation",
        names=tuple(names),
        colors=colours if background is None else ((0, 0, 0), *colours),
        source_values=tuple(values),
        official_splits=official_splits,
        synthetic=False,
        source="coco",
        licence="annotations CC BY 4.0; the images are from Flickr, each under a licence of its own",
    )
