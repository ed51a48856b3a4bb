"""The story of a champion, told through the command line on a real project and a real registry."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time

import pytest

from graft.foundation.content import sha256_of
from tests.end_to_end.project import Project
from tests.end_to_end.team_server import team_server

NAME = "graft-segmentation"
CHANGES = (
    ({"evaluate.split": "val"}, "scored on val, which chose its best epoch"),
    ({"evaluate.split": "test", "ingest.source.num_test": 4}, "lacks 2 of the 6 images of test set 1"),
    ({"ingest.source.num_test": 6, "ingest.split_seed": 8}, "lacks 6 of the 6 images of test set 1"),
)
LENIENT = {"promotion.min_score": 0.02, "promotion.margin": 0.1, "promotion.max_latency_ratio": 20.0}


def copy_of(finished: Project, folder, **environment: str) -> Project:
    """With a registry of its own, so that the project others look at stays as it is."""
    project = Project(folder / "project", **finished.environment, **environment)
    shutil.copytree(finished.root, project.root, symlinks=True)
    for name in ("mlflow.db", "mlruns", "mlartifacts"):
        path = project.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    project.run("graft", "publish")
    return project


def champion(project: Project) -> int:
    return int(project.store().get_model_version_by_alias(NAME, "champion").version)


def ledger_of(project: Project) -> list[dict]:
    return [json.loads(line) for line in (project.root / "ledger.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.slow
def test_the_first_model_is_promoted_by_absolute_floors(finished, tmp_path):
    project = copy_of(finished, tmp_path)
    project.set(LENIENT | {"promotion.min_score": 0.99, "promotion.class_floors": {"ghost": 0.5}})
    refused = project.run("graft", "promote", check=False)
    assert refused.returncode == 3, refused.stderr
    rows = [line for line in refused.stdout.splitlines() if "FAILS" in line]
    assert len(rows) == 2
    assert "≥ 0.99" in rows[0]
    assert "IoU of ghost" in rows[1]
    assert "no champion yet" in refused.stdout
    assert "| mean IoU |" in project.store().get_model_version(NAME, "1").description
    assert project.store().get_model_version(NAME, "1").tags["graft.promotion.verdict"].startswith("refused ")
    assert not (project.root / "ledger.jsonl").exists()

    project.set(LENIENT | {"promotion.class_floors": {}})
    assert "is version 1; commit ledger.jsonl" in project.run("graft", "promote").stdout
    assert champion(project) == 1
    assert [(entry["kind"], entry["phase"]) for entry in ledger_of(project)] == [
        ("promote", "intent"),
        ("promote", "confirmed"),
    ]
    assert all(rule["verdict"] != "FAILS" for rule in ledger_of(project)[0]["rules"])
    project.store().delete_registered_model_alias(NAME, "champion")
    shown = project.run("graft", "champion", check=False)
    assert shown.returncode == 4
    assert "moved behind the ledger's back" in shown.stderr
    assert "every rule of the gate holds" in shown.stdout


@pytest.mark.slow
def test_a_worse_second_is_refused_a_better_third_accepted_and_rolled_back(finished, tmp_path):
    project = copy_of(finished, tmp_path)
    a_worse_second_is_refused(project)
    a_better_third_is_promoted_and_rolled_back(project)
    kill_at_any_time(project, 3)
    one_test_set_judges_all(project)
    what_cannot_be_compared_is_refused(project, 6)


@pytest.mark.slow
def test_the_same_story_on_a_teams_server(finished, tmp_path, monkeypatch):
    """MLflow on PostgreSQL, with passwords."""
    with team_server() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        project = copy_of(finished, tmp_path, **variables)
        a_worse_second_is_refused(project)
        a_better_third_is_promoted_and_rolled_back(project)
        kill_at_any_time(project, 3)
        one_test_set_judges_all(project)
        assert project.run("graft", "audit", f"models:/{NAME}@champion").returncode == 0
        a_store_of_ones_own_is_no_damage(Project(project.root))


def a_store_of_ones_own_is_no_damage(own: Project) -> None:
    """Somebody who pulled everything, `ledger.jsonl` too, and whose environment names no server."""
    refused = own.run("graft", "champion", check=False)
    assert refused.returncode == 2
    assert "this store is your own: ledger.jsonl is the copy of another store's ledger" in refused.stderr
    assert "set MLFLOW_TRACKING_URI to the address of the team's server" in refused.stderr
    assert "damaged" not in refused.stderr
    assert "this store is your own" in own.run("graft", "doctor", check=False).stdout


def a_worse_second_is_refused(project: Project) -> None:
    project.set(LENIENT)
    assert "has no champion yet" in project.run("graft", "champion").stdout
    project.run("graft", "promote", NAME)
    again = project.run("graft", "promote")
    assert "version 1 of graft-segmentation is the champion already" in again.stdout
    project.set({"fine_tune.learning_rate": 1e-6, "fine_tune.baseline": False})
    project.run("dvc", "repro")
    refused = project.run("graft", "promote", check=False)  # trained, never committed
    assert refused.returncode == 2
    assert "not committed: params.yaml: fine_tune.baseline, params.yaml: fine_tune.learning_rate" in refused.stderr
    project.commit("A worse one")
    refused = project.run("graft", "promote", check=False)
    assert refused.returncode == 3
    failing = [line for line in refused.stdout.splitlines() if "FAILS" in line]
    assert any("mean IoU less the champion's" in line for line in failing)
    assert "Images that lost most" in (project.root / "reports/comparison.html").read_text("utf-8")
    run = project.store().get_model_version(NAME, "2").run_id
    assert project.store().list_artifacts(run, "promotion/against version 1")[0].path.endswith("comparison.html")
    assert champion(project) == 1
    overridden = project.run("graft", "promote", "--override", check=False)
    assert overridden.returncode == 2
    assert "--override needs --reason" in overridden.stderr


def a_better_third_is_promoted_and_rolled_back(project: Project) -> None:
    project.set({"fine_tune.learning_rate": 1e-3, "fine_tune.epochs": 5})
    project.run("dvc", "repro")
    project.commit("Committed after the training, which is fine")
    promoted = project.run("graft", "promote")
    assert "FAILS" not in promoted.stdout
    assert champion(project) == 3
    project.run("graft", "promote", "--version", "2", "--override", "--reason", "a demonstration")
    assert champion(project) == 2
    shown = project.run("graft", "champion").stdout
    assert "IN SPITE OF" in shown
    assert "override: version 2" in shown
    project.run("graft", "rollback", "--reason", "enough")
    assert champion(project) == 3
    project.run("graft", "rollback")
    assert champion(project) == 1
    shown = project.run("graft", "champion").stdout
    assert "rollback by" in shown
    assert "override: version 2" in shown  # shown for ever
    kinds = [entry["kind"] for entry in ledger_of(project) if entry["phase"] == "confirmed"]
    assert kinds == ["promote", "promote", "override", "rollback", "rollback"]


def one_test_set_judges_all(project: Project) -> None:
    """The first promotion froze a test set; val, fewer images and other images are refused until it is replaced."""
    assert ledger_of(project)[0]["test_set"]["num_images"] == 6
    standing = champion(project)
    for number, (change, said) in enumerate(CHANGES, 4):
        project.set(change)
        project.run("dvc", "repro")
        project.commit(said)
        refused = project.run("graft", "promote", check=False)
        assert refused.returncode == 3, refused.stderr
        rules = json.loads(project.store().get_model_version(NAME, str(number)).tags["graft.promotion.rules"])
        assert (rules[0]["rule"], rules[0]["verdict"]) == ("scored on the frozen test set", "FAILS")
        assert said in rules[0]["value"]
    assert project.run("graft", "freeze", check=False).returncode == 2  # no reason
    frozen = project.run("graft", "freeze", "--reason", "a new camera", "--name", "night camera").stdout
    assert f"mean IoU of the champion, version {standing}: 0." in frozen
    assert "test set 2 (night camera, 6 images" in frozen
    assert "in force already" in project.run("graft", "freeze", "--reason", "again").stdout
    assert ledger_of(project)[-1]["rules"][0]["verdict"] == "measured"
    promoted = project.run("graft", "promote").stdout
    assert "FAILS" not in promoted
    assert "test set 2" in promoted
    assert "scored on test set 2 (night camera" in project.run("graft", "champion").stdout
    project.run("graft", "rollback")
    assert champion(project) == standing


def what_cannot_be_compared_is_refused(project: Project, number: int) -> None:
    split = project.root / "data/interim/test"
    split.rename(split.with_name("elsewhere"))
    assert "FAILS" not in project.run("graft", "promote", "--version", str(number)).stdout  # found in DVC's cache
    project.run("graft", "rollback")
    split.with_name("elsewhere").rename(split)
    folder = project.root / "mlruns"
    digest = sha256_of(project.root / "models/exported/model.onnx")
    models = [path for path in folder.rglob("exported/model.onnx") if sha256_of(path) != digest]
    for path in models:  # of the champion, among others
        path.write_bytes(path.read_bytes() + b"x")
    refused = project.run("graft", "promote", "--version", str(number), check=False)
    assert refused.returncode == 3, refused.stderr
    failing = [line for line in refused.stdout.splitlines() if "FAILS" in line]
    assert len(failing) == 1
    assert "the champion cannot be" in failing[0]


def kill_at_any_time(project: Project, number: int) -> None:
    """Kills real promotions after ever longer; each time the old or the new champion is fully in force."""
    for seconds in (2, 5, 7, 8, 9, 10):
        before = champion(project)
        process = project.start("graft", "promote", "--version", str(number))
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        project.run("graft", "champion")  # exits 4 where alias and ledger disagree
        assert champion(project) in (before, number)
        if champion(project) == number:
            project.run("graft", "rollback")
