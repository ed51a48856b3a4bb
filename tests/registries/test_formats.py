"""Every format: what it finds, how it splits, and how it answers what it cannot use."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graft.data.formats import FORMATS
from graft.data.formats.class_values import translation_of
from graft.data.formats.listing import Listing
from graft.data.formats.patterns import ImagePattern, MaskPattern
from graft.data.formats.splits import hashed_split
from graft.foundation.choices import resolve
from graft.foundation.class_map import SPLITS
from graft.foundation.errors import GraftError
from tests.formats_layouts.coco import make_coco, make_panoptic
from tests.formats_layouts.drawn import make_cvat, make_labelme, make_yolo
from tests.formats_layouts.exports import make_roboflow_masks
from tests.formats_layouts.label_studio import make_label_studio
from tests.formats_layouts.layers import NUCLEI, make_nuclei
from tests.formats_layouts.published import make_ade20k, make_cityscapes, make_stuff, make_voc
from tests.formats_layouts.supervisely import make_supervisely
from tests.formats_layouts.tables import JOINED, make_csv, make_joined

SCENES = {
    "name": "scenes",
    "domain": "day",
    "num_train": 3,
    "num_val": 2,
    "num_test": 1,
    "width_px": 64,
    "height_px": 48,
}
PAIRS = {
    "name": "mask_folder",
    "images": "images/*.png",
    "masks": "masks/{stem}.png",
    "classes": {"a": [0], "b": [255]},
}


def listing_of(root: Path, source: dict[str, Any] | str, task: str = "segmentation", seed: int = 7) -> Listing:
    return resolve(FORMATS, source, where="ingest.source")(task, seed, root)


def put(root: Path, *paths: str, value: int = 0, mode: str = "L") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (8, 6), value).save(root / path)


def make_camvid(root: Path) -> None:
    put(
        root, *(f"{folder}/c{n % 2}_{n}.png" for n in range(6) for folder in ("train", "trainannot", "val", "valannot"))
    )
    for split in ("train", "val"):
        lines = [
            f"/SegNet/CamVid/{split}/c{n % 2}_{n}.png /SegNet/CamVid/{split}annot/c{n % 2}_{n}.png" for n in range(6)
        ]
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n\n")


def make_pairs(root: Path) -> None:
    put(root, *(f"{folder}/{n:02d}.png" for n in range(40) for folder in ("images", "masks")))


def make_classes(root: Path) -> None:
    put(root, *(f"{name}/{n:02d}.png" for n in range(40) for name in ("bees", "ants")))


# A format without a row here fails: name -> (make the folder, source, task)
EXAMPLES: dict[str, tuple[Any, dict[str, Any] | str, str]] = {
    "scenes": (lambda root: None, SCENES, "segmentation"),
    "camvid": (make_camvid, "camvid", "segmentation"),
    "mask_folder": (make_pairs, PAIRS, "segmentation"),
    "image_folder": (make_classes, "image_folder", "classification"),
    "cityscapes": (make_cityscapes, "cityscapes", "segmentation"),
    "voc": (make_voc, "voc", "segmentation"),
    "ade20k": (make_ade20k, "ade20k", "segmentation"),
    "coco": (make_coco, "coco", "segmentation"),
    "coco_panoptic": (make_panoptic, "coco_panoptic", "segmentation"),
    "coco_stuff": (make_stuff, "coco_stuff", "segmentation"),
    "csv": (
        make_csv,
        {"name": "csv", "image_column": "file", "label_column": "diagnosis"},
        "classification",
    ),
    "cvat": (make_cvat, "cvat", "segmentation"),
    "joined": (make_joined, JOINED, "segmentation"),
    "label_studio": (make_label_studio, "label_studio", "segmentation"),
    "roboflow_masks": (make_roboflow_masks, "roboflow_masks", "segmentation"),
    "mask_layers": (make_nuclei, NUCLEI, "segmentation"),
    "labelme": (make_labelme, "labelme", "segmentation"),
    "supervisely": (make_supervisely, "supervisely", "segmentation"),
    "yolo": (make_yolo, "yolo", "segmentation"),
    "stacks": (
        make_pairs,
        {"name": "stacks", "source": PAIRS, "channels": ["grey"], "max_value": 255},
        "segmentation",
    ),
    "tiles": (make_pairs, {"name": "tiles", "source": PAIRS}, "segmentation"),
}
# What has one task only, and reads a folder.
OF_ONE_TASK = [
    "camvid",
    "mask_folder",
    "mask_layers",
    "roboflow_masks",
    "image_folder",
    "cityscapes",
    "voc",
    "ade20k",
    "coco",
    "coco_panoptic",
    "coco_stuff",
    "supervisely",
    "yolo",
]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_the_contract(name: str, tmp_path: Path) -> None:
    make, source, task = EXAMPLES[name]
    make(tmp_path)
    listing = listing_of(tmp_path, source, task)
    assert not listing.problems
    assert listing.class_map.source == name
    assert listing.class_map.task == task
    assert len(listing.class_map.names) == len(listing.class_map.colors) == len(listing.class_map.source_values)
    ids = [entry.id for entry in listing.entries]
    assert len(set(ids)) == len(ids) > 0
    for entry in listing.entries[:4]:
        assert pickle.loads(pickle.dumps(entry)) == entry
        image, mask = pickle.loads(pickle.dumps(listing.read))(pickle.loads(pickle.dumps(entry)))
        assert image
        assert entry.split in SPLITS
        assert (mask is not None, entry.label is not None) == (task == "segmentation", task == "classification")
    assert (listing.translation is not None) == (task == "segmentation")
    listing.class_map.write(tmp_path / "class_map.json")
    assert type(listing.class_map).read(tmp_path / "class_map.json") == listing.class_map


@pytest.mark.parametrize("name", OF_ONE_TASK)
def test_the_wrong_task_is_refused(name: str, tmp_path: Path) -> None:
    make, source, task = EXAMPLES[name]
    make(tmp_path)
    other = {"segmentation": "classification", "classification": "segmentation"}[task]
    with pytest.raises(GraftError, match=f"{name} has (masks|labels), which {other} cannot use.*set task: {task}"):
        listing_of(tmp_path, source, other)


@pytest.mark.parametrize("name", [*OF_ONE_TASK, "csv", "cvat", "label_studio", "labelme"])
def test_a_missing_or_strange_root_is_answered_with_what_was_expected(name: str, tmp_path: Path) -> None:
    _, source, task = EXAMPLES[name]
    with pytest.raises(GraftError, match=r"no such folder.*ingest\.root"):
        listing_of(tmp_path / "nowhere", source, task)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/a.pdf").write_bytes(b"")
    with pytest.raises(GraftError, match=r"(?s)found 1 x papers/\*\.pdf.*expect|expect.*found 1 x papers/\*\.pdf"):
        listing_of(tmp_path, source, task)


# scenes


def test_scenes_of_several_domains_and_for_classification(tmp_path: Path) -> None:
    listing = listing_of(tmp_path, {**SCENES, "domain": ["day", "fog"]})
    assert [entry.id for entry in listing.entries[:3]] == [
        f"{d}/train/00000{n}.png" for n, d in enumerate(["day", "fog", "day"])
    ]
    indices = [(entry.domain, entry.image) for entry in listing.entries]
    assert len(set(indices)) == len(indices)
    assert listing.class_map.synthetic
    labels = listing_of(tmp_path, {**SCENES, "domain": "day, night"}, "classification")
    assert labels.class_map.names == ("day", "night")
    assert {entry.domain: entry.label for entry in labels.entries} == {"day": 0, "night": 1}
    unlabelled = listing_of(tmp_path, {**SCENES, "num_unlabelled": 2}).entries[-1]
    assert unlabelled.split == "unlabelled"


def test_more_scenes_leave_the_others_as_they_were(tmp_path: Path) -> None:
    few, many = (listing_of(tmp_path, {**SCENES, "num_train": n}) for n in (3, 5))
    assert set(few.entries) < set(many.entries)


def test_unknown_domains_are_named_with_what_they_resemble(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"(?s)'nihgt_rain': did you mean 'night_rain'\?.*'day' is listed twice"):
        listing_of(tmp_path, {**SCENES, "domain": "nihgt_rain,day,day"})
    with pytest.raises(GraftError, match="at least two domains"):
        listing_of(tmp_path, SCENES, "classification")


# camvid


def test_camvid_resolves_foreign_prefixes_and_groups_by_clip(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    listing = listing_of(tmp_path, "camvid")
    assert Counter(entry.split for entry in listing.entries) == {"train": 6, "val": 6}
    assert {entry.group for entry in listing.entries} == {"c0", "c1"}
    assert listing.class_map.num_classes == 11
    assert listing.class_map.official_splits
    translated = listing.translation.apply(np.array([[0, 10, 11, 12]], np.uint8))
    assert translated.mask.tolist() == [[0, 10, 255, 255]]
    assert (translated.void, translated.unknown, translated.unknown_values) == (1, 1, ("12",))


def test_fewer_labels_are_a_stable_part_of_more(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    two, four = (listing_of(tmp_path, {"name": "camvid", "num_train": n}).entries for n in (2, 4))
    assert (len(two), len(four)) == (8, 10)
    assert set(two) < set(four)
    with pytest.raises(GraftError, match=r"7 training images are asked for and 6 are listed.*null"):
        listing_of(tmp_path, {"name": "camvid", "num_train": 7})


def test_clips_of_camvid_can_be_held_out_whole(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    listing = listing_of(tmp_path, {"name": "camvid", "val_clips": ["c1"]})
    assert {(entry.group, entry.split) for entry in listing.entries} == {("c0", "train"), ("c1", "val")}
    assert len(listing.entries) == 12
    assert not listing.class_map.official_splits  # so a torn group would be refused, not only mentioned
    with pytest.raises(GraftError, match=r"is of clip c7; there are c0, c1"):
        listing_of(tmp_path, {"name": "camvid", "val_clips": ["c0", "c7"]})
    with pytest.raises(GraftError, match=r"all clips are held out"):
        listing_of(tmp_path, {"name": "camvid", "val_clips": ["c1", "c0"]})


def test_clips_of_camvid_can_be_the_test_split(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    listing = listing_of(tmp_path, {"name": "camvid", "test_clips": ["c1"]})
    assert Counter(entry.split for entry in listing.entries) == {"train": 3, "val": 3, "test": 6}
    assert {entry.group for entry in listing.entries if entry.split == "test"} == {"c1"}
    with pytest.raises(GraftError, match=r"test_clips: c1 cannot be in val and in test"):
        listing_of(tmp_path, {"name": "camvid", "val_clips": ["c1"], "test_clips": ["c1"]})
    with pytest.raises(GraftError, match=r"all clips are held out"):
        listing_of(tmp_path, {"name": "camvid", "val_clips": ["c0"], "test_clips": ["c1"]})


def splits_of_clips(listing: Listing) -> dict[str, str]:
    """The first letter of the split of each frame, by clip, in the order of the frames."""
    frames = sorted((entry.id.split("/")[-1], entry.id, entry.split[0]) for entry in listing.entries)
    clips = sorted({name.split("_")[0] for name, _, _ in frames})
    return {clip: "".join(split for name, _, split in frames if name.startswith(clip)) for clip in clips}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"clips": ["c1"], "val_stretch": 0.2, "test_stretch": 0.3}, {"c1": "tttvTT"}),
        ({"val_stretch": 0.01, "test_stretch": 0.4}, {"c0": "tttvTT", "c1": "tttvTT"}),
        ({"val_clips": ["c0"], "test_stretch": 0.5}, {"c0": "vvvvvv", "c1": "tttTTT"}),
        ({"unlabelled_clips": ["c1"], "val_stretch": 0.2, "test_stretch": 0.3}, {"c0": "tttvTT", "c1": "uuuuTT"}),
    ],
)
def test_the_end_of_each_clip_of_camvid_can_be_kept_aside(tmp_path: Path, options: dict, expected: dict) -> None:
    make_camvid(tmp_path)
    listing = listing_of(tmp_path, {"name": "camvid", **options})
    letters = {clip: letters.replace("T", "t") for clip, letters in expected.items()}
    assert splits_of_clips(listing) == letters
    names = {"t": "train", "T": "test", "v": "val", "u": "unlabelled"}
    assert Counter(entry.split for entry in listing.entries) == Counter(
        names[one] for one in "".join(expected.values())
    )
    assert all((entry.mask is None) == (entry.split == "unlabelled") for entry in listing.entries)
    by_group: dict[str, set[str]] = {}
    for entry in listing.entries:
        by_group.setdefault(entry.group, set()).add(entry.split)
    assert all(len(splits) == 1 for splits in by_group.values()), "a stretch is a group of its own"


def test_clips_of_camvid_keep_their_official_lists(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    listing = listing_of(tmp_path, {"name": "camvid", "clips": ["c0"]})
    assert {entry.group for entry in listing.entries} == {"c0"}
    assert Counter(entry.split for entry in listing.entries) == {"train": 3, "val": 3}
    assert listing.class_map.official_splits
    bare = listing_of(tmp_path, {"name": "camvid", "unlabelled_clips": ["c1"]})
    assert Counter((entry.group, entry.split) for entry in bare.entries) == {
        ("c0", "train"): 3,
        ("c0", "val"): 3,
        ("c1", "unlabelled"): 6,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": ["c1", "c9"]}, r"source\.clips: no image of the lists is of clip c9; there are c0, c1"),
        ({"clips": ["c1"], "val_clips": ["c0"]}, r"val_clips: no image .* is of clip c0; there are c1"),
        ({"unlabelled_clips": ["c7"]}, r"unlabelled_clips: no image .* is of clip c7; there are c0, c1"),
        ({"val_clips": ["c1"], "unlabelled_clips": ["c1"]}, r"c1 cannot be in val and in unlabelled.*once"),
        ({"unlabelled_clips": ["c0", "c1"]}, r"all clips are held out \(c0, c1\)"),
        ({"val_stretch": 0.5, "test_stretch": 0.5}, r"are 0\.5 and 0\.5, the whole of a clip.*less than 1"),
        ({"clips": ["c1", 1600000.0]}, r"YAML reads a name as the number 1600000\.0: write every clip in quotes"),
        ({"test_stretch": 1.0}, r"test_stretch: 1\.0.*less than 1"),
    ],
)
def test_clips_of_camvid_that_cannot_be_are_said_in_one_message(tmp_path: Path, options: dict, message: str) -> None:
    make_camvid(tmp_path)
    with pytest.raises(GraftError, match=message):
        listing_of(tmp_path, {"name": "camvid", **options})


def test_a_clip_of_one_frame_has_no_two_stretches(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    put(tmp_path, "train/c2_6.png", "trainannot/c2_6.png")
    with (tmp_path / "train.txt").open("a") as lines:
        lines.write("train/c2_6.png trainannot/c2_6.png\n")
    options = {"val_stretch": 0.2, "test_stretch": 0.2}
    with pytest.raises(
        GraftError, match=r"clip c2 has 1 frame, too few for val_stretch and test_stretch.*Remedy: name"
    ):
        listing_of(tmp_path, {"name": "camvid", **options})
    listing = listing_of(tmp_path, {"name": "camvid", "val_clips": ["c2"], **options})
    assert [entry.split for entry in listing.entries if entry.group == "c2"] == ["val"]


def test_holding_out_a_clip_leaves_the_test_images_alone(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    lines = (tmp_path / "val.txt").read_text().splitlines()
    (tmp_path / "val.txt").write_text("\n".join(lines[:3]))
    (tmp_path / "test.txt").write_text("\n".join(lines[3:]))
    listing = listing_of(tmp_path, {"name": "camvid", "val_clips": ["c1"]})
    assert Counter(entry.split for entry in listing.entries) == {"train": 5, "val": 4, "test": 3}
    assert listing.class_map.official_splits  # test.txt is, and tears the clips


def test_camvid_lists_every_line_that_is_wrong(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    (tmp_path / "val/c0_0.png").unlink()
    (tmp_path / "valannot/c1_1.png").unlink()
    with (tmp_path / "val.txt").open("a") as file:
        file.write("only_one_column\n/x/train/c0_2.png /x/trainannot/c0_2.png\n/x/../../etc/passwd /y/z\n")
    problems = "\n".join(listing_of(tmp_path, "camvid").problems)
    assert "val.txt line 1: val/c0_0.png is listed and not there" in problems
    assert "val.txt line 2: valannot/c1_1.png is listed and not there" in problems
    assert "val.txt line 8: expected an image and an annotation, found 'only_one_column'" in problems
    assert "val.txt: train/c0_2.png is listed twice (also in train.txt)" in problems
    assert "etc/passwd is listed and not there" in problems


# mask_folder


def test_mask_folder_finds_pairs_and_leaves_masks_aside(tmp_path: Path) -> None:
    put(tmp_path, *(f"{n}/{name}.png" for n in range(9) for name in ("x", "x_mask")))
    source = {
        **PAIRS,
        "images": "**/*.png",
        "masks": "{dir}/{stem}_mask.png",
        "test_fraction": 0.3,
        "val_fraction": 0.3,
    }
    listing = listing_of(tmp_path, source)
    assert sorted((entry.id, entry.mask) for entry in listing.entries) == [
        (f"{n}/x.png", f"{n}/x_mask.png") for n in range(9)
    ]


@pytest.mark.parametrize(
    ("images", "masks", "image", "mask"),
    [
        ("tiles/**/*.jpg", "{dir}/{stem}.png", "tiles/a/b/1.jpg", "tiles/a/b/1.png"),
        ("images/**/*.jpg", "masks/{subdir}/{stem}.png", "images/a/b/1.jpg", "masks/a/b/1.png"),
        ("images/**/*.jpg", "masks/{subdir}/{stem}.png", "images/1.jpg", "masks/1.png"),
        ("subdir/**/*.jpg", "masks/{subdir}/{stem}.png", "subdir/a/1.jpg", "masks/a/1.png"),
        ("*/images/*", "{dir}/../labels/{name}.png", "a/images/1.v2.jpg", "a/labels/1.v2.jpg.png"),
        ("*.jpg", "{dir}/{stem}.png", "1.jpg", "1.png"),
        ("case?/image[0-9].png", "{dir}/mask.png", "case7/image3.png", "case7/mask.png"),
    ],
)
def test_patterns(images: str, masks: str, image: str, mask: str) -> None:
    pattern = ImagePattern(images)
    assert pattern.match(image)
    assert not pattern.match(image + ".txt~/x")
    assert MaskPattern(masks, pattern).mask_of(image) == mask


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "../x/*.png"}, r"images: '\.\./x/\*\.png' leads out of the root"),
        ({"masks": "/etc/{stem}"}, "masks: .*leads out of the root"),
        ({"masks": "{folder}/{stem}.png"}, r"masks: .*unknown \{folder\}.*\{dir\}, \{subdir\}"),
        ({"masks": "masks/*.png"}, "masks: .*a wildcard"),
        ({"masks": "m/{subdir}/{stem}.png"}, r"images has no \*\*"),
        ({"masks": "{dir}/{stem}.png"}, "gives the image itself as its mask"),
        ({"images": "img/*.jpg"}, r"no file matches images: 'img/\*\.jpg'; found 40 x (images|masks)/\*\.png"),
        ({"group_pattern": "("}, "group_pattern: .*is not a regular expression"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "leave nothing to train on"),
        (
            {"val_fraction": 1e-9},
            r"no image fell into val: 40 images in 40 .*raise val_fraction or change ingest.split_seed",
        ),
        ({"group_pattern": "images"}, "no image fell into .* 40 images in 1 group"),
        ({"imagse": 1}, "imagse: mask_folder has no such option; did you mean 'images'"),
        ({"val_fraction": "a lot"}, "val_fraction: 'a lot'"),
    ],
)
def test_options_of_mask_folder_that_cannot_be_used(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_pairs(tmp_path)
    with pytest.raises(GraftError, match=f"(?s){message}"):
        listing_of(tmp_path, {**PAIRS, **options})


def test_whatever_is_unpaired_is_listed(tmp_path: Path) -> None:
    make_pairs(tmp_path)
    put(tmp_path, "images/lonely.png", "masks/orphan.png")
    listing = listing_of(tmp_path, {**PAIRS, "group_pattern": r"[0-9]+"})
    assert listing.problems == [
        "images/lonely.png: image without mask (expected masks/lonely.png)",
        "masks/orphan.png: mask without image",
    ]
    problems = listing_of(tmp_path, {**PAIRS, "group_pattern": r"/0[0-9]"}).problems
    assert "images/10.png: group_pattern '/0[0-9]' is not found in it" in problems


def test_links_are_judged_by_where_they_lead(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_pairs(root)
    put(tmp_path, "outside/secret.png")
    for name, target in {
        "out": tmp_path / "outside/secret.png",
        "inside": root / "images/00.png",
        "nothing": root / "no",
    }.items():
        (root / f"images/{name}.png").symlink_to(target)
        put(root, f"masks/{name}.png")
    (root / "images/folder").symlink_to(root / "masks")
    put(root, "masks/folder.png")
    os.mkfifo(root / "images/pipe.png")
    put(root, "masks/pipe.png")
    problems = "\n".join(listing_of(root, PAIRS).problems)
    assert "images/out.png: a link that leads out of the root" in problems
    assert "images/nothing.png: a link to nothing that can be read" in problems
    assert "images/folder: a link to a folder" in problems
    assert "images/pipe.png: neither a file nor a folder" in problems
    assert "inside" not in problems
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert len(listing_of(linked, PAIRS).entries) == 41


def test_names_of_any_kind_are_the_same_everywhere(tmp_path: Path) -> None:
    make_pairs(tmp_path)
    decomposed, long = "Zu\u0308rich \u65e5\u672c", "n" * 240
    put(tmp_path, *(f"{folder}/{name}.png" for folder in ("images", "masks") for name in (decomposed, long)))
    listing = listing_of(tmp_path, PAIRS)
    ids = {entry.id: entry for entry in listing.entries}
    assert ids["images/Z\u00fcrich \u65e5\u672c.png"].image == f"images/{decomposed}.png"
    assert f"images/{long}.png" in ids
    assert all(listing.read(entry)[1] for entry in listing.entries)
    put(tmp_path, "images/Z\u00fcrich \u65e5\u672c.png")
    assert any("Unicode form" in problem for problem in listing_of(tmp_path, PAIRS).problems)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    make_pairs(tmp_path)
    for folder in (b"images", b"masks"):
        try:
            (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + folder + b"/\xff.png"))).write_bytes(b"x")
        except OSError:
            pytest.skip("this file system refuses such names itself")
    assert any("not valid UTF-8" in problem for problem in listing_of(tmp_path, PAIRS).problems)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"a": [0], "b": [0]}, "b: 0 is claimed by a too"),
        ({"a": ["0-9"], "b": [5]}, "b: 5 is claimed by a too"),
        ({"a": [0], "void": [0]}, "void: 0 is claimed by a too"),
        ({"a": [7], "b": [[7, 7, 7]]}, "b: 7 is claimed by a too"),
        ({"a": [[1, 2, 3]], "b": [[1, 2, 3]]}, r"b: \(1, 2, 3\) is claimed by a too"),
        ({"a": "rest", "b": "rest"}, "b: only one class can be the rest, and a is"),
        ({"a": ["9-1"], "b": [70000]}, r"(?s)range '9-1'.*b: 70000 is no grey value"),
        ({"a": [[1, 2]], "b": [[0, 0, 300]]}, r"(?s)a: \[1, 2\] is no.*b: \[0, 0, 300\] is no"),
        ({"a": [], "b": [0]}, "a: lists no value"),
        ({"a": [0]}, "1 classes; there must be 2 to 254"),
    ],
)
def test_class_values_that_cannot_be_used(classes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraftError, match=message):
        translation_of(classes, [])


def test_class_values() -> None:
    translation = translation_of({"background": [0], "defect": ["1-100", 200], "other": "rest"}, [255])
    assert translation.apply(np.array([[0, 1, 100, 101, 200, 255]], np.uint8)).mask.tolist() == [[0, 1, 1, 2, 1, 255]]
    colored = translation_of({"road": [[128, 64, 0]], "rest of it": [[0, 0, 0], 9]}, [[255, 0, 0]])
    translated = colored.apply(np.array([[[128, 64, 0], [0, 0, 0], [9, 9, 9], [255, 0, 0], [1, 2, 3]]], np.uint8))
    assert translated.mask.tolist() == [[0, 1, 1, 255, 255]]
    assert (translated.counts, translated.void, translated.unknown_values) == ((1, 2), 1, ("(1, 2, 3)",))
    assert colored.apply(np.array([[0, 9]], np.uint8)).counts == (0, 2)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60))
def test_translation_agrees_with_looking_up_each_pixel(values: list[int]) -> None:
    translation = translation_of({"a": [0, "10-20"], "b": ["21-90", 299]}, ["100-120"])

    def expected(value: int) -> int:
        return 0 if value == 0 or 10 <= value <= 20 else 1 if 21 <= value <= 90 or value == 299 else 255

    narrow = [value % 256 for value in values]
    for array in (np.array([values], np.uint16), np.array([narrow], np.uint8)):
        translated = translation.apply(array)
        assert translated.mask.tolist() == [[expected(int(value)) for value in array[0]]]
        assert sum(translated.counts) + translated.void + translated.unknown == array.size
        assert translated.void == sum(100 <= int(value) <= 120 for value in array[0])


def test_the_value_254_of_no_class_is_void_where_all_other_values_are_their_ids() -> None:
    translated = translation_of({"a": [0], "b": [1]}, [255]).apply(np.array([[0, 1, 254, 255]], np.uint8))
    assert translated.mask.tolist() == [[0, 1, 255, 255]]
    assert (translated.void, translated.unknown, translated.unknown_values) == (1, 1, ("254",))


# image_folder


def test_image_folder_with_and_without_split_folders(tmp_path: Path) -> None:
    files = [f"{name}/{n:02d}.jpg" for n in range(40) for name in ("bees", "ants")]
    put(tmp_path / "plain", *files)
    put(tmp_path / "only_train", *(f"train/{file}" for file in files))
    put(tmp_path / "no_val", *(f"{split}/{file}" for file in files for split in ("train", "test")))
    put(tmp_path / "official", *(f"{split}/{file}" for file in files for split in ("train", "valid")))
    hashed = ("plain", "only_train", "no_val")
    listings = {name: listing_of(tmp_path / name, "image_folder", "classification") for name in (*hashed, "official")}
    splits = {name: {entry.split for entry in listing.entries} for name, listing in listings.items()}
    assert all(splits[name] == {"train", "val", "test"} for name in hashed)
    assert splits["official"] == {"train", "val"}
    assert {name for name, listing in listings.items() if listing.class_map.official_splits} == {"official"}
    assert all(listing.class_map.names == ("ants", "bees") for listing in listings.values())
    no_val = listings["no_val"].entries
    assert all((entry.split == "test") == entry.id.startswith("test/") for entry in no_val)
    assert {entry.label for entry in no_val if "/bees/" in entry.id} == {1}


def test_what_is_no_image_is_left_aside_and_said(tmp_path: Path) -> None:
    make_classes(tmp_path)
    put(tmp_path, "ants/animated.GIF", "ants/deep/er.tiff")
    (tmp_path / "ants/notes.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    listing = listing_of(tmp_path, "image_folder", "classification")
    assert {"ants/animated.GIF", "ants/deep/er.tiff"} <= {entry.id for entry in listing.entries}
    assert listing.notes == ["1 file not named as images: ants/notes.txt"]


def test_image_without_label_and_label_without_image(tmp_path: Path) -> None:
    make_classes(tmp_path)
    put(tmp_path, "stray.png")
    (tmp_path / "wasps").mkdir()
    problems = listing_of(tmp_path, "image_folder", "classification").problems
    assert problems == [
        "stray.png: image without label (it lies in no class folder)",
        "wasps: label without image (the class folder is empty)",
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["ants/1.png"], "only one class, ants"),
        (["1.png"], "no folders; found 1 x "),
        (["val/ants/1.png", "val/bees/1.png"], "no train beside val"),
        (["ants/train/1.png", "bees/train/1.png"], "split folders inside the class folders"),
    ],
)
def test_wrong_layouts_of_image_folder(files: list[str], message: str, tmp_path: Path) -> None:
    put(tmp_path, *files)
    with pytest.raises(GraftError, match=f"(?s){message}.*it expects <class>/<image>"):
        listing_of(tmp_path, "image_folder", "classification")


def test_folders_beside_split_folders_are_named(tmp_path: Path) -> None:
    put(
        tmp_path,
        *(f"{split}/{name}/1.png" for split in ("train", "val") for name in ("ants", "bees")),
        "old/ants/1.png",
    )
    problems = listing_of(tmp_path, "image_folder", "classification").problems
    taken = "taken for splits by their names; if they are classes, set splits: {} in ingest.source"
    assert f"old: a folder beside the split folders train, val ({taken})" in problems
    assert "old/ants/1.png: image without label (it lies in no class folder)" in problems


# splits


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**31),
    groups=st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=60),
    more=st.sets(st.text(min_size=1, max_size=8), max_size=20),
    fractions=st.tuples(st.floats(0.01, 0.49), st.floats(0, 0.49)),
)
def test_splits_are_disjoint_complete_and_stable(
    seed: int, groups: set[str], more: set[str], fractions: tuple[float, float]
) -> None:
    before = {group: hashed_split(seed, group, *fractions) for group in groups}
    after = {group: hashed_split(seed, group, *fractions) for group in sorted(groups | more)}
    assert set(before.values()) <= {"train", "val", "test"}
    assert before == {group: after[group] for group in groups}
    assert fractions[1] > 0 or "test" not in after.values()


def test_fractions_are_nearly_met_and_the_seed_matters() -> None:
    splits = [hashed_split(1, f"image {n}", 0.15, 0.2) for n in range(4000)]
    assert splits.count("val") == pytest.approx(600, rel=0.1)
    assert splits.count("test") == pytest.approx(800, rel=0.1)
    assert splits != [hashed_split(2, f"image {n}", 0.15, 0.2) for n in range(4000)]


def test_adding_files_moves_no_other(tmp_path: Path) -> None:
    make_pairs(tmp_path)
    before = {entry.id: entry.split for entry in listing_of(tmp_path, PAIRS).entries}
    put(tmp_path, *(f"{folder}/new{n}.png" for n in range(20) for folder in ("images", "masks")))
    after = {entry.id: entry.split for entry in listing_of(tmp_path, PAIRS).entries}
    assert before.items() <= after.items()
    assert len(after) == 60


def test_groups_stay_together(tmp_path: Path) -> None:
    put(tmp_path, *(f"{folder}/clip{n // 4}_{n}.png" for n in range(80) for folder in ("images", "masks")))
    entries = listing_of(tmp_path, {**PAIRS, "group_pattern": "(clip[0-9]+)_"}).entries
    assert {entry.group for entry in entries} == {f"clip{n}" for n in range(20)}
    assert len({(entry.group, entry.split) for entry in entries}) == 20
