"""Deliveries that come, go and are renamed, under the real DVC: what is read again, and what the data then holds."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from graft.foundation.content import digest_of, read_json
from tests.end_to_end.project import Project

DRAWN = {"name": "scenes", "num_train": 6, "num_val": 3, "num_test": 3, "width_px": 64, "height_px": 48}
DAY = {"root": "data/raw", "source": {**DRAWN, "domain": "day"}}
FOG = {"root": "data/raw", "source": {**DRAWN, "domain": "fog"}}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A project of one small delivery, put together and committed."""
    made = Project.create(tmp_path_factory.mktemp("deliveries") / "graft project", GRAFT_TRACKING="off")
    made.set({"ingest.source": {**DRAWN, "domain": "night_rain"}, "validate.min_side_px": 32})
    repro(made, "One delivery")
    return made


def repro(project: Project, message: str) -> list[str]:
    """Runs the pipeline up to validate and commits; returns the stages that DVC ran."""
    told = project.run("dvc", "repro", "validate").stdout
    project.commit(message)
    return [line.split("'")[1] for line in told.splitlines() if line.startswith("Running stage")]


def held(project: Project) -> set[str]:
    """The deliveries whose rows the data of all holds."""
    table = pq.read_table(project.root / "data/interim/manifest.parquet", columns=["batch"])
    rows = pq.read_table(project.root / "data/interim/train", columns=["batch"])
    names = set(table["batch"].to_pylist())
    assert set(rows["batch"].to_pylist()) == names
    assert read_json(project.root / "reports/validation/validation.json")["deliveries"][0] == "first"
    return names


def is_clean(project: Project) -> bool:
    return "up to date" in project.run("dvc", "status", "validate").stdout


@pytest.mark.slow
def test_a_delivery_comes_goes_and_is_renamed(project, tmp_path):
    alone = digest_of(project.root / "data/interim")
    project.set({"ingest.deliveries": {"fog": FOG}})
    assert repro(project, "Fog comes") == ["ingest-delivery@fog", "validate"]
    assert held(project) == {"first", "fog"}
    assert is_clean(project)
    rows = pq.read_table(project.root / "data/interim/train", columns=["id", "batch"]).to_pylist()
    assert all(row["id"].startswith("fog/") == (row["batch"] == "fog") for row in rows)
    assert list(project.record("validate")["inputs"]) == ["data/deliveries/first", "data/deliveries/fog"]

    project.set({"ingest.deliveries": {"fog": FOG, "day": DAY}})
    assert repro(project, "Day comes") == ["ingest-delivery@day", "validate"]
    both = digest_of(project.root / "data/interim")

    project.set({"ingest.deliveries": {"day": DAY}})
    assert repro(project, "Fog goes") == ["validate"]
    assert held(project) == {"first", "day"}
    assert not (project.root / "data/deliveries/fog").exists()
    assert is_clean(project)

    project.set({"ingest.deliveries": {"noon": DAY}})
    assert repro(project, "Day is renamed") == ["ingest-delivery@noon", "validate"]
    assert held(project) == {"first", "noon"}

    project.set({"ingest.deliveries": {}})
    repro(project, "One delivery again")
    assert digest_of(project.root / "data/interim") == alone
    project.set({"ingest.deliveries": {"fog": FOG, "day": DAY}})
    assert "ingest-delivery@fog" not in repro(project, "Both again")  # out of the run cache
    assert digest_of(project.root / "data/interim") == both
    assert is_clean(project)
    clone_is_the_same(project, tmp_path)


def clone_is_the_same(project: Project, folder: Path) -> None:
    """A commit before, checked out without its data while that of later deliveries lies there; and a clone."""
    project.run("git", "checkout", "-q", "HEAD~2")  # one delivery was left, called noon
    repro_there = project.run("dvc", "repro", "validate")
    assert held(project) == {"first", "noon"}, repro_there.stdout
    assert is_clean(project)
    project.run("git", "checkout", "-q", "--force", "-")  # a record names the commit, and so dvc.lock differs
    clone = Project(folder / "clone", GRAFT_TRACKING="off")
    project.run("git", "clone", "-q", ".", os.fspath(clone.root))
    clone.run("dvc", "cache", "dir", "-q", "--local", os.fspath(project.root / ".dvc/cache"))
    clone.run("dvc", "checkout", "-q", check=False)
    assert is_clean(clone)
    assert held(clone) == {"first", "fog", "day"}


def test_a_new_delivery_makes_itself_and_what_is_put_together_stale(finished, tmp_path_factory, monkeypatch):
    import shutil

    from dvc.repo import Repo

    project = Project(tmp_path_factory.mktemp("stale") / "project", GRAFT_TRACKING="off")
    shutil.copytree(finished.root, project.root, symlinks=True)
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")

    def stale() -> set[str]:
        with Repo(os.fspath(project.root)) as repo:
            return set(repo.status())

    project.set({"ingest.deliveries": {"2026-11": DAY}})
    assert stale() == {"ingest-delivery@2026-11", "validate"}
    project.set({"ingest.batch": "other", "ingest.deliveries": {}})
    assert stale() == {"ingest", "validate"}


@pytest.mark.parametrize(
    ("deliveries", "said"),
    [
        ({"2026 November": DAY}, "ingest.deliveries.2026 November.[key] is '2026 November'. Rule: String should match"),
        ({"first": DAY}, "this is the name of ingest.batch, the first delivery; choose another"),
        ({"val": DAY}, "this is the name of a split; choose another"),
        ({"fog": FOG, "again": FOG}, "deliveries.again: it has root and source of fog, so every image would be twice"),
        ({"fog": {**FOG, "root": "nowhere"}}, "ingest.deliveries.fog.root is 'nowhere', and there is nothing"),
        ({"fog": {**FOG, "source": "scene"}}, "ingest.deliveries.fog.source has no choice named 'scene'"),
        ({"fog": {"root": "data/raw"}}, "ingest.deliveries.fog.source is missing"),
    ],
)
def test_check_names_what_is_wrong_with_a_delivery(tmp_path, monkeypatch, deliveries, said):
    from graft.foundation.errors import GraftError
    from graft.params.examination import check_file
    from graft.params.recipes import ROOT, compose
    from graft.params.yaml_tree import write_tree

    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/raw").mkdir(parents=True)
    tree = compose(ROOT)
    tree["ingest"]["deliveries"] = deliveries
    write_tree(tmp_path / "params.yaml", tree)
    with pytest.raises(GraftError) as refused:
        check_file(Path("params.yaml"))
    assert said in str(refused.value)
