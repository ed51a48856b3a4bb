"""What a change makes stale: each leaf of params.yaml does what the table of intent says, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.end_to_end.project import STAGES, Project

# The stages that read a section themselves; those after them become stale through what these write.
INTENT = {
    "task": set(STAGES),
    "seed": {"augment", "pretrain-load", "fine-tune", "evaluate", "export"},
    "model": {"pretrain-load", "fine-tune"},
    "preprocess": {"augment", "fine-tune"},
    "runtime": {"pretrain-load", "fine-tune", "evaluate", "export"},
    "ingest": {"ingest"},
    "ingest.batch": {"ingest", "validate"},
    "ingest.deliveries": {"validate"},  # an instance of ingest for each
    "validate": {"validate"},
    "augment": {"augment"},
    "pretrain_load": {"pretrain-load"},
    "fine_tune": {"fine-tune"},
    "predict": {"fine-tune", "evaluate", "export"},
    "evaluate": {"evaluate", "export"},
    "evaluate.split": {"validate", "evaluate", "export"},
    "report": {"evaluate"},
    "export": {"export"},
    "promotion": set(),
}
# Values that paths of dvc.yaml are made of: another one that a stage can find.
PARTS_OF_PATHS = {"evaluate.split": "val", "augment.unlabelled": "unlabelled", "pretrain_load.images": "unlabelled"}
PARTS_OF_PATHS |= {"augment.parent": "pretrained", "export.calibration": "train", "export.scan": "val"}


@pytest.fixture(scope="module")
def changeable(finished, tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("changeable") / "project", GRAFT_TRACKING="off")
    shutil.copytree(finished.root, project.root, symlinks=True)
    return project


@pytest.fixture
def stale(changeable, monkeypatch):
    """A function that says which stages are stale now, in this process."""
    from dvc.repo import Repo

    monkeypatch.chdir(changeable.root)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")

    def ask() -> set[str]:
        with Repo(os.fspath(changeable.root)) as repo:
            return set(repo.status())

    return ask


@pytest.fixture
def stale_by_params(changeable, monkeypatch):
    """A function that says which stages other parameters make stale, as DVC compares them, without hashing a file."""
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    monkeypatch.chdir(changeable.root)

    with Repo(os.fspath(changeable.root)) as repo:
        deps = [(stage.name, dep) for stage in repo.index.stages for dep in stage.deps]
        yield lambda: {stage for stage, dep in deps if isinstance(dep, ParamsDependency) and dep.status()}


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{name}.")
        else:
            yield name, value


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x" if isinstance(value, str) else [*(value or []), {"weight": 3.5}]


def test_every_leaf_makes_stale_what_the_table_of_intent_says(changeable, stale, stale_by_params):
    file = changeable.root / "params.yaml"
    text = file.read_text("utf-8")
    assert stale() == stale_by_params() == set()
    wrong = {}
    for name, value in leaves(YAML(typ="safe").load(text)):
        intended = INTENT.get(name, INTENT[name.split(".")[0]])
        changeable.set({name: PARTS_OF_PATHS.get(name) or changed(value)})
        found = stale_by_params()
        if found != intended:
            wrong[name] = found
        file.write_text(text, encoding="utf-8")
    assert wrong == {}


def test_a_new_photograph_makes_ingest_stale(changeable, stale):
    photograph = changeable.root / "data/raw/new.jpg"
    photograph.write_bytes(b"a photograph")
    try:
        assert "ingest" in stale()
    finally:
        photograph.unlink()


@pytest.mark.parametrize(
    ("file", "stage"),
    [("src/graft/training/losses/dice.py", "fine-tune"), ("src/graft/data/formats/camvid.py", "ingest")],
)
def test_changed_code_makes_its_stages_stale(changeable, stale, file, stage):
    path = changeable.root / file
    text = path.read_text("utf-8")
    path.write_text(text + "# changed\n", encoding="utf-8")
    try:
        assert stale() == {stage}
    finally:
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("file", ["src/graft/cli/check.py", "src/graft/provenance/tracking/publish.py", "README.md"])
def test_what_no_result_depends_on_makes_nothing_stale(changeable, stale, file):
    path = changeable.root / file
    text = path.read_text("utf-8")
    path.write_text(text + "\n# changed\n", encoding="utf-8")
    try:
        assert stale() == set()
    finally:
        path.write_text(text, encoding="utf-8")


def test_running_python_leaves_nothing_stale_behind(changeable, stale):
    changeable.run("graft", "check")  # writes __pycache__ beside the modules
    assert list((changeable.root / "src/graft").rglob("*.pyc"))
    assert stale() == set()


def test_unlabelled_images_leave_a_supervised_model_fresh(changeable, stale):
    changeable.set({"ingest.source.num_unlabelled": 3})
    assert stale() == {"ingest"}
    changeable.run("dvc", "repro", "augment")  # which reads that the images passed validation
    changed = stale()
    assert "fine-tune" not in changed
    assert changed <= {"evaluate"}  # whose report quotes the number of images that were judged
    changeable.set({"augment.unlabelled": "unlabelled"})
    assert stale() == {"augment", *changed}
    changeable.set({"pretrain_load.images": "unlabelled"})
    assert stale() == {"augment", "pretrain-load", *changed}


def test_other_weights_leave_views_fresh_unless_a_memory_is_chosen_by_them(changeable, stale):
    changeable.set({"augment.unlabelled": "none", "pretrain_load.images": "none"})
    changeable.run("dvc", "repro", "augment", "pretrain-load")
    changeable.set({"pretrain_load.part": "backbone"})
    changeable.run("dvc", "repro", "pretrain-load")
    assert stale() & {"augment", "fine-tune"} == {"fine-tune"}
    changeable.set({"augment.parent": "pretrained"})
    assert stale() & {"augment", "fine-tune"} == {"augment", "fine-tune"}
