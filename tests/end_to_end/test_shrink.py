"""A model is shrunk to 8 bits: killed on the way, found, written into params.yaml and made by dvc repro."""

from __future__ import annotations

import os
import signal
import time

import pytest

from graft.foundation.content import read_json, sha256_of
from graft.models.weights.registry import FILE
from tests.end_to_end.project import Project
from tests.end_to_end.test_promotion_story import LENIENT, copy_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory) -> Project:
    """A project whose model is registered and not promoted."""
    made = copy_of(finished, tmp_path_factory.mktemp("shrunk"))
    made.commit("The model")
    return made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "no limit is given"), (("--bytes", "1", "--minutes", "0"), "--minutes is 0")],
)
def test_what_is_no_goal_is_one_message(project, arguments, message):
    refused = project.run("graft", "shrink", *arguments, check=False)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert not (project.root / "build/shrink").exists()


def test_a_command_that_was_killed_goes_on_and_finds_a_model_that_dvc_repro_makes(project):
    before = (project.root / "params.yaml").read_text("utf-8")
    limit = int(0.4 * (project.root / "models/exported/model.onnx").stat().st_size)
    command, folder = ("graft", "shrink", "--bytes", str(limit), "--max-drop", "1"), project.root / "build/shrink"
    killed = project.start(*command, log=project.root.parent / "log")
    while not list(folder.glob("*-fine-tune.log")):
        assert killed.poll() is None, (project.root.parent / "log").read_text("utf-8")
        time.sleep(0.1)
    os.kill(killed.pid, signal.SIGKILL)  # what it started goes on, and is waited for
    killed.wait()
    assert (project.root / "params.yaml").read_text("utf-8") == before
    found = project.run(*command)
    assert "shrinking models:/graft-segmentation/1, not promoted" in found.stdout
    (kept,) = folder.glob("????????????????.json")
    outcome = read_json(kept)
    assert outcome["name"] == "int8"
    assert outcome["num_bytes"] == (folder / kept.stem / "model_int8.onnx").stat().st_size <= limit
    assert "int8: written into params.yaml" in found.stdout
    assert "+  targets: [onnx, {name: onnx_int8, max_score_difference: 0.5, min_equal_fraction: 0.5}]" in found.stdout
    assert "<svg" in (project.root / "reports/shrink/shrink.html").read_text("utf-8")
    stale = project.run(*command, check=False)
    assert stale.returncode == 2
    assert "not up to date: export" in stale.stderr
    done = project.run("dvc", "repro")
    assert "Running stage 'export'" in done.stdout
    assert done.stdout.count("Running stage") == 1
    made = project.root / "models/exported/model_int8.onnx"
    assert sha256_of(made) == sha256_of(folder / kept.stem / "model_int8.onnx")


def test_no_attempt_has_opened_test(project):
    copy = project.root / "build/shrink/copy/checkout/reports/records"
    for stage in ("evaluate", "export"):
        inputs = read_json(copy / f"{stage}.json")["inputs"]
        assert "data/interim/val" in inputs
        assert not [path for path in inputs if "test" in path]


def test_the_attempt_is_a_run_below_that_of_the_model(project):
    store = project.store()
    experiment = store.get_experiment_by_name("graft").experiment_id
    runs = store.search_runs([experiment], "tags.`graft.stage` = 'shrink'")
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    (child,) = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.info.run_name == "int8"
    assert {"score", "latency_ms", "speed", "num_bytes", "drop"} <= set(child.data.metrics)
    assert child.data.params["export.scan"] == "val"


def test_what_was_pruned_comes_out_of_the_cache_and_names_the_champion_it_was_made_from(project):
    project.set(LENIENT)
    project.commit("8 bits")
    project.run("graft", "promote")
    limit = int(0.2 * (project.root / "models/exported/model.onnx").stat().st_size)  # less than 8 bits alone reach
    champion = sha256_of(project.root / "models/exported" / FILE)
    found = project.run("graft", "shrink", "--bytes", str(limit), "--max-drop", "1")
    assert "shrinking models:/graft-segmentation/2, the champion" in found.stdout
    assert "prune 50%, int8: written into params.yaml" in found.stdout
    done = project.run("dvc", "repro")
    for stage in ("pretrain-load", "fine-tune"):
        assert f"Stage '{stage}' is cached" in done.stdout
    outcomes = [read_json(file) for file in (project.root / "build/shrink").glob("????????????????.json")]
    (key,) = [one["key"] for one in outcomes if one["name"] == "prune 50%, int8"]
    tried = project.root / "build/shrink" / key / FILE
    assert sha256_of(project.root / "models/exported" / FILE) == sha256_of(tried)
    chain = project.run("graft", "lineage", "models/exported").stdout
    assert f"exported file: weights {champion[:12]}" in chain
    assert "missing" not in chain
