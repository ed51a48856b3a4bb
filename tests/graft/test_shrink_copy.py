"""The copy of a project that `graft shrink` works in: its files, and how what runs there is ended."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from graft.commands.shrink.project_copy import _outermost, _reason, _remove_links, open_copy
from graft.foundation.errors import GraftError

# A command that opens the copy of the project it is started in, runs `dvc repro` there, and says how it ended.
RUNS_A_STAGE = """
from pathlib import Path
from graft.commands.shrink.project_copy import open_copy
with open_copy(Path("build"), []) as copy:
    try:
        copy.reproduce({}, [], Path("log"), None)
    except KeyboardInterrupt:
        print("interrupted")
"""


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def commit() -> None:
    git("add", "-A")
    git("commit", "--quiet", "--message", "As it stands")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A repository of git and DVC, in which the test runs; its parent folder is the test's as well."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    git("init", "--quiet")
    subprocess.run([Path(sys.executable).with_name("dvc"), "init", "--quiet"], check=True)
    Path(".gitignore").write_text("build/\n", encoding="utf-8")
    Path("code.py").write_text("committed", encoding="utf-8")
    commit()
    return root


def copied(*from_outside: str) -> Path:
    with open_copy(Path("build"), from_outside) as copy:
        return copy.folder


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".git", ".dvc", ".gitignore", ".dvcignore"}


def test_the_copy_holds_the_files_as_they_lie_here_and_none_that_went(project):
    Path("code.py").write_text("changed", encoding="utf-8")
    Path("tried.py").write_text("neither committed nor ignored", encoding="utf-8")
    copy = copied()
    assert names_in(copy) == {"code.py", "tried.py"}
    assert (copy / "code.py").read_text("utf-8") == "changed"
    (copy / "build").mkdir()
    (copy / "build/output").touch()  # ignored, as what stages write is
    Path("tried.py").rename("kept.py")
    git("rm", "--force", "code.py")
    assert copied() == copy
    assert names_in(copy) == {"kept.py", "build"}
    assert (copy / "build/output").is_file()


def test_a_name_that_is_not_utf_8_is_copied(project):
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        Path(name).write_text("of an old disk", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such name")
    assert (copied() / name).read_text("utf-8") == "of an old disk"


def test_nothing_is_written_through_a_link_of_the_commit(project):
    outside = project.parent / "outside.txt"
    outside.write_text("mine", encoding="utf-8")
    Path("notes.txt").symlink_to(outside)
    commit()
    assert (copied() / "notes.txt").read_text("utf-8") == "mine"
    Path("notes.txt").unlink()
    Path("notes.txt").write_text("a file of its own now", encoding="utf-8")
    assert (copied() / "notes.txt").read_text("utf-8") == "a file of its own now"
    assert outside.read_text("utf-8") == "mine"


@pytest.mark.parametrize("root", ["photos", "photos/2024"])
@pytest.mark.parametrize("is_held", [True, False])
def test_images_behind_a_link_of_the_commit_are_read_and_stay(project, root, is_held):
    image = project.parent / "disk/2024/1.png"
    image.parent.mkdir(parents=True)
    image.touch()
    Path("photos").symlink_to(project.parent / "disk")
    commit()
    if not is_held:
        git("rm", "--cached", "photos")
        Path(".gitignore").write_text("build/\nphotos\n", encoding="utf-8")
    for _ in range(2):
        assert (copied(root) / "photos/2024/1.png").is_file()
    assert image.is_file()


def test_a_submodule_is_left_out(project):
    library = project.parent / "library"
    git("init", "--quiet", str(library))
    git("-C", str(library), "commit", "--quiet", "--allow-empty", "--message", "Empty")
    git("submodule", "add", str(library), "library")
    commit()
    for _ in range(2):
        assert "code.py" in names_in(copied())


def test_no_link_leads_into_a_folder_that_is_linked_itself(tmp_path):
    assert _outermost(["data/raw/november/", "data/raw", "/elsewhere", "../photos"]) == ["../photos", "data/raw"]
    (tmp_path / "real").mkdir()
    (tmp_path / "real/mine.png").touch()
    (tmp_path / "copy/data").mkdir(parents=True)
    (tmp_path / "copy/data/raw").symlink_to(tmp_path / "real")
    _remove_links(tmp_path / "copy")
    assert not (tmp_path / "copy/data/raw").exists()
    assert (tmp_path / "real/mine.png").is_file()


def test_a_project_without_a_commit_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    with pytest.raises(GraftError, match="this project has no commit"):
        copied()
    assert not Path("build").exists()


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_what_runs_in_the_copy_ends_with_the_command(project, wish):
    stage = "stages: {endless: {cmd: 'echo $$ > pid.tmp && mv pid.tmp pid && exec sleep 600'}}"
    Path("dvc.yaml").write_text(stage, encoding="utf-8")
    commit()
    # A shell lets what it runs in the background ignore Ctrl-C, and so would all that is started from there.
    runs = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{RUNS_A_STAGE}"
    command = subprocess.Popen([sys.executable, "-c", runs], stdout=subprocess.PIPE, text=True)
    started = Path("build/copy/checkout/pid")
    while not started.exists():
        assert command.poll() is None
        time.sleep(0.05)
    stage_process = psutil.Process(int(started.read_text("utf-8")))
    command.send_signal(wish)
    assert command.communicate(timeout=60)[0] == "interrupted\n"
    assert not stage_process.is_running() or stage_process.status() == psutil.STATUS_ZOMBIE
    with Path("build/running.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # else a BlockingIOError


def test_the_reason_of_a_stage_is_told_without_what_dvc_adds(tmp_path):
    log = tmp_path / "log"
    log.write_text("graft: warning: slow\ngraft: two lines\n  - of it\nERROR: failed to reproduce 'export'\n")
    assert _reason(log) == "two lines\n  - of it"
    log.write_text("ERROR: nothing of ours\n")
    assert _reason(log) == "ERROR: nothing of ours"
