"""A DVC remote behind a real SSH server: who pulls computes nothing, and what was computed once is found again."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.end_to_end.project import Project
from tests.end_to_end.ssh_server import ssh_server


@pytest.fixture(scope="module")
def pushed(finished, tmp_path_factory):
    """A project whose lock file is in git and whose data, models and run cache are on the remote."""
    place = tmp_path_factory.mktemp("ssh")
    with ssh_server(place / "home") as port:
        project = Project(place / "first", HOME=str(place / "home"), GRAFT_TRACKING="off")
        shutil.copytree(finished.root, project.root, symlinks=True)
        project.run("dvc", "remote", "add", "-d", "team", f"ssh://127.0.0.1:{port}{place / 'remote'}")
        project.commit("The remote and the result")
        project.run("dvc", "push", "--run-cache")
        yield project


def cloned(project: Project, name: str) -> Project:
    clone = Project(project.root.with_name(name), **project.environment)
    clone.root.mkdir()
    clone.run("git", "clone", "-q", str(project.root), ".")
    return clone


def test_a_second_clone_reproduces_by_pulling_and_its_lineage_is_complete(pushed):
    second = cloned(pushed, "second")
    second.run("dvc", "pull", "--run-cache")
    assert second.output_digests() == pushed.output_digests()
    printed = second.run("dvc", "repro").stdout
    assert "> graft" not in printed
    assert printed.count("didn't change, skipping") == 7
    assert second.run("dvc", "status", "-q", check=False).returncode == 0
    ours, theirs = (
        json.loads(project.run("graft", "lineage", "models/exported", "--json").stdout) for project in (pushed, second)
    )
    assert theirs == ours
    assert "missing" not in second.run("graft", "lineage", "models/exported").stdout


def test_without_the_lock_file_the_run_cache_still_knows_what_was_computed(pushed):
    third = cloned(pushed, "third")
    (third.root / "dvc.lock").unlink()
    third.run("dvc", "fetch", "--run-cache")
    printed = third.run("dvc", "repro", "--pull").stdout
    assert "> graft" not in printed
    assert printed.count("is cached - skipping run") == 7
    assert third.output_digests() == pushed.output_digests()
