"""The files of all targets, and the report on each: how it was made, how large it is, how far it is from the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.deployment.export.export_source import ExportSource
from graft.deployment.export.exported_model import TARGET_FILES, runner_of
from graft.deployment.export.parity import compare_split
from graft.deployment.export.targets import resolve_targets
from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import Runner


def write_targets(out: Path, source: ExportSource, specs: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Writes the file of each target; returns the facts that each tells of how it was made.

    Raises:
        GraftError: A target does not exist, or the model cannot be written as one.
    """
    return {name: target(source, out / TARGET_FILES[name]) for name, target in resolve_targets(specs).items()}


def report_targets(
    out: Path,
    made: Mapping[str, Mapping[str, Any]],
    original: Runner,
    source: ExportSource,
    images: Path,
    specs: Sequence[Any],
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compares every target but `onnx` with the model, on all images of a split; stops where one is too far from it.

    Args:
        out: Folder of the files.
        made: Facts that each target tells of how it was made.
        original: The model.
        source: The source of the files.
        images: Shards of the split.
        specs: The targets with their limits, as `export.targets` has them.

    Returns:
        `targets` of parity.json, nothing where `onnx` is the only one: by target the file, its size and sha256, the
        differences of logits, decisions, score and worst class, and what the target says itself.

    Raises:
        GraftError: As `refuse_targets`.
    """
    reports = {}
    for name, told in made.items():
        if name != "onnx":
            file = out / TARGET_FILES[name]
            exported = runner_of(file, source.num_threads)
            found = compare_split(original, exported, source.spec, images, source.spec.class_names, source.predict)
            written = {"file": file.name, "num_bytes": file.stat().st_size, "sha256": sha256_of(file)}
            reports[name] = {**written, **found, **told}
    refuse_targets(reports, specs)
    return {"targets": reports} if reports else {}


def refuse_targets(reports: Mapping[str, Mapping[str, Any]], specs: Sequence[Any]) -> None:
    """Stops where a target is too far from the model; a report of a target that is not in `specs` is passed over.

    Raises:
        GraftError: Lists every limit that is exceeded, with target, value and limit.
    """
    problems = []
    for name, target in resolve_targets(specs).items():
        if name not in reports:
            continue
        report, limits = reports[name], target.options
        drop = report["original_score"] - report["exported_score"]
        if not drop <= limits["max_score_difference"]:
            limit = f"its max_score_difference is {limits['max_score_difference']:g}"
            problems.append(f"{name}: {report['score']} falls by {drop:.3g}; {limit}")
        if not report["equal_fraction"] >= limits["min_equal_fraction"]:
            limit = f"its min_equal_fraction is {limits['min_equal_fraction']:.4%}"
            problems.append(f"{name}: {report['equal_fraction']:.4%} of the predictions are equal; {limit}")
    if problems:
        raise GraftError.of_all(
            "exported targets disagree with the original",
            problems,
            remedy="take the target out of export.targets, or widen its limit if the difference is harmless",
        )
