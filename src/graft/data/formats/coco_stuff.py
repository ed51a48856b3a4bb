"""COCO-Stuff as it is published: the photographs of COCO 2017, and a map of things and stuff in PNG for each."""

from __future__ import annotations

import posixpath
from pathlib import Path

from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom, add_test
from graft.data.formats.layout import entry_of, layout_error, pair_files
from graft.data.formats.listing import Entry, Listing, check_task, distinct_colours
from graft.data.formats.split_names import split_named
from graft.data.formats.translation import Translation
from graft.foundation.class_map import ClassMap

EXPECTED = [
    "images/train2017/*.jpg",
    "annotations/train2017/*.png",
    "images/val2017/*.jpg",
    "annotations/val2017/*.png",
]
DERIVED = ("_labelTrainIds.png", "_instanceTrainIds.png")  # which tools write beside the maps
FOLDERS, VOID_VALUE = ("train", "val"), 255
# In order of the values of the maps, 0 to 181; a dash is a label that was never used.
LABELS = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, -, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, -, -,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, -, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, -, dining table, -, -, toilet, -, tv,
laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, -, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush, -, banner, blanket, branch, bridge, building-other, bush, cabinet, cage,
cardboard, carpet, ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt,
door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit,
furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud,
napkin, net, paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road,
rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel,
wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""
NAME_OF = {value: name for value, name in enumerate(" ".join(LABELS.split()).split(", ")) if name != "-"}


def coco_stuff(
    task: str,
    seed: int,
    root: Path,
    *,
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.05,
) -> Listing:
    """Photographs in which every pixel is a thing or stuff: 171 classes, 118 000 to train on and 5 000 to validate.

    For scenes as a whole: 80 kinds of objects and 91 of stuff, as grass, road or wall. The maps are those of
    `stuffthingmaps_trainval2017`, whose value k is label k + 1 of the data set and 255 what nobody labelled; the eleven
    labels that were never used are no classes. An image has the PNG of its own name in another folder that is called as
    its own is, as in `images/train2017` and `annotations/train2017`; the folder says the split. The official test has
    no public labels; by default the official val is the test split, and training images held out by hash are val.

    Caesar et al. 2018, "COCO-Stuff: Thing and Stuff Classes in Context"; the 164K release of 2017.

    Args:
        test_from: `val`: the official val is test, held-out training images are val. `train`: held-out training
            images are test, val stays val. `none`: the official splits, no test.
        held_out_fraction: Share of the training images that is held out.
    """
    check_task(task, "segmentation", "coco_stuff")
    found = find_files(root)
    entries, problems = _entries(found)
    if not problems:
        entries = add_test(entries, test_from, held_out_fraction, seed)
    class_map = ClassMap(
        task="segmentation",
        names=tuple(NAME_OF.values()),
        colors=distinct_colours(len(NAME_OF)),
        source_values=tuple(NAME_OF),
        official_splits=test_from == "none",
        synthetic=False,
        source="coco_stuff",
        licence="annotations CC BY 4.0; the images are from Flickr, each under a licence of its own",
    )
    grey = tuple(((value, value),) for value in NAME_OF)
    translation = Translation(grey, ((),) * len(NAME_OF), void_grey=((VOID_VALUE, VOID_VALUE),))
    return Listing(class_map, entries, FileReader(str(root)), translation, problems)


def _entries(found: Found) -> tuple[list[Entry], list[str]]:
    maps: dict[tuple[str, str], list[str]] = {}
    for id in sorted(found.paths):
        if id.lower().endswith(".png") and not id.endswith(DERIVED) and split_named(_key(id)[0]) in FOLDERS:
            maps.setdefault(_key(id), []).append(id)
    images = sorted(id for id in found.paths if id.lower().endswith(".jpg"))
    split_of = {id: split for id in images if (split := split_named(_key(id)[0])) in FOLDERS}
    if lack := sorted(set(FOLDERS) - set(split_of.values())):
        raise layout_error("coco_stuff", found, EXPECTED, f"there is no image for {' and for '.join(lack)}")
    mask_of = {id: maps.get(_key(id), [f"annotations/{'/'.join(_key(id))}.png"])[0] for id in split_of}
    pairs, problems = pair_files(found, mask_of, [ids[0] for ids in maps.values()])
    twice = [f"{ids[1]}: a map of the same image is {ids[0]}" for ids in maps.values() if len(ids) > 1]
    entries = [entry_of(found, image, mask, split=str(split_of[image])) for image, mask in pairs]
    return entries, [*found.problems, *problems, *twice]


def _key(id: str) -> tuple[str, str]:
    """The name of the folder of a file, and its own without its ending."""
    folder, name = posixpath.split(id)
    return posixpath.basename(folder), posixpath.splitext(name)[0]
