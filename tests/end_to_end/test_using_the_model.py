"""What a person does with the registered model: predict from the registry, serve it, ask it for a mask."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from graft.data.images.codec import decode_mask, encode_png
from graft.foundation.content import read_json, sha256_of
from graft.scenes import render
from tests.end_to_end.project import Project
from tests.end_to_end.served import free_port, wait_for


@pytest.fixture(scope="module")
def photograph(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photographs") / "straße 1.png"
    path.write_bytes(encode_png(render(3, "night_rain", 9, width=200, height=120).image))
    return path


def test_predict_takes_the_candidate_from_the_registry(finished, photograph, tmp_path):
    model = "models:/graft-segmentation@candidate"
    out = tmp_path / "predictions"
    finished.run("graft", "predict", str(photograph.parent / "*.png"), "--model", model, "--out", str(out))
    masks = [path for path in out.rglob("*.png") if read_mask(path).shape[:2] == (120, 200)]
    assert any("straße 1" in path.name for path in masks)
    local = tmp_path / "local"
    finished.run("graft", "predict", str(photograph), "--out", str(local))
    ours = {path.name: path.read_bytes() for path in out.rglob("*.png")}
    assert ours == {path.name: path.read_bytes() for path in local.rglob("*.png")}


@pytest.mark.slow
def test_a_new_model_grows_out_of_a_registered_one(finished, tmp_path):
    project = Project(tmp_path / "grown", MLFLOW_TRACKING_URI=f"sqlite:///{finished.root / 'mlflow.db'}")
    shutil.copytree(finished.root, project.root, symlinks=True)
    project.set({"pretrain_load.source": {"name": "registry", "model_uri": "models:/graft-segmentation@candidate"}})
    refused = project.run("graft", "check", check=False)
    assert refused.returncode == 2
    assert "an alias moves: run graft pin" in refused.stderr
    assert "models:/graft-segmentation/1" in project.run("graft", "pin").stdout
    project.run("dvc", "repro", "pretrain-load")
    card = read_json(project.root / "models/pretrained/card.json")
    assert card["origin"] == "models:/graft-segmentation/1"
    assert card["reinitialised"] == []
    assert card["sha256"] == sha256_of(finished.root / "models/exported/weights.safetensors")


def test_an_alias_that_does_not_exist_is_answered(finished, photograph, tmp_path):
    model = "models:/graft-segmentation@champion"
    arguments = ("graft", "predict", str(photograph), "--model", model, "--out", str(tmp_path / "out"))
    done = finished.run(*arguments, check=False)
    assert done.returncode == 2
    assert "no such model" in done.stderr
    assert not (tmp_path / "out").exists()


def test_mlflow_serves_the_candidate(finished, photograph, tmp_path):
    port = free_port()
    command = ("mlflow", "models", "serve", "-m", "models:/graft-segmentation@candidate", "-p", str(port))
    project = Project(finished.root, MLFLOW_TRACKING_URI="sqlite:///mlflow.db")
    server = project.start(*command, "--env-manager", "local")
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, server.stdout.read)
        image = base64.b64encode(photograph.read_bytes()).decode()
        answer = ask(port, {"dataframe_split": {"columns": ["image"], "data": [[image]]}})
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.communicate()
    prediction = answer["predictions"][0]
    mask = decode_mask(base64.b64decode(prediction["mask"]))
    assert mask.shape == (120, 200)
    assert sum(prediction["class_shares"].values()) == pytest.approx(1)
    finished.run("graft", "predict", str(photograph), "--out", str(tmp_path / "out"))
    assert any(np.array_equal(mask, read_mask(path)) for path in (tmp_path / "out").rglob("*.png"))


def read_mask(path: Path) -> np.ndarray:
    import cv2

    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)


def ask(port: int, content: dict) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps(content).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)
