"""Splits that folders and lists bring along, whatever words they use, in every source that has no layout of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from graft.data.formats import FORMATS
from graft.data.formats.listing import Listing
from graft.data.formats.split_names import split_named
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError

PAIRS = {"name": "mask_folder", "images": "**/img/*.png", "masks": "{subdir}/mask/{stem}.png"} | {
    "classes": {"a": [0], "b": [255]}
}
FLAT = {**PAIRS, "images": "img/**/*.png", "masks": "mask/{subdir}/{stem}.png"}
LABELS = {"name": "image_folder"}


def listing_of(root: Path, source: dict[str, Any]) -> Listing:
    task = "classification" if source["name"] in ("image_folder", "csv") else "segmentation"
    return resolve(FORMATS, source, where="ingest.source")(task, 7, root)


def put(root: Path, *paths: str, text: str = "a picture") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def pairs(root: Path, folder: str = "", num: int = 40) -> None:
    put(root, *(f"{folder}{kind}/{n:03d}.png" for n in range(num) for kind in ("img", "mask")))


def counts(listing: Listing) -> dict[str, int]:
    assert listing.problems == []
    return dict(Counter(entry.split for entry in listing.entries))


@pytest.mark.parametrize(
    ("split", "names"),
    [
        (
            "train",
            "train Training TRAIN train_set trainset train-images Train Data seg_train train2017 trainval",
        ),
        ("train", "trainlist01 train_ids list_train"),
        ("val", "val valid Validation val(id) val(ood) dev validation_set Val2017 valset"),
        ("test", "test Testing test_set testset seg_test test-dev test1"),
        ("unlabelled", "unlabelled Unlabeled"),
        (None, "freight_train training_shoes invalid device latest images 2017 evaluation"),
    ],
)
def test_words_for_splits(split: str | None, names: str) -> None:
    names = names.replace("Train Data", "Train_Data")
    assert {name: split_named(name) for name in names.split()} == dict.fromkeys(names.split(), split)


def test_split_folders_of_any_name_are_splits_of_classes(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{name}/{n}.png" for split in ("Training", "val(id)") for name in "ab" for n in range(9)))
    put(tmp_path, *(f"Testing/{name}/{n}.png" for name in "ab" for n in range(5)))
    listing = listing_of(tmp_path, LABELS)
    assert listing.class_map.names == ("a", "b")
    assert counts(listing) == {"train": 18, "val": 18, "test": 10}


def test_split_folders_of_masks_are_splits(tmp_path: Path) -> None:
    for folder, num in (("train_set/", 9), ("dev/", 4), ("Testing/", 3)):
        pairs(tmp_path, folder, num)
    listing = listing_of(tmp_path, PAIRS)
    assert counts(listing) == {"train": 9, "val": 4, "test": 3}
    assert listing.class_map.official_splits
    assert {entry.id.split("/")[0] for entry in listing.entries if entry.split == "val"} == {"dev"}
    hashed = listing_of(tmp_path, {**PAIRS, "splits": {}})
    assert not hashed.class_map.official_splits
    assert len({entry.id.split("/")[0] for entry in hashed.entries if entry.split == "train"}) > 1


def test_what_the_folders_leave_open_is_hashed_out_of_train(tmp_path: Path) -> None:
    pairs(tmp_path, "data/train/", 60)
    pairs(tmp_path, "data/test/", 9)
    splits = dict.fromkeys(("train", "val", "test"), 0) | counts(listing_of(tmp_path, PAIRS))
    assert splits["test"] == 9
    assert splits["train"] + splits["val"] == 60
    assert splits["val"] > 0


def test_a_val_folder_can_become_the_test_split(tmp_path: Path) -> None:
    pairs(tmp_path, "train/", 60)
    pairs(tmp_path, "val/", 9)
    assert "test" not in counts(listing_of(tmp_path, PAIRS))
    listing = listing_of(tmp_path, {**PAIRS, "splits": {"train": "train", "test": "val"}})
    assert counts(listing)["test"] == 9
    assert counts(listing)["val"] > 0


def test_folders_that_only_partly_name_splits_are_said(tmp_path: Path) -> None:
    for folder in ("train", "test", "extra"):
        pairs(tmp_path, f"{folder}/", 20)
    listing = listing_of(tmp_path, PAIRS)
    assert set(counts(listing)) == {"train", "val", "test"}
    (note,) = listing.notes
    assert note.startswith("folders named after splits, test, train, which were not used, for extra beside them say")


LINES = {
    "stems": "{n:03d}",
    "names": "{n:03d}.png",
    "masks": "mask/{n:03d}.png",
    "paths": "img/{n:03d}.png",
    "of somebody else": "/home/ann/data/img/{n:03d}.png /home/ann/data/mask/{n:03d}.png",
    "of Windows": "D:\\data\\img\\{n:03d}.png",
    "with another ending": "{n:03d}.jpg",
    "with a label": "{n:03d},1",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("folder", ["", "ImageSets/Segmentation/"])
def test_lists_are_honoured_whatever_they_call_an_image(line: str, folder: str, tmp_path: Path) -> None:
    pairs(tmp_path)
    of = {"train": range(20), "val": range(20, 32), "test": range(32, 40), "trainval": range(32)}
    for name, numbers in of.items():
        put(tmp_path, f"{folder}{name}.txt", text="".join(f"{line.format(n=n)}\n" for n in numbers))
    listing = listing_of(tmp_path, FLAT)
    assert counts(listing) == {"train": 20, "val": 12, "test": 8}
    assert {entry.id: entry.split for entry in listing.entries}["img/031.png"] == "val"
    assert listing.notes == []


def test_lists_of_clips_keep_their_frames_together(tmp_path: Path) -> None:
    put(
        tmp_path,
        *(f"{kind}/{clip}/{n}.png" for kind in ("img", "mask") for clip in ("bear", "cow", "dog") for n in "01"),
    )
    for split, clip in {"train": "bear", "val": "cow", "test": "dog"}.items():
        put(tmp_path, f"ImageSets/2017/{split}.txt", text=f"{clip}\n")
    listing = listing_of(tmp_path, FLAT)
    assert {(entry.id.split("/")[1], entry.split) for entry in listing.entries} == {
        ("bear", "train"),
        ("cow", "val"),
        ("dog", "test"),
    }


def test_lists_are_honoured_for_classes_and_tables(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/{n}.png" for name in "ab" for n in range(9)))
    for split, numbers in {"train": range(5), "val": range(5, 7), "test": range(7, 9)}.items():
        put(tmp_path, f"lists/{split}.txt", text="".join(f"{name}/{n}.png\n" for name in "ab" for n in numbers))
    assert counts(listing_of(tmp_path, LABELS)) == {"train": 10, "val": 4, "test": 4}
    put(tmp_path, "data.csv", text="image,label\n" + "".join(f"{x}/{n}.png,{x}\n" for x in "ab" for n in range(9)))
    assert counts(listing_of(tmp_path, {"name": "csv"})) == {"train": 10, "val": 4, "test": 4}


@pytest.mark.parametrize(
    ("lists", "why"),
    [
        ({"train": range(30), "test": range(20, 40)}, "img/020.png is in two of them"),
        ({"train": range(5), "test": range(5, 9)}, "they name 9 of 40 images"),
        ({"train": range(40)}, "of the 40 images they name only train"),
    ],
)
def test_lists_that_cannot_be_used_are_said(lists: dict[str, range], why: str, tmp_path: Path) -> None:
    pairs(tmp_path)
    for split, numbers in lists.items():
        put(tmp_path, f"{split}.txt", text="".join(f"{n:03d}\n" for n in numbers))
    listing = listing_of(tmp_path, FLAT)
    files = ", ".join(sorted(f"{split}.txt" for split in lists))
    (note,) = listing.notes
    assert note.startswith(
        f"lists named after splits, {files}, which were not used, for {why}; splits in ingest.source"
    )
    assert set(counts(listing)) == {"train", "val", "test"}


def test_images_that_no_list_names_are_left_aside_and_said(tmp_path: Path) -> None:
    pairs(tmp_path)
    for split, numbers in {"train": range(20), "val": range(20, 38)}.items():
        put(tmp_path, f"{split}.txt", text="".join(f"{n:03d}\n" for n in numbers))
    listing = listing_of(tmp_path, FLAT)
    assert counts(listing) == {"train": 20, "val": 18}
    assert listing.notes[0].startswith("2 images in no split, as img/038.png")


def test_splits_that_are_named_and_not_there(tmp_path: Path) -> None:
    pairs(tmp_path, "train/")
    with pytest.raises(GraftError, match=r"(?s)splits cannot be used.*test: 'tarin' holds and lists no image; did you"):
        listing_of(tmp_path, {**PAIRS, "splits": {"test": "tarin"}})
    with pytest.raises(GraftError, match=r"(?s)train/img/000.png is in train and in test"):
        listing_of(tmp_path, {**PAIRS, "splits": {"train": "train", "test": "img"}})


def test_classes_may_be_called_as_splits_are(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/{n}.png" for name in ("valid", "damaged") for n in range(40)))
    with pytest.raises(GraftError, match=r"no train beside valid \(taken for splits by their names.*set splits: \{\}"):
        listing_of(tmp_path, LABELS)
    listing = listing_of(tmp_path, {**LABELS, "splits": {}})
    assert listing.class_map.names == ("damaged", "valid")
    assert set(counts(listing)) == {"train", "val", "test"}


def test_classes_that_hold_the_same_folders_are_refused(tmp_path: Path) -> None:
    put(
        tmp_path, *(f"{site}/{name}/{n}.png" for site in ("north", "south") for name in ("good", "bad") for n in "0123")
    )
    message = "finds the classes north, south, which all hold the same folders, bad, good.*set splits: {}"
    with pytest.raises(GraftError, match=message):
        listing_of(tmp_path, LABELS)
    chosen = listing_of(tmp_path, {**LABELS, "splits": {"train": "north", "val": "south"}})
    assert (chosen.class_map.names, counts(chosen)) == (("bad", "good"), {"train": 8, "val": 8})


def test_views_within_classes_that_hold_images_too_are_no_classes(tmp_path: Path) -> None:
    deeper = [f"{name}/{view}/{n}.png" for name in ("scratch", "dent") for view in ("left", "right") for n in range(40)]
    put(tmp_path, *deeper, "scratch/1.png", "dent/1.png")
    assert listing_of(tmp_path, LABELS).class_map.names == ("dent", "scratch")
