"""What seven stages leave behind, written by hand: records that fit together, a tiny exported model, its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.foundation.content import digest_of, listing, sha256_of, write_json
from graft.provenance.stages import (
    EXPORTED,
    INGESTED,
    MEASURED,
    MODEL_CARD,
    NO_MODEL,
    RECORDS,
    SCORES,
    STAGES,
    delivery_of,
    in_order,
    instance_of,
    is_ingest,
    is_within,
    measured_path,
    record_path,
    stage_of,
)
from tests.graft.small_export import small_export

READS = {
    "ingest": ("data/raw",),
    "augment": ("data/interim", "reports/validation", NO_MODEL),
    "pretrain-load": ("data/interim",),
    "fine-tune": ("data/augmented", "models/pretrained"),
    "evaluate": ("models/fine_tuned",),
    "export": ("models/fine_tuned", SCORES),
}
METRICS = {
    "mean_iou": 0.5,
    "pixel_accuracy": 0.75,
    "iou": {"red": 0.25, "green": 0.75, "blue": None},
    "per_domain": {"day": {"mean_iou": 0.625}, "night rain": {"mean_iou": 0.375}},
    "baseline": {"mean_iou": 0.125},
}
PARAMS = {"ingest": {"batch": "first"}, "pretrain_load": {"source": {"name": "none"}}}
HEADLINES = {"mean_iou": 0.5, "pixel_accuracy": 0.75, "baseline_mean_iou": 0.125}


def write_pipeline(
    versions: Mapping[str, int] | None = None, metrics: Mapping[str, Any] | None = None, later: Sequence[str] = ()
) -> None:
    """Writes the records and files of a pipeline into the current folder.

    Args:
        versions: By stage, a number that its results differ by; 0 where none is given.
        metrics: Content of metrics.json.
        later: Names of deliveries after the first.
    """
    versions = dict.fromkeys(STAGES, 0) | dict(versions or {})
    for folder in (RECORDS, MEASURED, Path(SCORES).parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(Path(SCORES), {**(metrics or METRICS), "version": versions["evaluate"]})
    small_export(Path(EXPORTED), source_values=(versions["export"], 100, 200))
    Path(MODEL_CARD).write_text("# A model\nof three colours\n\n## More\n", encoding="utf-8")
    made = {"data/raw": sha("raw"), NO_MODEL: sha("no model")}
    for number, stage in enumerate(in_order([*STAGES, *map(instance_of, later)])):
        content = record(stage, versions[stage_of(stage).name], made)
        made |= content["outputs"] | content["files"]
        write_json(record_path(stage), content)
        write_json(measured_path(stage), {"fingerprint": content["fingerprint"], "seconds": 10.0 + number})


def record(stage: str, version: int, made: Mapping[str, str]) -> dict[str, Any]:
    """The record of a stage that read what is made."""
    outputs = {path: sha(path, version) for path in stage_of(stage).outputs}
    if is_ingest(stage):
        outputs = {f"{INGESTED}/{delivery_of(stage) or 'first'}": sha(stage, version)}
    files: dict[str, str] = {}
    if stage == "evaluate":
        files = {SCORES: sha256_of(Path(SCORES))}
    if stage == "export":
        outputs = {EXPORTED: digest_of(Path(EXPORTED))}
        files = {f"{EXPORTED}/{name}": digest for name, digest in listing(Path(EXPORTED)).items()}
    return {
        "stage": stage,
        "fingerprint": sha(stage, "fingerprint", version),
        "params": {"task": "segmentation", "seed": 7, **PARAMS, "fine_tune": {"epochs": version}},
        "inputs": _inputs(stage, made),
        "code": {},
        "environment": {"lock": None, "python": "3.11", "system": "Linux"},
        "outputs": outputs,
        "files": files,
        "metrics": HEADLINES if stage in ("evaluate", "export") else {},
        "git": {"commit": "c" * 40, "holds_code_and_params": True},
    }


def _inputs(stage: str, made: Mapping[str, str]) -> dict[str, str]:
    if stage == "validate":
        return {path: digest for path, digest in made.items() if is_within(path, INGESTED)}
    return {path: made[path] for path in READS[stage_of(stage).name]}


def sha(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
