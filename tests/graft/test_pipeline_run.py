"""The parent run of a pipeline: scores, duration, links; nothing doubled, whoever publishes what how often."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from graft.foundation.content import read_json, sha256_of, write_json
from graft.models.address import CANDIDATE, ModelAddress
from graft.params.recipes import ROOT, complete_text
from graft.provenance.audit.server import check_pipelines
from graft.provenance.lineage.fill import open_index
from graft.provenance.lineage.walk import chain_of
from graft.provenance.promotion.record_chain import trace_records
from graft.provenance.stages import EXPORTED, MEASURED, RECORDS, STAGES, instance_of
from graft.provenance.tracking import mlflow_store, publish, registry, runs
from graft.provenance.tracking.pipeline_run import PARENT, PIPELINE
from graft.provenance.tracking.updates import NOT_JUDGED, UPDATING
from tests.seven_records import write_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and what it imports warn of their own affairs
NAME = "graft-segmentation"


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "GRAFT_TRACKING", "DVC_EXP_NAME", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("reports", "models"):
        shutil.rmtree(name, ignore_errors=True)


@pytest.fixture(autouse=True)
def empty(store, monkeypatch, request) -> None:
    """An experiment of its own for each test, in the store they share."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)


def parents(store) -> list[Any]:
    return list(runs.search_runs(store, {mlflow_store.STAGE: "pipeline"}))


def stage_runs(store) -> dict[str, Any]:
    found = [run for run in runs.search_runs(store, {}) if run.data.tags[mlflow_store.STAGE] != "pipeline"]
    by_stage = {run.data.tags[mlflow_store.STAGE]: run for run in found}
    assert len(by_stage) == len(found)
    return by_stage


def test_the_parent_carries_the_scores_the_duration_and_links_to_its_seven_runs(store, folder):
    write_pipeline()
    publish.publish()
    (parent,) = parents(store)
    children = stage_runs(store)
    assert list(STAGES) == sorted(children, key=list(STAGES).index)
    assert {run.data.tags[PARENT] for run in children.values()} == {parent.info.run_id}
    scores = {"mean_iou": 0.5, "pixel_accuracy": 0.75, "baseline_mean_iou": 0.125, "iou/red": 0.25, "iou/green": 0.75}
    scores |= {"mean_iou/day": 0.625, "mean_iou/night rain": 0.375, "seconds": 91.0, "seconds/ingest": 10.0}
    assert scores.items() <= parent.data.metrics.items()
    assert "iou/blue" not in parent.data.metrics
    assert (parent.info.end_time - parent.info.start_time) == 91_000
    assert children["ingest"].info.end_time - children["ingest"].info.start_time == 10_000
    assert parent.data.params["fine_tune.epochs"] == "0"
    for stage, run in children.items():
        link = f"[{stage}](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id})"
        assert link in parent.data.tags[mlflow_store.NOTE]
        assert parent.data.tags[f"graft.run.{stage}"] == run.info.run_id
    version = registry.find_version(store, ModelAddress(NAME, alias=CANDIDATE))
    assert version.run_id == children["export"].info.run_id
    assert children["export"].data.metrics["mean_iou"] == 0.5
    logged = store.get_logged_model(version.source.removeprefix("models:/"))
    assert {metric.key: metric.value for metric in logged.metrics}["mean_iou"] == 0.5
    tags = [value for run in (parent, *children.values()) for value in run.data.tags.values()]
    tags += [*logged.tags.values(), *version.tags.values()]
    assert [value for value in tags if str(folder) in value or re.match(r"/|[A-Z]:\\|file:", value)] == []

    before = [(run.info.run_id, run.data.tags) for run in runs.search_runs(store, {})]
    publish.publish()
    assert [(run.info.run_id, run.data.tags) for run in runs.search_runs(store, {})] == before


def test_a_version_names_the_digest_of_each_target_and_what_it_costs(store):
    scored = {"exported_score": 0.5, "original_score": 0.5025, "equal_fraction": 0.98765}
    report = {"sha256": "5" * 64, "num_bytes": 1234567, "num_images": 6, **scored}
    Path(EXPORTED).mkdir(parents=True)
    parity = {"images": ["a.png", "b.png"], **scored, "equal_fraction": 1.0, "targets": {"onnx_int8": report}}
    write_json(Path(EXPORTED) / "parity.json", parity)
    write_pipeline({"export": 20})
    costs = {"onnx_ms": 9.0, "onnx_int8_ms": 3.0, "peak_bytes": {"onnx_int8": 7 * 2**20}}
    write_json(MEASURED / "export.json", read_json(MEASURED / "export.json") | costs)
    publish.publish()
    version = registry.find_version(store, ModelAddress(NAME, alias=CANDIDATE))
    assert version.tags["graft.target.onnx_int8"] == "5" * 64
    num_bytes = (Path(EXPORTED) / "model.onnx").stat().st_size
    assert f"| onnx | {num_bytes} | 50.00% | -0.25 | 100.000% | 9.0 | — |" in version.description
    assert "| onnx_int8 | 1,234,567 | 50.00% | -0.25 | 98.765% | 3.0 | 7 MiB |" in version.description
    assert "onnx on 2 images, the others on 6" in version.description


def test_of_an_update_that_is_judged_next_nothing_is_said_but_its_version(store, monkeypatch, capsys):
    write_pipeline({"export": 40})
    augment = read_json(RECORDS / "augment.json")
    memory = {"augment": {"memory": {"name": "balanced", "new": ["november"]}}}
    write_json(RECORDS / "augment.json", augment | {"params": augment["params"] | memory})
    text = complete_text(ROOT).replace("max_forgetting: null", "max_forgetting: 0.02")
    Path("params.yaml").write_text(text, encoding="utf-8")
    said = publish.publish()
    assert said.endswith(f" is not the {CANDIDATE}: {NOT_JUDGED}")
    silent = said.removesuffix(f" is not the {CANDIDATE}: {NOT_JUDGED}")
    assert re.search(rf"; models:/{NAME}/\d+$", silent)
    assert publish.publish(is_judged_next=True) == silent
    monkeypatch.setenv(UPDATING, "1")
    capsys.readouterr()
    publish.publish_or_warn()
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"graft publish: {silent}")


def test_a_run_that_serves_two_pipelines_stays_with_the_first_and_both_list_it(store):
    write_pipeline({"export": 10})
    publish.publish()
    (first,) = parents(store)
    write_pipeline({"fine-tune": 11, "evaluate": 11, "export": 11})
    publish.publish()
    second, same = parents(store)
    assert same.info.run_id == first.info.run_id
    assert len(list(runs.search_runs(store, {}))) == 2 + len(STAGES) + 3
    shared = list(runs.search_runs(store, {mlflow_store.STAGE: "ingest"}))
    assert [run.data.tags[PARENT] for run in shared] == [first.info.run_id]
    assert second.data.tags["graft.run.ingest"] == first.data.tags["graft.run.ingest"] == shared[0].info.run_id
    tuned = store.get_run(second.data.tags["graft.run.fine-tune"])
    assert tuned.data.tags[PARENT] == second.info.run_id
    assert second.data.params["fine_tune.epochs"] == "11"


def test_a_pipeline_of_two_deliveries_lists_both_and_is_traced_back_to_both(store, tmp_path):
    write_pipeline({"export": 30}, later=("fog",))
    gone = {"stage": instance_of("gone"), "outputs": {"data/deliveries/gone": "0" * 64}}
    write_json(RECORDS / "ingest-gone.json", read_json(RECORDS / "ingest-fog.json") | gone)
    publish.publish()
    (parent,) = parents(store)
    children = {stage: run for stage, run in stage_runs(store).items() if stage != instance_of("gone")}
    assert set(children) == {*STAGES, instance_of("fog")}
    assert parent.data.tags["graft.run.ingest-fog"] == children[instance_of("fog")].info.run_id
    assert "graft.run.ingest-gone" not in parent.data.tags
    assert "seconds/ingest-fog" in parent.data.metrics
    version = registry.find_version(store, ModelAddress(NAME, alias=CANDIDATE))
    chain = trace_records(store, version, tmp_path)
    assert (chain.problems, chain.is_complete) == ([], True)
    assert [record.stage for record in chain.ingests] == ["ingest", instance_of("fog")]


def test_of_two_parents_made_at_once_one_stays_and_takes_the_children(store):
    write_pipeline({"export": 20})
    publish.publish()
    (ours,) = parents(store)
    tags = {mlflow_store.STAGE: "pipeline", PIPELINE: sha256_of(RECORDS / "export.json")}
    theirs = runs.create_run(store, "pipeline", tags, seconds=1000.0)  # begun earlier, so it stays
    publish.publish()
    (stays,) = parents(store)
    assert stays.info.run_id == theirs.info.run_id
    assert stays.data.metrics["mean_iou"] == 0.5
    assert {run.data.tags[PARENT] for run in stage_runs(store).values()} == {stays.info.run_id}
    assert store.get_run(ours.info.run_id).info.lifecycle_stage == "deleted"
    store.delete_run(stays.info.run_id)
    publish.publish()
    (anew,) = parents(store)
    assert {run.data.tags[PARENT] for run in stage_runs(store).values()} == {anew.info.run_id}


def test_a_stage_that_has_run_since_is_not_of_the_pipeline(store):
    write_pipeline({"export": 30})
    old = (RECORDS / "export.json").read_bytes(), (RECORDS / "evaluate.json").read_bytes()
    write_pipeline({"export": 30, "fine-tune": 31})
    (RECORDS / "export.json").write_bytes(old[0])
    (RECORDS / "evaluate.json").write_bytes(old[1])
    publish.publish()
    (parent,) = parents(store)
    assert "graft.run.fine-tune" not in parent.data.tags
    assert "graft.run.evaluate" in parent.data.tags
    assert PARENT not in stage_runs(store)["fine-tune"].data.tags


def test_without_an_export_there_is_no_parent_and_an_unknown_duration_is_not_invented(store):
    write_pipeline({"export": 40})
    export = (RECORDS / "export.json").read_bytes()
    (RECORDS / "export.json").unlink()
    publish.publish()
    assert parents(store) == []
    (RECORDS / "export.json").write_bytes(export)
    (MEASURED / "export.json").write_text('{"fingerprint": "of another run", "seconds": 5}')
    publish.publish()
    (parent,) = parents(store)
    assert "seconds/export" not in parent.data.metrics
    assert parent.data.metrics["seconds"] == 91.0 - 16.0


def test_an_experiment_gives_its_name_and_a_temporary_one_leaves_the_candidate(store, folder, monkeypatch):
    write_pipeline({"export": 50})
    publish.publish()
    standing = registry.find_version(store, ModelAddress(NAME, alias=CANDIDATE)).version
    temporary = folder / ".dvc/tmp/exps/standalone/tmp1"
    temporary.mkdir(parents=True)
    monkeypatch.chdir(temporary)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setenv("DVC_EXP_NAME", "vapid-yeti")
    write_pipeline({"evaluate": 51, "export": 51})
    said = publish.publish()
    version = standing + 1
    assert said.endswith(f"models:/{NAME}/{version}; dvc exp apply vapid-yeti && graft publish makes it the candidate")
    assert registry.find_version(store, ModelAddress(NAME, alias=CANDIDATE)).version == standing
    parent = parents(store)[0]
    assert parent.info.run_name == parent.data.tags["graft.experiment"] == "vapid-yeti"
    evaluated = store.get_run(parent.data.tags["graft.run.evaluate"])
    assert evaluated.data.tags["graft.experiment"] == "vapid-yeti"
    assert "graft.experiment" not in store.get_run(parent.data.tags["graft.run.ingest"]).data.tags
    assert Path(parent.info.artifact_uri).is_relative_to(folder / "mlruns")


def test_audit_compares_params_and_scores_of_the_parent(store):
    write_pipeline({"export": 60})
    publish.publish()
    (parent,) = parents(store)
    index = open_index(refresh=True)
    chain = chain_of(index, EXPORTED)
    assert [link.status for link in check_pipelines(index, chain, store)] == ["verified"] * 3
    store.log_metric(parent.info.run_id, "iou/red", 0.9)
    _, params, scores = check_pipelines(index, chain, store)
    assert (params.status, scores.status, "iou/red" in scores.reason) == ("verified", "broken", True)
    rewrite_param(parent.info.run_id, "seed", "8")
    _, params, _ = check_pipelines(index, chain, store)
    assert (params.status, "seed" in params.reason) == ("broken", True)
    store.set_tag(parent.info.run_id, "graft.run.export", "0" * 32)
    tags, _, _ = check_pipelines(index, chain, store)
    assert (tags.status, "graft.run.export" in tags.reason) == ("broken", True)
    index.close()


def rewrite_param(run_id: str, key: str, value: str) -> None:
    """Writes into the store behind MLflow, which lets nobody change a parameter."""
    with sqlite3.connect("mlflow.db") as database:
        done = database.execute("UPDATE params SET value = ? WHERE run_uuid = ? AND key = ?", (value, run_id, key))
        assert done.rowcount == 1
