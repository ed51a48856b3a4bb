"""Inputs of evaluate, made in a moment: six small images, an untrained model and what earlier stages would say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from graft.data.images.codec import encode_png
from graft.data.shards import Row, ShardWriter
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.models.architectures import build_fresh
from graft.models.saved_model import ModelSpec, model_folder, save_model
from graft.params.sections import Evaluate, Predict, Report
from pipeline.evaluate import evaluate
from tests import tiny_training

NAMES = ("road", "grass", "sky")
COLORS = ((128, 64, 128), (60, 140, 60), (70, 130, 180))
MODELS = {
    "segmentation": {"name": "lraspp", "backbone": "mobilenet_v3_large"},
    "classification": {"name": "mobilenet_v3", "variant": "small"},
}


def street(index: int, *, height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """An image of three bands with noise, and its mask with some ignored pixels."""
    generator = np.random.default_rng(index)
    mask = np.repeat(np.arange(height)[:, None] * 3 // height, width, axis=1).astype(np.uint8)
    noise = generator.integers(-20, 20, (height, width, 3))
    image = np.clip(np.array(COLORS)[mask] + noise, 0, 255).astype(np.uint8)
    mask[:4] = 255
    return image, mask


def rows_of(
    task: str, num_images: int = 6, change: Callable[[np.ndarray], np.ndarray] = lambda mask: mask
) -> list[Row]:
    """Test rows in two domains; `change` alters every mask."""
    rows = []
    for index in range(num_images):
        image, mask = street(index)
        data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
        target: dict[str, Any] = {"mask": encode_png(change(mask)), "mask_sha256": f"m{index}", "label": None}
        if task == "classification":
            target = {"mask": None, "mask_sha256": None, "label": index % 3}
        names = {"id": f"clip/{index}.png", "split": "test", "batch": "first", "group": "clip"}
        domain = "night" if index % 2 else "day"
        rows.append(Row(**names, domain=domain, image=data, image_sha256=f"{index:064d}", **target))
    return rows


def write_inputs(
    root: Path, task: str = "segmentation", *, others: Sequence[str] = ("baseline",), rows: list[Row] | None = None
) -> None:
    """Everything evaluate reads, in the places dvc.yaml gives it."""
    for folder in ("data/interim", "data/augmented", "models/fine_tuned", "reports/fine_tuning", "reports/validation"):
        (root / folder).mkdir(parents=True)
    ClassMap(task, NAMES, COLORS, (0, 1, 2), True, True, "scenes").write(root / "data/interim/class_map.json")
    writer = ShardWriter(root / "data/interim", "first")
    for row in rows_of(task) if rows is None else rows:
        writer.add(asdict(row))
    writer.close()
    for seed, run in enumerate(("fine_tuned", *others)):
        folder = model_folder(root / "models/fine_tuned", run)
        folder.mkdir(exist_ok=True)
        model = build_fresh(task, MODELS[task], len(NAMES), seed)
        spec = ModelSpec(
            task, MODELS[task], 3, NAMES, (0.5,) * 3, (0.25,) * 3, {"name": "none"}, model.padding_multiple, True
        )
        save_model(folder, model, spec)
    write_json(root / "models/fine_tuned/seen.json", {"train": ["a" * 64], "val": []})
    (root / "reports/fine_tuning/curves.csv").write_text(
        "run,epoch,step,train_loss,val_loss,val_score,learning_rate\n"
        "fine_tuned,1,10,1.5,1.4,0.2,0.001\nfine_tuned,2,20,1.1,1.2,0.4,0.001\nbaseline,1,10,1.9,1.8,0.1,0.002\n"
    )
    write_json(root / "reports/validation/validation.json", VALIDATION)
    statistics = {"num_images": 9, "class_pixels_before": [5, 3, 2], "class_pixels_after": [4, 3, 3]}
    write_json(root / "data/augmented/statistics.json", statistics)


VALIDATION = {
    "passed": True,
    "num_images": 15,
    "expectations": [
        {
            "name": "tiny_images",
            "severity": "warning",
            "success": False,
            "count": 2,
            "rule": "sides have at least 64 pixels",
            "why": "there is little to learn from",
            "remedy": "leave them out",
            "examples": ["clip/<b>&1.png"],
            "allowed": [{"images": "clip/*", "reason": "thumbnails"}],
        },
    ],
}


def run_evaluate(root: Path, task: str = "segmentation", **changes: Any) -> dict[str, float]:
    """Runs the stage on inputs of `write_inputs`; `changes` are values of the section `evaluate`."""
    settings = {"split": "test", "batch_size": 4, "bootstrap_samples": 50, "calibration_bins": 5}
    settings |= {"boundary_fraction": 0.02, "test_time": {"scales": [1.0], "flip": False}}
    out = root / "reports/evaluation"
    out.mkdir(exist_ok=True)
    runtime = tiny_training.runtime()
    return evaluate(
        task=task,
        seed=3,
        runtime=runtime,
        predict=Predict(max_pixels=65536, overlap_px=16),
        evaluate=Evaluate(**(settings | changes)),
        report=Report(num_examples=3),
        images=root / "data/interim/test",
        class_map=root / "data/interim/class_map.json",
        model=root / "models/fine_tuned",
        curves=root / "reports/fine_tuning",
        validation=root / "reports/validation/validation.json",
        statistics=root / "data/augmented/statistics.json",
        out=out,
    )
