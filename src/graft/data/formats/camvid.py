"""CamVid in the layout of SegNet: `train.txt`, `val.txt`, `test.txt` list pairs of an image and its annotation.

Annotation values 0…10 are the classes and 11 is void, which becomes 255. The lists name the files under a prefix of
somebody else's machine; the last two parts of each path are what counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graft.data.formats.clips import ClipNames, ClipSplits, Stretch
from graft.data.formats.few_labels import NumTrain, Rest, keep_labels
from graft.data.formats.files import FileReader, Found, find_files
from graft.data.formats.listing import Entry, Listing, check_task
from graft.data.formats.translation import Translation
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError

VOID_VALUE = 11


def camvid(
    task: str,
    seed: int,
    root: Path,
    *,
    num_train: NumTrain | None = None,
    rest: Rest = "none",
    clips: ClipNames = [],  # noqa: B006  options are read, never changed
    val_clips: ClipNames = [],  # noqa: B006
    test_clips: ClipNames = [],  # noqa: B006
    unlabelled_clips: ClipNames = [],  # noqa: B006
    val_stretch: Stretch = 0.0,
    test_stretch: Stretch = 0.0,
) -> Listing:
    """Frames of four drives through Cambridge, 11 classes, in the layout of SegNet: 367, 101 and 233 images.

    Small enough to learn on in minutes, with splits many papers share. The splits are the official ones; a missing
    `test.txt` means there is no test split. Frames of one drive are a clip, and the official splits tear clips, so
    scores are those of known streets; `val_clips` and `test_clips` ask about streets that training never saw. A drive
    at a time is a delivery (`clips`), and its end can be kept aside in one piece (`val_stretch`, `test_stretch`).
    Drives without labels (`unlabelled_clips`) are a domain to adapt to: 0001TP was filmed at dusk, the others by day.

    Brostow et al. 2009, "Semantic Object Classes in Video: A High-Definition Ground Truth Database"; the split and the
    11 classes are those of Badrinarayanan et al. 2017, "SegNet".

    Args:
        num_train: Keep only so many labelled training images: the first in an order made by hashing (split seed, id),
            so that 40 of them are among the 80 of another run. None keeps all.
        rest: Whether the training images that `num_train` leaves out are `unlabelled`, or taken at all (`none`).
        clips: Drives to read; empty reads all. In quotes, because YAML takes 0016E5 for a number.
        val_clips: Drives (what a file name has before its first underscore: 0001TP, 0006R0, 0016E5) to hold out:
            their images of `train.txt` and `val.txt` become val, and all others train. Empty keeps the official lists.
        test_clips: Drives whose images of `train.txt` and `val.txt` become test, so that a model can be promoted where
            `test.txt` and its images are missing.
        unlabelled_clips: Drives whose images of `train.txt` and `val.txt` are taken without their masks, but for the
            `test_stretch`, by which a model is judged.
        val_stretch: Share of each drive that is not held out whole, before its `test_stretch`, that becomes val. With
            this or `test_stretch`, what is left of `train.txt` and `val.txt` together is train.
        test_stretch: Share of each of these drives, at its end, that becomes test.
    """
    check_task(task, "segmentation", "camvid")
    found = find_files(root)
    lists = {split: f"{split}.txt" for split in ("train", "val", "test") if f"{split}.txt" in found.paths}
    if not {"train", "val"} <= set(lists):
        raise GraftError(
            f"camvid expects train.txt and val.txt (and test.txt, if there is one) here; {found.in_words()}",
            where=root,
            rule="each line of a list names an image and its annotation",
            remedy="set ingest.root to the folder that holds the lists",
        )
    problems = list(found.problems) + found.refusals(lists.values())
    entries: dict[str, Entry] = {}
    for split, name in lists.items():
        if name not in found.refused:
            for entry in _read_list(found, root / found.paths[name], split, problems):
                if entry.id in entries:
                    problems.append(f"{name}: {entry.id} is listed twice (also in {entries[entry.id].split}.txt)")
                entries[entry.id] = entry
    splits = ClipSplits(clips, val_clips, test_clips, unlabelled_clips, val_stretch, test_stretch)
    kept = keep_labels(splits.apply([*entries.values()]), num_train, rest, seed)
    translation = Translation(tuple(((k, k),) for k in range(11)), ((),) * 11, void_grey=((VOID_VALUE, VOID_VALUE),))
    class_map = _class_map(official_splits=splits.are_official or (not clips and "test" in lists))
    return Listing(class_map, kept, FileReader(str(root)), translation, problems)


def _read_list(found: Found, path: Path, split: str, problems: list[str]) -> Iterator[Entry]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        problems.append(f"{path.name}: cannot be read ({error})")
        return
    for number, line in enumerate(lines, start=1):
        columns = line.split()
        if not columns:
            continue
        if len(columns) != 2:
            problems.append(f"{path.name} line {number}: expected an image and an annotation, found {line!r}")
            continue
        image, mask = (found.place_of("/".join(column.split("/")[-2:])) for column in columns)
        missing = [
            f"{path.name} line {number}: {id} is listed and not there{found.near(id)}"
            for id in (image, mask)
            if id not in found.paths
        ]
        refused = found.refusals((image, mask))
        problems += missing + refused
        if not missing and not refused:
            clip = image.split("/")[-1].split("_")[0]
            yield Entry(image, split, "street", clip, found.paths[image], found.paths[mask])


def _class_map(*, official_splits: bool) -> ClassMap:
    from graft.scenes import CLASS_COLOURS, CLASSES  # scenes have the classes of CamVid, in its order

    return ClassMap(
        task="segmentation",
        names=tuple(CLASSES),
        colors=tuple(CLASS_COLOURS),
        source_values=tuple(range(len(CLASSES))),
        official_splits=official_splits,
        synthetic=False,
        source="camvid",
        licence="unknown (CamVid asks that Brostow et al., ECCV 2008 and Pattern Recognition Letters 2009, be cited)",
    )
