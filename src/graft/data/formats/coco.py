"""COCO as it is published: `train2017`, `val2017`, and `annotations/instances_train2017.json`, `…_val2017.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from graft.data.formats.coco_annotations import Annotations, NoOutline, read_annotations
from graft.data.formats.coco_categories import choose_categories
from graft.data.formats.coco_files import CocoImages, annotation_files, unlisted
from graft.data.formats.coco_masks import AnnotatedEntry, CocoReader
from graft.data.formats.files import Found, find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom, add_test, split_one_list
from graft.data.formats.listing import Entry, Listing, check_task, distinct_colours
from graft.data.formats.translation import VOID, identity
from graft.foundation.class_map import ClassMap
from graft.foundation.counted import counted


def coco(
    task: str,
    seed: int,
    root: Path,
    *,
    categories: list[str] | None = None,
    background: str | None = "background",
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.05,
    no_outline: NoOutline = "void",
) -> Listing:
    """Photographs with 80 kinds of objects in context, about 118 000 to train on and 5 000 to validate.

    The largest of the sources, for everyday objects, and for whatever is annotated in its format: a file for each of
    train, val and perhaps test, named after its split or in a folder that is (as Roboflow writes them); or one file
    alone (as CVAT and labelme export it), out of which val and test are held out. Instances
    become one index mask: crowds first, then from the largest to the smallest, so that where regions overlap the
    smaller is on top; a box without outline is ignored. Files are read item by item, masks are painted by every core;
    memory holds 24 bytes an annotation. The labels of the official test are not public; without a file for test the
    official val is the test split by default, and training images held out by hash are val.

    Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; polygons and run lengths as pycocotools reads them.

    Args:
        categories: Names of the categories that become classes, in this order; null takes all that are annotated, in
            order of their ids in the file for train.
        background: Name of class 0, every pixel of no chosen category; null ignores those pixels, and leaves aside
            images without any other.
        test_from: Where no file is for test. `val`: the official val is test, held-out training images are val.
            `train`: held-out training images are test, val stays val. `none`: the official splits, no test.
        held_out_fraction: Share of the training images that is held out; of a single file, once for val and once for
            test.
        no_outline: Fate of boxes without a segmentation, polygons of fewer than three points, and annotations
            that have neither. `void`: what is in such a box is ignored, such a polygon covers nothing, the rest is an
            error. `leave_aside`: they count as if nobody had written them. `refuse`: all are listed.
    """
    check_task(task, "segmentation", "coco")
    found = find_files(root)
    files = annotation_files(found)
    read = {split: read_annotations(root / found.paths[file], file, no_outline) for split, file in files.items()}
    chosen, notes = choose_categories(read, files, categories, background)
    entries, problems, left_aside = _entries(found, read, files, chosen, background)
    are_given = "val" in files and (test_from == "none" or "test" in files)
    if not problems and not are_given:
        divide = add_test if "val" in files else split_one_list
        given = [entry for entry in entries if entry.split == "test"]
        open_ = [entry for entry in entries if entry.split != "test"]
        entries = given + divide(open_, "none" if given else test_from, held_out_fraction, seed)
    class_map = _class_map(read["train"], chosen, background, official_splits=are_given)
    reader = CocoReader(str(root), VOID if background is None else 0)
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
                names = (id, split, "unspecified", id, found.paths[id])
                drawn = {"annotations": found.paths[file], "height": image.height, "width": image.width}
                entries.append(AnnotatedEntry(*names, **drawn, places=places))  # type: ignore[arg-type]
            else:
                num_empty += 1
            listed.setdefault(id, file)
    notes = unlisted(images, listed)
    notes += [f"{counted(num_empty, 'image')} without a chosen category"] if num_empty else []
    return entries, problems, notes


def _class_map(train: Annotations, chosen: Sequence[str], background: str | None, *, official_splits: bool) -> ClassMap:
    """Source values are category ids of the file for train; the background is the smallest number that is none."""
    free = next(number for number in range(len(train.categories) + 1) if number not in train.categories)
    id_of_name = {name: id for id, name in reversed([*train.categories.items(), *train.used.items()])}
    colours = distinct_colours(len(chosen))
    return ClassMap(
        task="segmentation",
        names=(*([background] if background is not None else []), *chosen),
        colors=colours if background is None else ((0, 0, 0), *colours),
        source_values=(*([free] if background is not None else []), *(id_of_name[name] for name in chosen)),
        official_splits=official_splits,
        synthetic=False,
        source="coco",
        licence="annotations CC BY 4.0; the images are from Flickr, each under a licence of its own",
    )
