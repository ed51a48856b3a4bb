"""A data set of a few small streets, ready for fine-tune, and the sections it takes, for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.models.architectures import build_fresh
from graft.models.saved_model import save_state
from graft.params.sections import FineTune, Predict, Preprocess, Runtime
from pipeline.fine_tune import fine_tune
from tests.augmented_samples import bare_rows, run_augment, write_rows, write_train

PREDICT = Predict(max_pixels=2_000_000, overlap_px=64)
MODELS = {"segmentation": {"name": "lraspp"}, "classification": {"name": "mobilenet_v3", "variant": "small"}}
CARD = {"name": "none", "reinitialised": [], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SECTION = {
    "strategy": {"name": "supervised", "train": "all"},
    "losses": [{"name": "cross_entropy", "weight": 1.0}],
    "class_weights": "none",
    "sampling": "shuffled",
    "mixing": "none",
    "log_prior_bias": False,
    "optimizer": {"name": "adamw"},
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "warmup": "linear",
    "epochs": 2,
    "sizes": [1.0],
    "batch_size": 3,
    "accumulate_steps": 1,
    "clip_norm": 1.0,
    "clip_value": None,
    "averaging": "none",
    "validate_every_epochs": 1,
    "early_stopping_epochs": None,
    "baseline": False,
    "baseline_learning_rate": 3e-3,
}


def prepare(
    folder: Path, task: str = "segmentation", *, num_samples: int = 6, num_unlabelled: int = 0, **augment: Any
) -> Path:
    """Shards (of which val is the same as train), views and weights that know nothing."""
    write_train(folder, task=task, num_samples=num_samples)
    if num_unlabelled:
        write_rows(folder / "unlabelled", bare_rows(task, num_unlabelled))
        augment["unlabelled"] = "unlabelled"
    run_augment(folder, folder / "augmented", task=task, **augment)
    (folder / "pretrained").mkdir()
    num_classes = ClassMap.read(folder / "class_map.json").num_classes
    save_state(
        folder / "pretrained/weights.safetensors", build_fresh(task, MODELS[task], num_classes, 5).state_dict(), {}
    )
    write_json(folder / "pretrained/card.json", CARD)
    return folder


def section(**changes: Any) -> FineTune:
    """The `fine_tune` section."""
    return FineTune(**SECTION | changes)


def runtime(**changes: Any) -> Runtime:
    """The `runtime` section."""
    usual = {"device": "cpu", "precision": "float32", "channels_last": True, "num_threads": 1, "deterministic": True}
    return Runtime(**usual | {"compile": False} | changes)


def run(
    folder: Path,
    out: Path,
    task: str = "segmentation",
    *,
    runtime_changes: dict | None = None,
    predict: Predict = PREDICT,
    **changes: Any,
) -> dict:
    """Runs the stage into `out/model` and `out/curves`; what it does not take itself goes to its section."""
    for name in ("model", "curves"):
        (out / name).mkdir(parents=True)
    extra = {name: changes.pop(name) for name in ("resume", "listen", "measured") if name in changes}
    pretrained = changes.pop("pretrained", folder / "pretrained")
    return fine_tune(
        task=task,
        seed=7,
        model=changes.pop("model", MODELS[task]),
        preprocess=Preprocess(resize="none"),
        runtime=runtime(**runtime_changes or {}),
        predict=predict,
        fine_tune=section(**changes),
        augmented=folder / "augmented",
        val=folder / "train",
        class_map=folder / "class_map.json",
        pretrained=pretrained,
        out=out / "model",
        curves=out / "curves",
        **extra,
    )
