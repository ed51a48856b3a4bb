"""The files of all targets, and the report on each: how it was made, how large it is, how far it is from the model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.deployment.export.export_source import ExportSource
from graft.deployment.export.exported_model import TARGET_FILES, runner_of
from graft.deployment.export.parity import compare_split
from graft.deployment.export.targets import image_problems, resolve_targets
from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import Runner

if TYPE_CHECKING:
    from graft.params.sections import Export


def write_targets(out: Path, source: ExportSource, export: Export) -> dict[str, dict[str, Any]]:
    """Writes the file of each target; returns the facts that each tells of how it was made.

    Raises:
        GraftError: A target does not exist, the section does not name the images that it reads, or the model cannot be
            written as one.
    """
    for problem in image_problems(export).values():
        raise problem
    return {name: target(source, out / TARGET_FILES[name]) for name, target in resolve_targets(export.targets).items()}


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
    files = {name: out / TARGET_FILES[name] for name in made if name != "onnx"}
    if not files:
        return {}
    exported = {name: runner_of(file, source.num_threads) for name, file in files.items()}
    found = compare_split(original, exported, source.spec, images, source.spec.class_names, source.predict)
    reports = {}
    for name, file in files.items():
        written = {"file": file.name, "num_bytes": file.stat().st_size, "sha256": sha256_of(file)}
        reports[name] = {**written, **found[name], **made[name]}
    refuse_targets(reports, specs)
    return {"targets": reports}


def refuse_targets(reports: Mapping[str, Mapping[str, Any]], specs: Sequence[Any]) -> None:
    """Stops where a target is too far from the model; a report of a target that is not in `specs` is passed over.

    Raises:
        GraftError: Lists every limit that is exceeded, with target, value and limit.
    """
    problems = [
        f"{name}: {problem}"
        for name, report, limits in judged_targets(reports, specs)
        for problem in exceeded(report, limits)
    ]
    if problems:
        raise GraftError.of_all(
            "exported targets disagree with the original",
            problems,
            remedy="take the target out of export.targets, or widen its limit if the difference is harmless",
        )


def judged_targets(
    reports: Mapping[str, Mapping[str, Any]], specs: Sequence[Any]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """The targets of `specs` that have a report: name, report, and the options that hold the limits."""
    for name, target in resolve_targets(specs).items():
        if name in reports:
            yield name, reports[name], target.options


def exceeded(report: Mapping[str, Any], limits: Mapping[str, Any]) -> list[str]:
    """A sentence for each limit that a target exceeds, with value and limit."""
    problems, drop = [], report["original_score"] - report["exported_score"]
    if not math.isfinite(report["max_logit_difference"]):
        problems.append("its logits are not all finite, because values overflow in it; no limit allows that")
    if not drop <= limits["max_score_difference"]:
        limit = f"its max_score_difference is {limits['max_score_difference']:g}"
        problems.append(f"{report['score']} falls by {drop:.3g}; {limit}")
    if not report["equal_fraction"] >= limits["min_equal_fraction"]:
        limit = f"its min_equal_fraction is {limits['min_equal_fraction']:.4%}"
        problems.append(f"{report['equal_fraction']:.4%} of the predictions are equal; {limit}")
    return problems
