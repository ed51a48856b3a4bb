"""Publishing on a team's server: the same records from several clones at the same moment."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.foundation.content import digest_of, sha256_of, write_json
from graft.models.address import CANDIDATE
from graft.provenance import stages
from graft.provenance.stages import CURVES, EXPORTED, MODEL_CARD, RECORDS
from graft.provenance.tracking import mlflow_store, publish, runs
from tests.at_once import at_once
from tests.end_to_end.team_server import team_server
from tests.graft.small_export import small_export

pytestmark = pytest.mark.slow
NUM_PEOPLE, NUM_EPOCHS, STAGES = 4, 5, ("ingest", "fine-tune", "export")
NAME = "graft-segmentation"


@pytest.fixture(scope="module")
def team() -> Iterator[dict[str, str]]:
    with team_server() as variables:
        yield variables


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """What three stages leave behind, with an exported model."""
    root = tmp_path / "first"
    root.mkdir()
    monkeypatch.chdir(root)
    small_export(Path(EXPORTED))
    Path(MODEL_CARD).write_text("# A model\nof three colours\n\n## More\n", encoding="utf-8")
    RECORDS.mkdir(parents=True)
    made = {"ingest": {"data/deliveries/first": "1" * 64}, "fine-tune": {"models/fine_tuned": "2" * 64}}
    made["export"] = {EXPORTED: digest_of(Path(EXPORTED))}
    Path(CURVES).parent.mkdir(parents=True)
    with Path(CURVES).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["run", "epoch", "train_loss"])
        rows.writerows(["fine_tuned", epoch, 1 / epoch] for epoch in range(1, NUM_EPOCHS + 1))
    for before, stage in zip((None, *STAGES), STAGES, strict=False):  # each read what the one before made
        write_json(RECORDS / f"{stage}.json", record(stage, made[before] if before else {}, made[stage]))
    return root


def record(stage: str, inputs: dict[str, str], outputs: dict[str, str]) -> dict[str, object]:
    return {
        "stage": stage,
        "fingerprint": "f" * 64,
        "params": {"task": "segmentation", "seed": 7},
        "inputs": inputs,
        "outputs": outputs,
        "files": {name: sha256_of(Path(name)) for name in stages.STAGES[stage].artifacts if Path(name).is_file()},
        "environment": {"lock": None},
        "git": {"commit": None, "holds_code_and_params": False},
        "metrics": {"num_images": 3.0},
    }


def publish_at_once(folder: Path, variables: dict[str, str], barrier) -> str:
    os.chdir(folder)
    os.environ.update(variables)
    mlflow_store.client()
    barrier.wait()
    return publish.publish()


def test_four_clones_publish_at_once_and_nothing_is_lost_or_doubled(team, workspace, tmp_path, monkeypatch):
    clones = [workspace, *(tmp_path / f"clone {number}" for number in range(1, NUM_PEOPLE))]
    for clone in clones[1:]:
        shutil.copytree(workspace, clone)
    found = at_once(publish_at_once, [(clone, team) for clone in clones])
    number = found[1].split()[-1]
    assert all(said.endswith(f"models:/{NAME}@candidate is version {number}") for said in found.values()), found

    for key, value in team.items():
        monkeypatch.setenv(key, value)
    store = mlflow_store.client()
    published = list(runs.search_runs(store, {}))
    by_stage = {run.data.tags[mlflow_store.STAGE]: run for run in published}
    assert len(published) == len(by_stage) == len(STAGES) + 1
    parent = by_stage.pop("pipeline").info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in by_stage.values()} == {parent}
    for stage, run in by_stage.items():
        assert run.data.tags[mlflow_store.RECORD] == sha256_of(RECORDS / f"{stage}.json")
        assert run.data.tags[mlflow_store.COMPLETE] == "true"
        assert [point.value for point in store.get_metric_history(run.info.run_id, "num_images")] == [3.0]
        assert [item.path for item in store.list_artifacts(run.info.run_id, "record")] == [f"record/{stage}.json"]
    curve = store.get_metric_history(by_stage["fine-tune"].info.run_id, "fine_tuned/train_loss")
    assert sorted((point.step, point.value) for point in curve) == [(step, 1 / step) for step in range(1, 6)]
    (version,) = store.search_model_versions(f"name = '{NAME}'")
    assert version.run_id == by_stage["export"].info.run_id
    assert version.tags[mlflow_store.MODEL_DIGEST] == digest_of(Path(EXPORTED))
    assert store.get_model_version_by_alias(NAME, CANDIDATE).version == version.version
