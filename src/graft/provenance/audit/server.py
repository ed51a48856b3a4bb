"""The MLflow store: tags of the model's version and runs, and the records, reports and model they keep."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from graft.foundation.content import listing, sha256_of
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check, compare, compare_files
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain, Step, own_records
from graft.provenance.records import Record
from graft.provenance.stages import EXPORTED, artifacts_of, record_path
from graft.provenance.tracking import mlflow_store, model_versions, pipeline_run, runs
from graft.provenance.tracking.publish import params_of, tags_of
from graft.provenance.tracking.registry import find_versions

SERVED = Path("artifacts/exported")


def check_versions(index: Index, chain: Chain, client: Any, names: Iterable[str]) -> Iterator[Check]:
    """Checks every registered version of these exported files, and its files in the artifact store.

    Args:
        index: Index of lineage.
        chain: Chain behind the files.
        client: Client of the server.
        names: Names of the registered models that may hold them.
    """
    versions = [*chain.versions, *_renamed_versions(index, chain, client, names)]
    if not versions:
        yield Check(MISSING, "registered version", "this model is not registered; graft publish registers it")
    for version in versions:
        key = _record_of(index, chain, version)
        yield from _check_version(client, version, key, index.record(key) or Record.empty("export"))


def check_runs(index: Index, chain: Chain, client: Any) -> Iterator[Check]:
    """Checks the run of each record: its tags, params and metrics, the copy of the record and of the reports."""
    for step in chain.steps.values():
        record = index.record(step.key)
        if record is not None:
            yield from _check_runs_of(client, step, record)
        elif step.stage == "missing":
            yield from _check_gap(client, step)


def check_pipelines(index: Index, chain: Chain, client: Any) -> Iterator[Check]:
    """Checks the links, params and scores of the parent run that a pipeline has in MLflow, if it has one."""
    own = own_records(index, chain)
    record = own.get("evaluate")
    if record is None or not (found := _find_pipelines(client, own["export"])):
        return
    run = next(iter(_runs_with(client, record)), None)
    behind = pipeline_run.records_behind(own)
    params = runs.clean_params(pipeline_run.params_of(behind))
    links = {
        f"{pipeline_run.RUN_OF}{record_path(stage).stem}": [one.info.run_id for one in _runs_with(client, record)]
        for stage, record in behind.items()
    } | {pipeline_run.PIPELINE: [chain.first.key]}
    for parent in found:
        what = f"run {parent.info.run_id[:8]} of the pipeline"
        strayed = {tag: ids[0] for tag, ids in links.items() if ids and parent.data.tags.get(tag) not in ids}
        yield _compare_values(f"{what}, tags", strayed, parent.data.tags)
        yield _compare_values(f"{what}, params", params, parent.data.params)
        yield _compare_values(f"{what}, scores", pipeline_run.scores_of(client, record, run), parent.data.metrics)


def _find_pipelines(client: Any, export: Record) -> list[Any]:
    """The parent runs of a pipeline, by the record of its export; if that tag was changed, by the run of its export."""
    found = _search(client, pipeline_run.PIPELINE, export.sha256)
    for run in _runs_with(client, export):
        found += _search(client, f"{pipeline_run.RUN_OF}{export.stage}", run.info.run_id)
    return [*{run.info.run_id: run for run in found}.values()]


def _runs_with(client: Any, record: Record) -> list[Any]:
    """The runs that hold a record."""
    return list(_search(client, mlflow_store.RECORD, record.sha256))


def _renamed_versions(index: Index, chain: Chain, client: Any, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Versions registered from a record of these files although their tag names another model, or none."""
    makers = {chain.first.key, *(record for record, path in index.producers(chain.model) if path == EXPORTED)}
    known = {(version["name"], int(version["number"])) for version in chain.versions}
    doubles = {f"double of version {number}" for _, number in known}  # put away when several published at once
    for name in names:
        for version in find_versions(client, name):
            tags, number = version.tags, int(version.version)
            if tags.get(mlflow_store.RECORD) not in makers or tags.get(mlflow_store.MODEL_DIGEST) in doubles:
                continue
            if (name, number) not in known:
                yield {"name": name, "number": number, "record": tags[mlflow_store.RECORD]}


def _record_of(index: Index, chain: Chain, version: Mapping[str, Any]) -> str:
    """The record that a version was registered from, if it made these files too; else that of the chain."""
    record = index.record(version["record"] or "")
    made = record is not None and record.outputs.get(EXPORTED) == chain.model
    return version["record"] if made else chain.first.key


def _check_version(client: Any, version: Mapping[str, Any], key: str, record: Record) -> Iterator[Check]:
    address = ModelAddress(version["name"], int(version["number"]))
    tags = client.get_model_version(version["name"], str(version["number"])).tags
    expected = {
        mlflow_store.MODEL_DIGEST: record.outputs.get(EXPORTED),
        mlflow_store.RECORD: key,
        mlflow_store.FINGERPRINT: record.fingerprint or None,
        "mlflow.source.git.commit": str(record.git.commit),
    }
    for name, value in expected.items():
        yield compare(f"{address}, tag {name}", value, tags.get(name, "nothing"), "the record")
    with tempfile.TemporaryDirectory() as folder:
        try:
            whole = model_versions.download_version(address, Path(folder))
        except mlflow_store.Unreachable:
            raise
        except GraftError as error:
            yield Check(BROKEN, f"{address}, files in the artifact store", error.what)
            return
        yield _check_served(str(address), record, whole)
        served = model_versions.served_digest(whole)
        yield compare(f"{address}, served model", tags.get(mlflow_store.SERVED_DIGEST), served, "its tag")


def _check_served(uri: str, record: Record, whole: Path) -> Check:
    found = listing(whole / SERVED)
    return compare_files(f"{uri}, files in the artifact store", record.names_in(EXPORTED), found, "artifact store")


def _check_runs_of(client: Any, step: Step, record: Record) -> Iterator[Check]:
    found = list(_runs_of(client, step, record))
    if not found:
        yield Check(MISSING, f"run of {step.stage}", "none has this record; graft publish makes it")
    for run in found:
        what = f"run {run.info.run_id[:8]} of {step.stage}"
        yield _compare_values(f"{what}, tags", _expected_tags(step, record), run.data.tags)
        yield _compare_values(f"{what}, params", runs.clean_params(params_of(record)), run.data.params)
        yield _compare_values(f"{what}, metrics", record.metrics, run.data.metrics)
        yield from _check_artifacts(client, run, step, record, what)


def _compare_values(what: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Check:
    """Compares values by name; values that somebody added are ignored."""
    wrong = [name for name, value in expected.items() if found.get(name) != value]
    reason = f"not what the record says: {', '.join(wrong)}" if wrong else "as the record says"
    return Check(BROKEN if wrong else VERIFIED, what, reason)


def _runs_of(client: Any, step: Step, record: Record) -> Iterator[Any]:
    """Runs whose tag names the record, and runs of its fingerprint that keep it although their tag names another."""
    named = _search(client, mlflow_store.RECORD, step.key)
    yield from named
    seen = {run.info.run_id for run in named}
    doubles = {f"{runs.DOUBLE}{run_id}" for run_id in seen}  # put away as publishing does, and not deleted
    for run in _search(client, mlflow_store.FINGERPRINT, record.fingerprint):
        if run.data.tags.get(mlflow_store.RECORD) in doubles:
            continue
        if run.info.run_id not in seen and _digest_of_record(client, run, step.stage) in (None, step.key):
            yield run


def _search(client: Any, tag: str, value: str) -> list[Any]:
    return list(runs.search_runs(client, {tag: value}))


def _digest_of_record(client: Any, run: Any, stage: str) -> str | None:
    """The digest of the record among the artifacts of a run; None if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        file = runs.fetch_artifact(client, run, f"record/{record_path(stage).name}", Path(folder))
        return None if file is None else sha256_of(file)


def _expected_tags(step: Step, record: Record) -> dict[str, str]:
    """The tags a run must have; the description is left out, because people may edit it."""
    tags = {**tags_of(record), mlflow_store.RECORD: step.key, mlflow_store.COMPLETE: "true"}
    return {runs.clean_key(name): value for name, value in tags.items() if name != mlflow_store.NOTE}


def _check_artifacts(client: Any, run: Any, step: Step, record: Record, what: str) -> Iterator[Check]:
    kept = _digest_of_record(client, run, step.stage)
    yield compare(f"{what}, record", step.key, kept, "the chain")
    names = {Path(name).name: record.files[name] for name in artifacts_of(step.stage, record.files)}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: runs.fetch_artifact(client, run, name, Path(folder)) for name in names}
        wrong = [name for name, file in files.items() if file is not None and sha256_of(file) != names[name]]
    if wrong:
        yield Check(BROKEN, f"{what}, files", f"{', '.join(wrong)} was changed in the artifact store")
    elif gone := sorted(name for name, file in files.items() if file is None):
        yield Check(MISSING, f"{what}, files", f"{', '.join(gone)} is not in the artifact store")
    else:
        yield Check(VERIFIED, f"{what}, files", f"{len(names)} files as recorded (artifact store)")


def _check_gap(client: Any, gap: Step) -> Iterator[Check]:
    """Checks a gap in the chain: if a run says that it made these bytes, the record it keeps was changed."""
    claims = [
        (mlflow_store.RECORD, gap.key),
        *((f"graft.produced.{path}", digest) for path, digest in gap.made.items()),
    ]
    for tag, value in claims:
        for run in _search(client, tag, value):
            what = f"run {run.info.run_id[:8]} of {run.data.tags.get(mlflow_store.STAGE)}, record"
            stage = run.data.tags.get(mlflow_store.STAGE, "")
            yield compare(
                what, run.data.tags.get(mlflow_store.RECORD), _digest_of_record(client, run, stage), "its tag"
            )
