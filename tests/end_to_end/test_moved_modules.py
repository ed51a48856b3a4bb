"""A model made before the modules were moved: its records name code by paths that only git still holds."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.end_to_end.project import REPOSITORY, Project

BEFORE = "bf167bcaad1ed42b491dc639f1645aa6a5ddccc3"  # the last commit with every module directly in src/graft
SMALL = {
    "runtime.num_threads": 1,
    "ingest.source": {
        "name": "scenes",
        "domain": "night_rain",
        "num_train": 8,
        "num_val": 4,
        "num_test": 4,
        "width_px": 128,
        "height_px": 96,
    },
    "augment.crop": {"height_px": 96, "width_px": 128},
    "augment.views": 1,
    "fine_tune.epochs": 2,
    "fine_tune.batch_size": 4,
    "evaluate.bootstrap_samples": 50,
    "evaluate.num_examples": 2,
    "export.parity_images": 2,
}


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Project:
    """A project whose model was made, published and committed by the code of that commit."""
    archive = subprocess.run(["git", "archive", BEFORE], cwd=REPOSITORY, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip(f"commit {BEFORE[:7]} is not in this history: git fetch --unshallow brings it")
    root = tmp_path_factory.mktemp("before the move") / "project"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(root, filter="data")
    for folder in ("tests", "docs", "benchmarks"):
        shutil.rmtree(root / folder)
    project = Project(root, PYTHONPATH=os.pathsep.join([str(root / "src"), str(root)]))
    project.set(SMALL)
    project.commit("The miniature, as it was")
    project.run("dvc", "repro")
    project.commit("The model")
    return project


@pytest.mark.slow  # seven stages and an audit: a minute
def test_an_audit_after_the_move_breaks_no_link_of_a_model_made_before(before):
    code = set(before.record("fine-tune")["code"])
    for folder in ("src", "pipeline"):
        shutil.rmtree(before.root / folder)
    before.take_code()
    before.commit("The code of today")
    assert any(not Path(before.root, path).exists() for path in code)
    audit = before.run("graft", "audit", "models/exported")
    assert " 0 broken" in audit.stdout.splitlines()[-1], audit.stdout
    for stage in ("ingest", "fine-tune", "export"):
        assert f"code and params of {stage}: commit" in audit.stdout
    assert "dvc.lock, export, cmd: as dvc.yaml has it" in audit.stdout
