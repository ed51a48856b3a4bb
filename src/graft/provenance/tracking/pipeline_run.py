"""The run of a whole pipeline in MLflow: the parent of its stage runs, with the scores, the duration and links to all.

It is found by the digest of the record of export, and so exists once a pipeline has reached its end. A stage run that
serves several pipelines stays a child of the first; each of them lists it.
"""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import read_json, sha256_of
from graft.provenance.records import Record
from graft.provenance.stages import EVALUATION, SCORES, in_order, is_within, record_path
from graft.provenance.tracking import mlflow_store, runs

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient

STAGE_OF_PIPELINE = "pipeline"
PIPELINE, RUN_OF = "graft.pipeline", "graft.run."
PARENT = "mlflow.parentRunId"
SECONDS = "seconds"
# The headline of a task and its score by class.
SHOWN_BY_CLASS = {"mean_iou": "iou", "accuracy": "recall", "mean_average_precision": "average_precision"}


def publish_pipeline(client: MlflowClient, records: Mapping[str, Record], run_ids: Mapping[str, str]) -> str:
    """Finds or creates the parent of the stage runs and completes it; returns its id.

    Several people may publish the same pipeline at once: the earliest parent stays, and takes the children of others.

    Args:
        client: Client of the store.
        records: Record of each stage of the workspace, export among them.
        run_ids: Id of the run of each.
    """
    records = records_behind(records)
    run_ids = {stage: run_ids[stage] for stage in records}
    digest = records["export"].sha256
    found = {stage: client.get_run(run_id) for stage, run_id in run_ids.items()}
    parent = runs.keep_one_run(client, digest, PIPELINE) or _create(client, records, found)
    while True:
        if parent.data.tags.get(mlflow_store.COMPLETE) != "true":
            _complete(client, parent, records, found)
        for run in found.values():
            _adopt(client, run, parent.info.run_id)
        kept = runs.keep_one_run(client, digest, PIPELINE)
        if kept is None or kept.info.run_id == parent.info.run_id:
            return str(parent.info.run_id)
        parent, found = kept, {stage: client.get_run(run_id) for stage, run_id in run_ids.items()}


def scores_of(client: MlflowClient, evaluate: Record, run: Any | None) -> dict[str, float]:
    """The headline scores, those by class and those by domain, from the report of evaluate or the copy in its run.

    Returns:
        Scores by name: `mean_iou`, `iou/road`, `mean_iou/night_rain`, and `mean_iou/source_only/night_rain` of a model
        that was not adapted; what is undefined is left out.
    """
    metrics = _read_metrics(client, evaluate, run)
    headline = next((name for name in SHOWN_BY_CLASS if name in metrics), None)
    if headline is None:
        return dict(evaluate.metrics)
    shown = SHOWN_BY_CLASS[headline]
    by_class = {f"{shown}/{name}": value for name, value in metrics[shown].items()}
    by_domain = {f"{headline}/{name}": part[headline] for name, part in metrics["per_domain"].items()}
    unadapted = metrics.get("source_only", {}).get("per_domain", {})
    by_domain |= {f"{headline}/source_only/{name}": part[headline] for name, part in unadapted.items()}
    deliveries = metrics.get("per_delivery", {})
    by_delivery = {f"{headline}/delivery/{name}": part[headline] for name, part in deliveries.items()}
    found = {**evaluate.metrics, **by_class, **by_domain, **by_delivery}
    return {runs.clean_key(name): value for name, value in found.items() if value is not None}


def records_behind(records: Mapping[str, Record]) -> dict[str, Record]:
    """The records of one pipeline: without those of stages that have made other bytes since."""
    behind = {"export": records["export"]}
    for stage in reversed(in_order(records)):
        made, outputs = records[stage].produced(), records[stage].outputs
        read = {posixpath.normpath(path): sha for other in behind.values() for path, sha in other.inputs.items()}
        taken = {path: sha for path, sha in read.items() if is_within(path, *outputs)}
        if taken and all(made.get(path) == sha for path, sha in taken.items()):
            behind[stage] = records[stage]
    return {stage: behind[stage] for stage in in_order(behind)}


def params_of(records: Mapping[str, Record]) -> dict[str, str]:
    """The parameters of all stages of a pipeline by dotted key."""
    return {key: value for record in records.values() for key, value in runs.flatten_params(record.params).items()}


def _create(client: MlflowClient, records: Mapping[str, Record], found: Mapping[str, Any]) -> Any:
    export = records["export"]
    name = mlflow_store.experiment_of_dvc() or f"{STAGE_OF_PIPELINE} {export.sha256[:8]}"
    tags = {mlflow_store.STAGE: STAGE_OF_PIPELINE, PIPELINE: export.sha256}
    return runs.create_run(client, name, tags, sum(_seconds(found).values()))


def _complete(client: MlflowClient, parent: Any, records: Mapping[str, Record], found: Mapping[str, Any]) -> None:
    run_id, export, seconds = parent.info.run_id, records["export"], _seconds(found)
    scores = scores_of(client, records["evaluate"], found["evaluate"]) if "evaluate" in records else {}
    tags = {f"{RUN_OF}{record_path(stage).stem}": run.info.run_id for stage, run in found.items()}
    tags |= {"mlflow.source.name": "dvc repro", "mlflow.source.git.commit": str(export.git.commit)}
    tags[mlflow_store.NOTE] = _describe(scores, found, seconds)
    runs.tag(client, run_id, tags)
    runs.log_params(client, run_id, params_of(records))
    times = {f"{SECONDS}/{record_path(stage).stem}": value for stage, value in seconds.items()}
    times |= {SECONDS: sum(seconds.values())} if seconds else {}
    points = [(name, value, 0) for name, value in (scores | times).items()]
    runs.log_curves(client, run_id, points, parent.info.start_time)
    runs.end_run(client, parent, sum(seconds.values()))
    runs.tag(client, run_id, {mlflow_store.COMPLETE: "true"})


def _seconds(found: Mapping[str, Any]) -> dict[str, float]:
    """The seconds that each stage took, as far as its run says."""
    return {stage: run.data.metrics[SECONDS] for stage, run in found.items() if SECONDS in run.data.metrics}


def _read_metrics(client: MlflowClient, evaluate: Record, run: Any | None) -> Mapping[str, Any]:
    sha = evaluate.files.get(SCORES)
    if sha is None:
        return {}
    if Path(SCORES).is_file() and sha256_of(Path(SCORES)) == sha:
        return read_json(Path(SCORES))
    with tempfile.TemporaryDirectory() as folder:
        name = posixpath.relpath(SCORES, EVALUATION)
        file = None if run is None else runs.fetch_artifact(client, run, name, Path(folder))
        return read_json(file) if file is not None and sha256_of(file) == sha else {}


def _describe(scores: Mapping[str, float], found: Mapping[str, Any], seconds: Mapping[str, float]) -> str:
    """Writes the top of the page of the run in Markdown: the scores, and the runs of the stages as links.

    Short, because the UI folds whatever is longer than a few lines.
    """
    lines = ["One pipeline, from the images to the exported model."]
    if headline := next((name for name in SHOWN_BY_CLASS if name in scores), None):
        baseline = scores.get(f"baseline_{headline}")
        beside = "" if baseline is None else f" (trained from scratch: {baseline:.4g})"
        lines.append(f"{headline.replace('_iou', ' IoU')} **{scores[headline]:.4g}**{beside}")
    links = [
        f"[{record_path(stage).stem}](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id})"
        + (f" {seconds[stage]:.0f} s" if stage in seconds else "")
        for stage, run in found.items()
    ]
    return "\n\n".join([*lines, " · ".join(links)])


def _adopt(client: MlflowClient, run: Any, parent: str) -> None:
    """Makes a run the child of a parent, unless it has another one that stands."""
    current = run.data.tags.get(PARENT)
    if current != parent and not (current and _stands(client, current)):
        runs.tag(client, run.info.run_id, {PARENT: parent})


def _stands(client: MlflowClient, parent: str) -> bool:
    """Tell whether a parent is there, neither deleted nor put away as the double of another."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(parent)
    except MlflowException as error:
        if mlflow_store.is_absence(error):
            return False
        raise
    return run.info.lifecycle_stage == "active" and not run.data.tags.get(PIPELINE, "").startswith(runs.DOUBLE)
