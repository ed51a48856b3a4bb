"""Stage 7, export: writes the model as ONNX, proves that it is the same model, and describes it on a card.

Reads the fine-tuned model, its metrics, its reference, the shards of the split, the class map and the card of the
pretrained weights; for targets in 8 bits, training images to take ranges from, and val to choose layers by.
Writes `model.onnx` and the files of the other targets, `weights.safetensors`, spec, class map, `predict.json`,
`metrics.json`, `parity.json`, `model_card.md`, and a copy of `reference.parquet`, which thus goes wherever the model
goes.
Stops when an exported file disagrees with the original.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.deployment.export.export_source import ExportSource
from graft.deployment.export.exported_model import ONNX_FILE, TARGET_FILES, runner_of
from graft.deployment.export.exported_scores import EvaluationSetup
from graft.deployment.export.latency import costs, first_image
from graft.deployment.export.model_card import model_card
from graft.deployment.export.parity import compare, compare_sizes, refuse_disagreement
from graft.deployment.export.target_reports import report_targets, write_targets
from graft.deployment.export.weight_files import write_model
from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_seed, read_json, write_json
from graft.inference.runtime import use_runtime
from graft.inference.torch_runner import torch_runner
from graft.metrics.confusion import HEADLINES
from graft.models.saved_model import load_model

if TYPE_CHECKING:
    from graft.params.sections import Evaluate, Export, Predict, Runtime


def export(
    *,
    task: str,
    seed: int,
    runtime: Runtime,
    predict: Predict,
    evaluate: Evaluate,
    export: Export,
    images: Path,
    calibration: Path,
    scan: Path,
    class_map: Path,
    model: Path,
    metrics: Path,
    reference: Path,
    card: Path,
    out: Path,
    measured: Path | None = None,
) -> dict[str, float]:
    """Writes the model in its new forms, compares them, times them if `measured` is a file; returns how they differ."""
    use_runtime(runtime)
    classes, (original, spec) = ClassMap.read(class_map), load_model(model)
    stored = write_model(out, original, spec, classes, export, predict)
    seen = frozenset(read_json(model / "seen.json")["train"])
    facts = (spec, export.opset, out / ONNX_FILE, calibration, seen, scan, predict, runtime.num_threads)
    made = write_targets(out, source := ExportSource(stored, *facts), export)
    same, file = torch_runner(stored, spec), runner_of(out / ONNX_FILE, runtime.num_threads)
    parity = compare(same, file, spec, images, classes.num_classes, export.parity_images, predict)
    parity["relative_difference_at_odd_sizes"] = compare_sizes(same, file, spec, original.fixed_size_px)
    rescoring = EvaluationSetup(task, images, classes.names, content_seed(seed, "bootstrap"), evaluate, predict)
    before = None if export.weights_dtype == "float32" else torch_runner(original, spec)
    scored, rounding = rescoring.of_file(file, before, spec, read_json(metrics), runtime.precision)
    parity |= {"weights_dtype": export.weights_dtype, **rounding}
    refuse_disagreement(parity, export)
    parity |= report_targets(out, made, same, source, images, export.targets)
    _write_evidence(out, parity, scored, reference)
    (out / "model_card.md").write_text(model_card(out, model, read_json(card)), encoding="utf-8")
    _measure(measured, source, {name: out / TARGET_FILES[name] for name in made}, images)
    return _differences(parity) | {name: float(scored[name]) for name in HEADLINES[task] if scored[name] is not None}


def _measure(measured: Path | None, source: ExportSource, files: dict[str, Path], images: Path) -> None:
    if measured is not None:
        image = first_image(images, source.spec, source.predict.max_pixels)
        write_json(measured, costs(source.model, source.spec, files, image))


def _differences(parity: dict[str, Any]) -> dict[str, float]:
    names = ("max_logit_difference", "equal_fraction", "score_difference")
    found = {name: float(parity[name]) for name in names}
    for target, report in parity.get("targets", {}).items():
        found |= {f"{target}.{name}": float(report[name]) for name in names}
    return found


def _write_evidence(out: Path, parity: dict[str, Any], scored: dict[str, Any], reference: Path) -> None:
    write_json(out / "parity.json", parity)
    write_json(out / "metrics.json", scored)
    shutil.copyfile(reference, out / reference.name)
