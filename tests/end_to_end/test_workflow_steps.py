"""The steps of the workflows, executed here in clean clones and in order; GPU stages run on the CPU."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import mlflow
import psutil
import pytest

from tests.end_to_end.project import Project
from tests.end_to_end.test_killed import kill
from tests.end_to_end.workflow import Runner

NOT_HERE = ("make test",)  # this very suite
QUICK_CHECKS = (*NOT_HERE, "make lint", "make types")
REFUSED = 3


@pytest.fixture(scope="module")
def team(finished, tmp_path_factory) -> Runner:
    """A repository, a remote that has seen a person's result, and an MLflow store that machines share."""
    place = tmp_path_factory.mktemp("team")
    finished.run("git", "clone", "-q", "--bare", str(finished.root), str(place / "origin.git"))
    team = team_at(place)
    computed = Project(place / "a person's machine", GRAFT_REMOTE=team.values["vars.GRAFT_REMOTE"])
    shutil.copytree(finished.root, computed.root, symlinks=True)
    computed.run("ci/push.sh")
    return team


def team_at(place) -> Runner:
    values = {
        "vars.GRAFT_REMOTE": str(place / "remote"),
        "vars.MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}",
        "vars.GRAFT_STATE": str(place / "state of the GPU machine"),
    }
    (place / "jobs").mkdir()
    return Runner(place / "origin.git", place / "jobs", values, GRAFT_PUSH_TO=str(place / "origin.git"))


def merge(team: Runner, kind: str) -> None:
    """What a person does with the pull request: the default branch moves to the proposed one."""
    git = ["git", "-C", str(team.origin)]
    pattern = f"refs/heads/graft/{kind}-*"
    listed = subprocess.run([*git, "for-each-ref", "--format=%(objectname)", pattern], capture_output=True, text=True)
    (proposed,) = listed.stdout.split()
    head = (team.origin / "HEAD").read_text("utf-8").split()[-1]
    subprocess.run([*git, "update-ref", head, proposed], check=True)


@pytest.fixture(scope="module")
def story(finished, team) -> dict[str, list[str]]:
    """What each job printed: check, gpu-train, publish, and check again when the pull request is merged."""
    told: dict[str, list[str]] = {}

    def tell(name: str, *job: str, **options) -> None:
        team.ran.clear()
        told[f"folder of {name}"] = [str(team.run(*job, **options).root)]
        told[name] = list(team.ran)

    tell("check", "check", "check", skip=QUICK_CHECKS)
    tell("train", "gpu-train", "train")
    tell("verify", "publish", "verify")
    tell("propose", "publish", "propose", GITHUB_RUN_ID="1", GITHUB_SHA="the commit")
    merge(team, "result")
    tell("check after", "check", "check", skip=QUICK_CHECKS)
    return told


@pytest.mark.slow
def test_a_gpu_job_computes_nothing_that_a_person_computed(finished, story):
    printed = "".join(story["train"])
    assert "the same training step gives the same bits" in printed
    assert "Stage 'fine-tune' is cached - skipping run" in printed
    assert "> graft" not in printed
    (folder,) = story["folder of train"]
    assert Project(Path(folder)).output_digests() == finished.output_digests()


@pytest.mark.slow
def test_another_machine_verifies_attests_publishes_and_reports(finished, team, story):
    printed = "".join(story["verify"])
    assert "7 records: every digest holds" in printed
    model = finished.output_digests()["models/exported"]
    client = mlflow.MlflowClient(team.values["vars.MLFLOW_TRACKING_URI"])
    version = client.get_model_version_by_alias("graft-segmentation", "candidate")
    assert version.tags["graft.model_digest"] == model
    (folder,) = story["folder of verify"]
    assert (Path(folder) / "build/publication/attestation.json").stat().st_size > 1000
    report = team.summary.read_text("utf-8")
    assert "| **mean_iou** |" in report
    assert model in report


@pytest.mark.slow
def test_the_proposed_lock_file_speaks_of_the_code_when_it_is_merged(story):
    assert "there is nothing that could be stale" in story["check"][-1]
    assert story["check after"][-1] == "dvc.lock speaks of this code and these params\n"


@pytest.mark.slow
@pytest.mark.usefixtures("story")
def test_promotion_is_refused_or_overridden_and_the_ledger_proposed(team):
    """The miniature is far below the floors, so the gate refuses it."""
    team.values |= {"inputs.kind": "promote"}
    with pytest.raises(AssertionError, match=f"ended with {REFUSED}"):
        team.run("promote", "promote")
    assert "FAILS" in team.summary.read_text("utf-8")

    team.values |= {"inputs.kind": "override", "inputs.reason": "a test of the workflow"}
    team.run("promote", "promote")
    assert "a test of the workflow" in team.summary.read_text("utf-8")
    client = mlflow.MlflowClient(team.values["vars.MLFLOW_TRACKING_URI"])
    assert str(client.get_model_version_by_alias("graft-segmentation", "champion").version) == "1"
    team.run("promote", "propose", GITHUB_RUN_ID="2")
    merge(team, "ledger")
    assert "a test of the workflow" in (team.clone("after").root / "ledger.jsonl").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("story")
def test_the_weekly_audit_rebuilds_the_model_to_the_same_bytes(team):
    team.values |= {"inputs.model": "models:/graft-segmentation/1"}
    team.ran.clear()
    team.run("rebuild", "rebuild")
    assert "bitwise" in team.ran[-1]


@pytest.mark.slow
def test_lint_and_types_are_clean_in_a_clone(team):
    team.run("check", "check", skip=(*NOT_HERE, "ci/staleness.sh"))


@pytest.mark.slow
def test_an_interrupted_job_goes_on_where_it_was_and_ends_with_the_same_bytes(finished, tmp_path):
    """The machine dies while it trains; the next job is another clone with the same state folder."""
    finished.run("git", "clone", "-q", "--bare", str(finished.root), str(tmp_path / "origin.git"))
    team = team_at(tmp_path)
    first = team.clone("interrupted")
    first.environment |= {"GRAFT_STATE": team.values["vars.GRAFT_STATE"], "GRAFT_REMOTE": str(tmp_path / "remote")}
    job = first.start("bash", "-e", "-c", "ci/pull.sh && ci/train.sh", log=tmp_path / "log")
    deadline = time.monotonic() + 300
    while "epoch 1/2" not in (tmp_path / "log").read_text("utf-8"):
        assert job.poll() is None, (tmp_path / "log").read_text("utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.1)
    kill([*psutil.Process(job.pid).children(recursive=True), psutil.Process(job.pid)])
    job.wait(timeout=60)

    first.run("ci/push.sh")  # a cancelled job still comes to this step
    second = team.run("gpu-train", "train")
    printed = "".join(team.ran)
    assert "> graft ingest" not in printed
    assert "> graft augment" not in printed
    assert "> graft fine-tune" in printed
    assert second.output_digests() == finished.output_digests()
    assert (second.root / ".resume").resolve() == tmp_path / "state of the GPU machine/resume"
