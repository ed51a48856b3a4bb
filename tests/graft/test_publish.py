"""Publishing into a real store: whatever a record holds, and a store that refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.foundation.content import sha256_of, write_json
from graft.provenance.lineage.fill import fill_from_server
from graft.provenance.lineage.index import Index
from graft.provenance.stages import RECORDS
from graft.provenance.tracking import mlflow_store, model_versions, publish, runs
from graft.training.epoch_cost import EpochCost
from graft.training.state import EpochReport

CLASSES = {f"class {number} (of many)": [number] for number in range(150)}


def write_record(**changes: object) -> None:
    RECORDS.mkdir(parents=True, exist_ok=True)
    source = {"name": "mask_folder", "classes": CLASSES, "images": "*.png"}
    record = {
        "stage": "ingest",
        "fingerprint": "f" * 64,
        "params": {"seed": 7, "ingest": {"root": "../Fotos (2024) & more/", "source": source, "batch": "first"}},
        "inputs": {"../Fotos (2024) & more/": "a" * 64},
        "outputs": {"data/interim": "b" * 64},
        "files": {},
        "environment": {"lock": None},
        "git": {"commit": None, "holds_code_and_params": False},
        "metrics": {"num_images": 3.0},
    }
    record |= changes
    write_json(RECORDS / f"{record['stage']}.json", record)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_record()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_any_number_of_classes_and_any_folder_name_reach_the_store() -> None:
    assert publish.publish().startswith("1 runs in sqlite:///mlflow.db")
    client = mlflow_store.client()
    run = runs.find_run(client, {mlflow_store.STAGE: "ingest"})
    assert run.data.params["ingest.source.name"] == "mask_folder"
    assert "class 149 (of many)" in run.data.params["ingest.source.classes"]
    assert run.data.tags["graft.consumed.../Fotos _2024_ _ more"] == "a" * 64
    runs.log_params(client, run.info.run_id, {f"key {number}": "1" for number in range(250)})
    runs.log_curves(client, run.info.run_id, [("loss", value, 1) for value in (float("inf"), float("nan"))])
    run = runs.find_run(client, {mlflow_store.STAGE: "ingest"})
    assert len(run.data.params) > 250
    assert "loss" not in run.data.metrics


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_a_run_and_the_experiment_say_what_they_are_and_keep_what_a_person_wrote() -> None:
    publish.publish()
    client = mlflow_store.client()
    run = runs.find_run(client, {mlflow_store.STAGE: "ingest"})
    assert run.data.tags["mlflow.source.name"] == "graft ingest"
    assert "num images **3**" in run.data.tags[mlflow_store.NOTE]
    assert "`class_map.json`" in run.data.tags[mlflow_store.NOTE]
    identity = runs.experiment_id(client)
    assert "Training runs" in client.get_experiment(identity).tags[mlflow_store.NOTE]
    client.set_experiment_tag(identity, mlflow_store.NOTE, "mine")
    client.set_tag(run.info.run_id, mlflow_store.NOTE, "mine too")
    publish.publish()
    assert client.get_experiment(identity).tags[mlflow_store.NOTE] == "mine"
    assert client.get_run(run.info.run_id).data.tags[mlflow_store.NOTE] == "mine too"


@pytest.mark.parametrize("uri", ["strange://store", "http://127.0.0.1:port"])
def test_a_store_that_refuses_is_one_warning_and_the_work_goes_on(uri: str, monkeypatch, capsys) -> None:
    monkeypatch.setitem(os.environ, "MLFLOW_TRACKING_URI", uri)
    publish.publish_or_warn()
    assert publish.open_listener("fine-tune", "f" * 64) is None
    warnings = capsys.readouterr().err
    assert warnings.count("graft: warning:") == 2
    assert "run graft publish: it completes the record" in warnings


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_the_store_beside_a_project_is_its_own_in_one_process_too(tmp_path, monkeypatch) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        client = mlflow_store.client()
        client.create_registered_model(name)
        assert [model.name for model in client.search_registered_models()] == [name]
        assert mlflow_store.store_uri() == mlflow_store.DEFAULT_STORE


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_a_file_that_was_absent_is_published_and_read_when_it_is_there(tmp_path) -> None:
    card = Path("models/pretrained/card.json")
    card.parent.mkdir(parents=True)
    write_json(card, {"name": "random", "sha256": None})
    write_record(stage="pretrain-load", files={card.as_posix(): sha256_of(card)})
    record = sha256_of(RECORDS / "pretrain-load.json")
    right, index = card.read_text(), Index(tmp_path / "i.sqlite")
    for text, taken in ((None, False), ("{}", False), (right, True)):
        card.unlink() if text is None else card.write_text(text)
        publish.publish()
        fill_from_server(index)
        assert index.has_beside(record) == taken
        assert index.run_of(record) is not None
    index.close()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_the_description_of_a_model_names_the_command_that_moves_its_champion(tmp_path) -> None:
    client = mlflow_store.client()
    client.create_registered_model("graft-x")
    client.create_model_version("graft-x", str(tmp_path))
    model_versions.describe(client, "graft-x", "1", "the first")
    assert "`graft promote`" in client.get_registered_model("graft-x").description


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
@pytest.mark.parametrize("gpu_bytes", [None, 3])
def test_what_an_epoch_cost_is_streamed_beside_its_losses(gpu_bytes) -> None:
    fingerprint, cost = "f" * 64, EpochCost(2.5, 40.0, 1000, gpu_bytes)
    listen = publish.open_listener("fine-tune", fingerprint)
    listen("baseline", EpochReport(3, 12, 0.5, 0.6, 0.7, 1e-3, True, None, cost))
    client = mlflow_store.client()
    run = runs.find_run(client, {mlflow_store.FINGERPRINT: fingerprint})
    names = ("train_loss", "seconds", "images_per_second", "peak_memory_bytes", "peak_gpu_memory_bytes")
    found = {name: client.get_metric_history(run.info.run_id, f"baseline/{name}") for name in names}
    points = {name: [(point.step, point.value) for point in history] for name, history in found.items()}
    assert points["train_loss"] == [(3, 0.5)]
    assert (points["seconds"], points["images_per_second"]) == ([(3, 2.5)], [(3, 40.0)])
    assert points["peak_memory_bytes"] == [(3, 1000.0)]
    assert points["peak_gpu_memory_bytes"] == ([] if gpu_bytes is None else [(3, 3.0)])
