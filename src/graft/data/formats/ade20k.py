"""ADE20K as published for scene parsing: `images/training`, `annotations/training`, and `objectInfo150.txt`."""

from __future__ import annotations

import csv
import posixpath
from pathlib import Path

from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.held_out import HeldOutFraction, TestFrom, add_test
from graft.data.formats.layout import check_layout, entry_of, layout_error, pair_files
from graft.data.formats.listing import Entry, Listing, check_task, distinct_colours
from graft.data.formats.translation import Translation
from graft.foundation.class_map import ClassMap
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

NAMES_FILE = "objectInfo150.txt"
FOLDER_OF = {"train": "training", "val": "validation"}
NUM_CLASSES = 150


def ade20k(
    task: str,
    seed: int,
    root: Path,
    *,
    test_from: TestFrom = "val",
    held_out_fraction: HeldOutFraction = 0.05,
) -> Listing:
    """Scenes of every kind, indoors and out, 150 classes, 20210 images to train on and 2000 to validate.

    For rooms, landscapes and mixed scenes, and as a start whose backbone has seen many materials. Mask value k is
    class k - 1, value 0 (other objects) is ignored. Names are the first word of each line of `objectInfo150.txt`,
    which the archive holds; without it the folder is refused. The official test has no public labels; by default the
    official val is the test split, and training images held out by hash are val.

    Zhou et al. 2017, "Scene Parsing through ADE20K Dataset"; the 150 classes are those of its benchmark.

    Args:
        test_from: `val`: the official val is test, held-out training images are val. `train`: held-out training
            images are test, val stays val. `none`: the official splits, no test.
        held_out_fraction: Share of the training images that is held out.
    """
    check_task(task, "segmentation", "ade20k")
    found = find_files(root)
    folders = [f"{kind}/{folder}" for kind in ("images", "annotations") for folder in FOLDER_OF.values()]
    check_layout("ade20k", found, folders=folders, files=[NAMES_FILE])
    names = _names(root / found.paths[NAMES_FILE])
    entries, problems = _entries(found)
    if not problems:
        entries = add_test(entries, test_from, held_out_fraction, seed)
    class_map = ClassMap(
        task="segmentation",
        names=names,
        colors=distinct_colours(NUM_CLASSES),
        source_values=tuple(range(1, NUM_CLASSES + 1)),
        official_splits=test_from == "none",
        synthetic=False,
        source="ade20k",
        licence="unknown (the data set's terms: non-commercial research and education)",
    )
    grey = tuple(((value, value),) for value in class_map.source_values)
    translation = Translation(grey, ((),) * NUM_CLASSES, void_grey=((0, 0),))
    others = [id for id in found.paths if id.startswith("images/") and id.split("/")[1] not in FOLDER_OF.values()]
    notes = [f"{counted(len(others), 'file')} below images in neither training nor validation"] if others else []
    return Listing(class_map, entries, FileReader(str(root)), translation, problems, notes)


def _entries(found: Found) -> tuple[list[Entry], list[str]]:
    entries, problems = [], sorted(found.problems)
    for split, folder in FOLDER_OF.items():
        images = [
            id for id in found.paths if posixpath.dirname(id) == f"images/{folder}" and id.lower().endswith(".jpg")
        ]
        masks = [
            id for id in found.paths if posixpath.dirname(id) == f"annotations/{folder}" and id.lower().endswith(".png")
        ]
        if not images:
            raise layout_error("ade20k", found, [f"images/{folder}/*.jpg"], "there is not one")
        mask_of = {id: found.place_of(f"annotations/{folder}/{posixpath.basename(id)[:-4]}.png") for id in images}
        pairs, unpaired = pair_files(found, mask_of, masks)
        problems += unpaired
        entries += [entry_of(found, image, mask, split=split) for image, mask in pairs]
    return entries, problems


def _names(path: Path) -> tuple[str, ...]:
    """The first of the synonyms of each class, in order of its value."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter="\t"))
        names = {int(row["Idx"]): row["Name"].split(",")[0].split(";")[0].strip() for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        names, problem = {}, f"it cannot be read ({error!r})"
    else:
        problem = f"it has {counted(len(rows), 'line')}"
    if sorted(names) != [*range(1, NUM_CLASSES + 1)] or len(set(names.values())) != NUM_CLASSES:
        raise GraftError(
            f"not the list of the {NUM_CLASSES} classes: {problem}",
            where=path,
            rule=f"columns Idx and Name, separated by tabs, a line for each of 1 to {NUM_CLASSES}, names that differ",
            remedy="take the file from ADEChallengeData2016.zip again",
        )
    return tuple(names[value] for value in sorted(names))
