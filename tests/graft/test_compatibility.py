"""graft check refuses what cannot work together, at its line, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from graft.errors import GraftError
from graft.params_file import check_file
from graft.params_writing import DOCUMENTED
from graft.recipes import recipes
from tests.dotted_keys import put

CLASSIFICATION = {"task": "classification", "pretrain_load.source": "none"}


def file(folder: Path, changes: dict[str, Any]) -> Path:
    yaml, path = YAML(), folder / "params.yaml"
    tree = yaml.load(DOCUMENTED)
    put(tree, changes)
    yaml.dump(tree, path)
    return path


CROP_64 = {"augment.crop": {"height_px": 64, "width_px": 64}}
REFUSED = {
    "inception below its smallest size": (
        CLASSIFICATION | CROP_64 | {"model": {"name": "inception_v3"}},
        r"views of 64×64 px for inception_v3. Rule: its smallest height and width are \d+ px. Remedy: enlarge",
    ),
    "one value a channel in a batch of one": (
        {"model": {"name": "deeplabv3"}, "fine_tune.batch_size": 1},
        r"batches of one image for deeplabv3. Rule: it normalises one value.*batch_size to 2 or more",
    ),
    "a patch that does not divide": (
        CLASSIFICATION | {"model": {"name": "timm", "variant": "volo_d1_224"}},
        r"views of 256×192 px for timm. Rule: it takes images of exactly 224×224 px. Remedy: set augment.crop",
    ),
    "images of any size for a model of one": (
        CLASSIFICATION | {"model": {"name": "timm", "variant": "volo_d1_224"}},
        r"images of any size for timm. Rule: .*224×224 px. Remedy: set preprocess.resize: {name: fit, size_px: 224}",
    ),
    "a schedule longer than training": (
        {"fine_tune.schedule": {"name": "multi_step", "milestones": [4, 30]}},
        r"schedule multi_step: .*every part of a schedule lies within training. Remedy: raise fine_tune.epochs",
    ),
    "reused features of a moving backbone": (
        {"fine_tune.strategy": {"name": "supervised", "reuse_features": True}},
        r"reuse_features with train: all.*set train: frozen_backbone",
    ),
    "mixing beside reused features": (
        {
            "fine_tune.strategy": {"name": "supervised", "train": "head", "reuse_features": True},
            "fine_tune.mixing": "cutmix",
        },
        r"reuse_features with fine_tune.mixing: cutmix",
    ),
    "scales the wrong way round": (
        {"augment.policy": {"name": "street", "min_scale": 2.0, "max_scale": 0.5}},
        r"min_scale 2.0 is larger than max_scale 0.5",
    ),
    "rare pixels of photographs": (
        CLASSIFICATION | {"model": "resnet", "augment.policy": {"name": "light", "rare_class_pixels": 5}},
        r"rare_class_pixels is for segmentation",
    ),
    "weights that a loss cannot take": (
        {"fine_tune.losses": [{"name": "generalised_dice", "weight": 1.0}], "fine_tune.class_weights": "inverse"},
        r"generalised_dice takes no class weights",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_together_is_refused_at_its_line(case: str, tmp_path: Path) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(GraftError, match=rf"params.yaml:\d+: (?s:.*){message}"):
        check_file(file(tmp_path, changes))


def test_all_of_it_is_listed_at_once(tmp_path: Path) -> None:
    changes = {"fine_tune.schedule": {"name": "step", "every_epochs": 99}, "augment.policy": {"name": "street"}}
    changes |= {"fine_tune.strategy": {"name": "supervised", "train": "head", "layer_decay": 0.5}}
    with pytest.raises(GraftError, match=r"breaks the rules \(2\)"):
        check_file(file(tmp_path, changes))


def test_every_recipe_is_in_order() -> None:
    for path in recipes().values():
        check_file(path)
