"""Publishing to MLflow: every record of the workspace gets its run, the exported model its version.

When DVC restores a stage from its cache nothing executes, so logging cannot live inside stages alone. Publishing reads
what the stages recorded and may be repeated at will: a run is found by the digest of its record, a version by the
digest of its model, and nothing is ever doubled.
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import digest_of, read_json, sha256_of
from graft.foundation.progress import progress, say, warn
from graft.models.address import CANDIDATE, ModelAddress, registered_name
from graft.provenance.exported_files import HEAD, exported_files, legend
from graft.provenance.records import Record
from graft.provenance.stages import (
    CURVES,
    EXPORTED,
    MODEL_CARD,
    PARITY,
    artifacts_of,
    measured_path,
    record_path,
    recorded_stages,
    stage_of,
)
from graft.provenance.tracking import local_store, mlflow_store, model_versions, registry, runs, updates
from graft.provenance.tracking.pipeline_run import SECONDS, publish_pipeline

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient


def publish(*, is_judged_next: bool = False) -> str:
    """Completes MLflow from the records of the workspace; returns a line that says what the store holds now.

    Args:
        is_judged_next: Whether the verdict on an update follows, so that nothing is said of its absence.

    Raises:
        mlflow_store.Unreachable: No server answers, or it refuses.
    """
    with mlflow_store.explain_refusals(mlflow_store.PUBLISH_AGAIN):
        mlflow_store.relocate()
        client = mlflow_store.client()
    with mlflow_store.hold_lock("publish"), mlflow_store.explain_refusals(mlflow_store.PUBLISH_AGAIN):
        mlflow_store.retry(partial(runs.describe_experiment, client))
        stages = recorded_stages()
        run_ids = {
            stage: mlflow_store.retry(partial(_publish_record, client, stage))
            for stage in progress(stages, "Publishing", unit="stage")
        }
        if "export" in run_ids:
            records = {stage: Record.read(record_path(stage)) for stage in stages}
            mlflow_store.retry(partial(publish_pipeline, client, records, run_ids))
        version = (
            mlflow_store.retry(partial(_publish_model, client, run_ids["export"], is_judged_next))
            if "export" in run_ids and Path(EXPORTED).is_dir()
            else "no model exported yet"
        )
    return f"{len(run_ids)} runs in {mlflow_store.store_uri()}; {version}"


def publish_or_warn() -> None:
    """Publishes; a server that does not answer is one warning, for training has done its work."""
    if mlflow_store.is_off():
        return
    try:
        say(f"graft publish: {publish(is_judged_next=updates.is_judged_next())}")
    except mlflow_store.Unreachable as error:
        warn(error)


def open_listener(stage: str, fingerprint: str) -> Callable[[str, Any], None] | None:
    """Opens a run for the curves of a training; returns the function to call with each epoch report.

    What an epoch cost becomes curves here too. These differ from run to run, so `publish` cannot draw them from the
    declared outputs afterwards; it copies `reports/measured/fine-tune.json`, which holds the same numbers.

    None where tracking is off, or no server answers, which is one warning.
    """
    if mlflow_store.is_off():
        return None
    tags = {mlflow_store.STAGE: stage, mlflow_store.FINGERPRINT: fingerprint}
    try:
        with mlflow_store.explain_refusals(mlflow_store.PUBLISH_AGAIN):
            client = mlflow_store.client()
            run = runs.find_run(client, tags) or runs.create_run(client, stage, tags)
    except mlflow_store.Unreachable as error:
        warn(error)
        return None

    def listen(name: str, report: Any) -> None:
        try:
            values = report.curve() | report.cost.curve()
            runs.log_curves(client, run.info.run_id, list(_points(name, values, report.epoch)))
        except Exception as error:  # a server that goes away must not end a training
            warn(f"the curves did not reach MLflow ({type(error).__name__}); graft publish completes them")

    return listen


def _publish_record(client: MlflowClient, stage: str) -> str:
    """Finds or creates the run of a record and completes it; returns its id.

    Several people may publish the same record at once: all complete the run that stays, and what is logged twice is
    logged once.
    """
    path = record_path(stage)
    record, digest = Record.read(path), sha256_of(path)
    run = runs.keep_one_run(client, digest) or _find_streamed(client, stage, record.fingerprint)
    tags = {mlflow_store.STAGE: stage, mlflow_store.RECORD: digest}
    run = run or runs.create_run(client, stage, tags, _measured_seconds(record) or 0.0)
    while True:
        _complete(client, run, record, {mlflow_store.RECORD: digest, **tags_of(record)}, path)
        kept = runs.keep_one_run(client, digest)
        if kept is None or kept.info.run_id == run.info.run_id:
            return str(run.info.run_id)
        run = kept


def _complete(client: MlflowClient, run: Any, record: Record, tags: Mapping[str, str], path: Path) -> None:
    """Logs all of a record and then marks the run complete; of a complete run, only files that were absent before."""
    stage, run_id = record.stage, str(run.info.run_id)
    if run.data.tags.get(mlflow_store.COMPLETE) == "true":
        _log_files(client, run_id, record, path, {item.path for item in client.list_artifacts(run_id)})
        return
    runs.tag(client, run_id, tags)
    runs.log_params(client, run_id, params_of(record))
    seconds = _measured_seconds(record)
    points = [(name, value, 0) for name, value in record.metrics.items()]
    points += [] if seconds is None else [(SECONDS, seconds, 0)]
    if stage == "fine-tune" and not any("/" in name for name in run.data.metrics):
        points += _read_curves(record)
    runs.log_curves(client, run_id, points, run.info.start_time)
    if measured_path(stage).is_file():  # of the same name as the record: each gets a folder
        client.log_artifact(run_id, str(measured_path(stage)), "measured")
    _log_files(client, run_id, record, path, set())
    runs.end_run(client, run, seconds)
    runs.tag(client, run_id, {mlflow_store.COMPLETE: "true"})


def _measured_seconds(record: Record) -> float | None:
    """The seconds that a stage took here to make this record; None where it was restored, or ran elsewhere."""
    file = measured_path(record.stage)
    measured = read_json(file) if file.is_file() else {}
    return measured.get("seconds") if measured.get("fingerprint") == record.fingerprint else None


def _log_files(client: MlflowClient, run_id: str, record: Record, path: Path, held: Set[str]) -> None:
    """Logs the record and the files to see beside it, except those that the run already holds.

    A file that is absent, or not that of the record, is logged by a later publish that finds it (after `dvc pull`).
    """
    if "record" not in held:
        client.log_artifact(run_id, str(path), "record")
    for name in artifacts_of(record.stage, record.files):
        if posixpath.basename(name) in held or not Path(name).is_file():
            continue
        if sha256_of(Path(name)) == record.files.get(name):
            client.log_artifact(run_id, name)


def _find_streamed(client: MlflowClient, stage: str, fingerprint: str) -> Any | None:
    """The run that fine-tune streamed its curves into, unless another record has it already."""
    run = runs.find_run(client, {mlflow_store.STAGE: stage, mlflow_store.FINGERPRINT: fingerprint})
    return None if run is None or mlflow_store.RECORD in run.data.tags else run


def tags_of(record: Record) -> dict[str, str]:
    """The tags to search by: stage, fingerprint, commit, digests of what was consumed and produced."""
    tags = {mlflow_store.STAGE: record.stage, mlflow_store.FINGERPRINT: record.fingerprint}
    inputs = {posixpath.normpath(path): digest for path, digest in record.inputs.items()}
    tags |= {f"graft.consumed.{path}": digest for path, digest in inputs.items() if not Path(path).is_absolute()}
    tags |= {f"graft.produced.{path}": digest for path, digest in record.outputs.items()}
    tags |= {mlflow_store.NOTE: _describe(record), "mlflow.source.name": f"graft {record.stage}"}
    tags |= {f"graft.lock.{path}": digest for path, digest in (record.environment.get("extra_locks") or {}).items()}
    tags |= {"graft.lock": str(record.lock), "mlflow.source.git.commit": str(record.git.commit)}
    return tags | {"graft.commit_holds_code_and_params": str(record.git.holds_code_and_params).lower()}


def params_of(record: Record) -> dict[str, str]:
    """The parameters of a record by dotted key."""
    return runs.flatten_params(record.params)


def _describe(record: Record) -> str:
    """Writes the top of the page of a run in Markdown: the work of the stage, its numbers, the artifact to open."""
    stage, numbers = record.stage, sorted(record.metrics.items())
    said = [f"{name.replace('_', ' ').replace('.', ' ')} **{value:.4g}**" for name, value in numbers]
    look = f"Look at `{posixpath.basename(stage_of(stage).artifacts[0])}` under *Artifacts*."
    return "\n\n".join([stage_of(stage).purpose, *([" · ".join(said)] if said else []), look])


def _publish_model(client: MlflowClient, run_id: str, is_judged_next: bool) -> str:
    """Registers the exported model unless its digest has a version; points `candidate` at it, if it may be that."""
    record = Record.read(record_path("export"))
    name = registered_name(record.params["task"])
    digest = digest_of(Path(EXPORTED))
    if digest != record.outputs[EXPORTED]:
        return f"{EXPORTED} is not what its record says: not registered; run dvc repro"
    version = model_versions.find_holder(client, name, digest)
    if version is None:
        tags = {mlflow_store.MODEL_DIGEST: digest, mlflow_store.RECORD: sha256_of(record_path("export"))}
        targets = read_json(Path(PARITY)).get("targets", {}) if Path(PARITY).is_file() else {}
        tags |= {f"graft.target.{target}": report["sha256"] for target, report in targets.items()}
        tags |= {
            mlflow_store.FINGERPRINT: record.fingerprint,
            "mlflow.source.git.commit": str(record.git.commit),
        }
        version = model_versions.register(client, name, run_id, Path(EXPORTED), tags, record.metrics)
        opening = Path(MODEL_CARD).read_text("utf-8").split("\n## ", 1)[0]
        page = opening.removeprefix("# ").strip() + _describe_files(record)
        model_versions.describe(client, name, version.version, page)
    if local_store.project_root() != Path.cwd():
        apply = f"dvc exp apply {mlflow_store.experiment_of_dvc()} && graft publish"
        return f"{ModelAddress(name, int(version.version))}; {apply} makes it the {CANDIDATE}"
    if reason := updates.why_not_candidate(version):
        address = str(ModelAddress(name, int(version.version)))
        return address if is_judged_next else f"{address} is not the {CANDIDATE}: {reason}"
    registry.point(client, name, CANDIDATE, int(version.version))
    return f"{ModelAddress(name, alias=CANDIDATE)} is version {version.version}"


def _describe_files(record: Record) -> str:
    """The files of a model that has others beside the ONNX file, as a table in Markdown."""
    if not (files := exported_files(record.fingerprint)):
        return ""
    rows = [HEAD, ("---",) * len(HEAD), *(file.cells() for file in files)]
    return "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{legend(files)}"


def _read_curves(record: Record) -> Iterator[tuple[str, float, int]]:
    """Yields the points of the curves; none where the workspace has lost them, or has those of another training."""
    if not Path(CURVES).is_file() or sha256_of(Path(CURVES)) != record.files.get(CURVES):
        return
    with Path(CURVES).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values = {key: float(value) for key, value in row.items() if key not in ("run", "epoch") and value}
            yield from _points(row["run"], values, int(row["epoch"]))


def _points(run: str, values: Mapping[str, float], epoch: int) -> Iterator[tuple[str, float, int]]:
    yield from ((f"{run}/{name}", float(value), epoch) for name, value in values.items())
