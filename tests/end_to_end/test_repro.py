"""`dvc repro` rebuilds, restores and publishes, and does nothing twice."""

from __future__ import annotations

import shutil

import pytest

from tests.end_to_end.project import STAGES, Project


def runs_of(client):
    return client.search_runs([client.get_experiment_by_name("graft").experiment_id])


def test_a_second_repro_runs_no_stage(finished):
    again = finished.run("dvc", "repro")
    assert "Running stage" not in again.stdout + again.stderr
    assert finished.run("dvc", "status", "-q").returncode == 0


def test_every_stage_has_a_record_of_what_it_read_ran_and_wrote(finished):
    for stage in STAGES:
        record = finished.record(stage)
        assert record["stage"] == stage
        assert record["git"]["holds_code_and_params"] is True
        assert record["inputs"]
        assert all(path.startswith(("pipeline/", "src/graft/")) for path in record["code"])
        assert all(len(digest) == 64 for digest in record["outputs"].values())


def test_what_one_stage_wrote_is_what_the_next_read(finished):
    written = finished.output_digests()
    read = {path: digest for stage in STAGES for path, digest in finished.record(stage)["inputs"].items()}
    both = written.keys() & read.keys()
    assert {"data/augmented", "models/pretrained", "models/fine_tuned", "reports/fine_tuning"} <= both
    assert all(written[path] == read[path] for path in both)


def test_no_output_names_the_folder_it_was_made_in(finished):
    marks = [str(finished.made_in).encode(), finished.made_in.name.encode()]
    for path in finished.output_digests():
        for file in (finished.root / path).rglob("*"):
            if file.is_file():
                assert not any(mark in file.read_bytes() for mark in marks), file


def test_mlflow_holds_a_run_for_each_stage_and_one_candidate(finished):
    client = finished.store()
    runs = {run.data.tags["graft.stage"]: run for run in runs_of(client)}
    assert set(runs) == {*STAGES, "pipeline"}
    assert len(runs_of(client)) == len(STAGES) + 1
    pipeline = runs.pop("pipeline")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {pipeline.info.run_id}
    assert pipeline.data.metrics["mean_iou"] == runs["export"].data.metrics["mean_iou"]
    seconds = sum(run.data.metrics["seconds"] for run in runs.values())
    assert pipeline.data.metrics["seconds"] == pytest.approx(seconds)
    assert all(run.info.status == "FINISHED" for run in runs.values())
    curve = client.get_metric_history(runs["fine-tune"].info.run_id, "fine_tuned/val_score")
    assert [point.step for point in curve] == [1, 2]
    assert runs["fine-tune"].data.params["fine_tune.epochs"] == "2"
    produced = runs["ingest"].data.tags["graft.produced.data/deliveries/first"]
    assert produced == finished.output_digests()["data/deliveries/first"]
    artifacts = [file.path for file in client.list_artifacts(runs["evaluate"].info.run_id)]
    assert "report.html" in artifacts
    version = client.get_model_version_by_alias("graft-segmentation", "candidate")
    assert version.tags["graft.model_digest"] == finished.output_digests()["models/exported"]


def test_publishing_again_doubles_nothing(finished):
    before = len(runs_of(finished.store()))
    finished.run("graft", "publish")
    client = finished.store()
    assert len(runs_of(client)) == before
    assert len(client.search_model_versions("name = 'graft-segmentation'")) == 1


def test_a_fresh_store_is_filled_by_publish_alone(finished, tmp_path):
    uri = f"sqlite:///{tmp_path / 'fresh.db'}"
    other = Project(finished.root, MLFLOW_TRACKING_URI=uri)
    other.run("graft", "publish")
    import mlflow

    client = mlflow.MlflowClient(uri)
    runs = {run.data.tags["graft.stage"]: run for run in runs_of(client)}
    assert set(runs) == {*STAGES, "pipeline"}
    curve = client.get_metric_history(runs["fine-tune"].info.run_id, "fine_tuned/val_score")
    assert [point.step for point in curve] == [1, 2]
    assert str(client.get_model_version_by_alias("graft-segmentation", "candidate").version) == "1"


def test_no_server_is_one_warning_and_the_work_goes_on(finished):
    away = Project(finished.root, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    done = away.run("graft", "publish", check=False)
    assert done.returncode == 2
    assert "no MLflow server answers" in done.stderr
    assert "then run graft publish" in done.stderr


def test_deleted_outputs_come_back_from_the_cache_with_nothing_executed(finished, tmp_path):
    clone = Project(tmp_path / "clone")
    shutil.copytree(finished.root, clone.root, symlinks=True)
    digests = clone.output_digests()
    for folder in ("models", "reports"):
        shutil.rmtree(clone.root / folder)
    assert "models/none/README.md was deleted with the outputs: written again" in clone.run("graft", "fix").stdout
    done = clone.run("dvc", "repro")
    assert "Running stage" not in done.stdout
    assert clone.output_digests() == digests
