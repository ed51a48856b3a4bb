"""The one door to git: output as it is, and None instead of an exception."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from graft.foundation import git

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xff line\n")
    author = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-q", "-m", "one")):
        subprocess.run(["git", *command], check=True, cwd=tmp_path)
    return tmp_path


def test_output_is_the_bytes_and_text_is_without_space_around(repository):
    assert git.git_output("show", "HEAD:a.txt") == b"\xff line\n"
    assert git.git_text("show", "HEAD:a.txt") == "\ufffd line"
    assert git.git_output("hash-object", "--stdin", feed=b"") == b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n"


def test_a_command_that_fails_gives_none_and_its_message(repository):
    assert git.git_output("show", "HEAD:absent") is None
    assert git.git_text("rev-parse", "--verify", "absent") is None
    assert "absent" in (git.git_failure("checkout", "absent") or "")
    assert git.git_failure("rev-parse", "HEAD") is None


def test_without_git_there_is_no_output(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository))
    assert git.git_output("rev-parse", "HEAD") is None
    assert git.git_failure("rev-parse", "HEAD") == "git: No such file or directory"


def test_nothing_else_starts_git():
    files = [file for file in SOURCE.rglob("*.py") if re.search(r'\[\s*"git",', file.read_text(encoding="utf-8"))]
    assert [file.name for file in files] == ["git.py"]
