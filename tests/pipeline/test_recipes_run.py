"""Every recipe runs from ingest to export on a miniature of the data it is for, at a small size, for an epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graft.foundation.content import read_json
from graft.metrics.confusion import HEADLINE
from graft.params.recipes import compose, list_recipes
from graft.params.sections import Params
from graft.params.yaml_tree import plain
from tests.dotted_keys import put
from tests.formats_layouts.pictures import stripes, write_image, write_mask
from tests.formats_layouts.published import make_cityscapes
from tests.seven_stages import SMALL, run_stages

SIZE = (64, 96)
# What depends on the size of the data, the machine, and weights that only the network has.
MINIATURE = SMALL | {
    "runtime.device": "cpu",
    "runtime.precision": "float32",
    "preprocess.resize": "none",
    "validate.min_class_fraction": 0.0,
    "augment.crop": {"height_px": 64, "width_px": 64},
    "fine_tune.epochs": 1,
    "fine_tune.warmup_epochs": 0,
    "fine_tune.batch_size": 4,
}


def make_pairs(root: Path, images: str, values: tuple[int, ...]) -> None:
    """Images and masks in two folders, a dozen."""
    for number in range(12):
        write_image(root / f"images/{number}{images}", number, SIZE)
        write_mask(root / f"masks/{number}.png", stripes(*values, size=SIZE))


def make_camvid(root: Path) -> None:
    """The folders and lists of the SegNet tutorial."""
    for split, num in (("train", 6), ("val", 2)):
        names = [f"{split}{number}.png" for number in range(num)]
        for number, name in enumerate(names):
            write_image(root / split / name, number + 100 * num, SIZE)
            write_mask(root / f"{split}annot" / name, stripes(*range(12), size=SIZE))
        lines = [f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}\n" for name in names]
        (root / f"{split}.txt").write_text("".join(lines))


def make_voc(root: Path) -> None:
    """Images and masks that show all 21 classes, and the lists."""
    stems = [f"2007_{number:06d}" for number in range(8)]
    for number, stem in enumerate(stems):
        write_image(root / f"JPEGImages/{stem}.jpg", number, SIZE)
        write_mask(root / f"SegmentationClass/{stem}.png", stripes(*range(21), 255, size=SIZE))
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    for split, listed in (("train", stems[:4]), ("val", stems[4:])):
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("".join(f"{stem}\n" for stem in listed))


def make_photographs(root: Path) -> None:
    """A folder of photographs for each of two classes."""
    for number in range(24):
        write_image(root / ("ants", "bees")[number % 2] / f"{number}.jpg", number, SIZE)


def make_tagged(root: Path) -> None:
    """Photographs and a table of their labels; some have none, some both."""
    lines = ["image,labels"]
    for number in range(24):
        write_image(root / f"{number}.jpg", number, SIZE)
        lines.append(f"{number}.jpg,{('', 'ant', 'bee', 'ant|bee')[number % 4]}")
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")


def make_nothing(root: Path) -> None:
    """Scenes draw themselves."""
    root.mkdir()


FEW_SCENES = {"num_train": 4, "num_val": 2, "num_test": 2, "width_px": 96, "height_px": 64}
Maker = Callable[[Path], None]
# Recipe: the data it is for, what else is made small, and options of its source that count its images.
ROWS: dict[str, tuple[Maker, dict[str, Any]]] = {
    "ants-and-bees": (make_photographs, {}),
    "camvid": (make_camvid, {}),
    "camvid-best": (make_camvid, {}),
    "deeplabv3": (make_voc, {"model.backbone": "resnet50"}),
    # A hundred fresh layers after two steps on noise: logits in the thousands, of which float32 rounds the third digit.
    "deeplabv3-cityscapes": (lambda root: make_cityscapes(root, size=SIZE), {"export.max_logit_difference": 0.1}),
    "few-labels": (lambda root: make_pairs(root, ".png", (0, 255)), {"fine_tune.strategy.head_epochs": 1}),
    "heavy-imbalance": (lambda root: make_pairs(root, ".png", (0, 1, 2)), {}),
    "lraspp-real-time": (lambda root: make_pairs(root, ".jpg", (0, 255)), {}),
    "photographs": (lambda root: make_pairs(root, ".jpg", (0, 255)), {}),
    "photographs-classification": (make_photographs, {}),
    "photographs-multilabel": (make_tagged, {}),
    "plain-cnn": (make_photographs, {}),
    "pretrain-scenes": (make_nothing, FEW_SCENES),
    "scenes-night-rain": (make_nothing, FEW_SCENES),
    "segformer-b0": (lambda root: make_cityscapes(root, size=SIZE), {}),
    "unet": (lambda root: make_pairs(root, ".png", (0, 255)), {}),
    "vgg16-classifier": (make_photographs, {}),
}


def test_every_recipe_has_a_row() -> None:
    assert set(list_recipes()) == set(ROWS)


def miniature(name: str, changes: dict[str, Any]) -> Params:
    """The recipe with small values; weights from the network are replaced by none."""
    tree = plain(compose(name))
    source = tree["pretrain_load"]["source"]
    if (source if isinstance(source, str) else source["name"]) not in ("none", "bundled", "package"):
        tree["pretrain_load"]["source"] = "none"
    if changes is FEW_SCENES:
        tree["ingest"]["source"] |= changes
        changes = {}
    if tree["fine_tune"]["strategy"].get("unfreeze") == "head_first":
        changes = changes | {"fine_tune.epochs": 2}
    put(tree, MINIATURE | changes)
    return Params(**tree)


# A segmenter that starts from a package of weights and a classifier from scratch; each other takes half a minute.
QUICK = ("photographs", "plain-cnn")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(ROWS)]
)
def test_a_recipe_runs_from_ingest_to_export(name: str, tmp_path: Path) -> None:
    make, changes = ROWS[name]
    make(tmp_path / "raw")
    params = miniature(name, changes)
    metrics = run_stages(tmp_path / "raw", tmp_path / "work", params)
    assert 0 <= metrics[HEADLINE[params.task]] <= 1
    assert (tmp_path / "work/exported/model.onnx").stat().st_size > 1000
    assert read_json(tmp_path / "work/exported/spec.json")["model"]["name"] == params.model["name"]
