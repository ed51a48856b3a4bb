"""Kill the stage, dvc, or both, at any moment: the next run ends with the same bytes as an undisturbed one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest

from tests.end_to_end.project import STAGES, Project

# Seconds after the stage process appears: while it imports, hashes, works, and (for most) renames.
MOMENTS = (0.3, 2.0, 5.0, 9.0)


@pytest.fixture(scope="module")
def victim(finished, tmp_path_factory) -> Project:
    """A copy of the finished miniature that tests may hurt."""
    project = Project(tmp_path_factory.mktemp("victim") / "project", GRAFT_TRACKING="off")
    shutil.copytree(finished.root, project.root, symlinks=True)
    return project


def stage_processes(dvc: subprocess.Popen[str], stage: str) -> list[psutil.Process]:
    """The processes of a running stage command, shell and workers included."""
    for _ in range(600):
        if dvc.poll() is not None:
            return []
        children = psutil.Process(dvc.pid).children(recursive=True)
        found = [child for child in children if stage in command_of(child)]
        if any("bin/graft" in word for child in found for word in command_of(child)):
            return children
        time.sleep(0.05)
    raise AssertionError(f"{stage} never started")


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue


def force(stage: str) -> tuple[str, ...]:
    return ("dvc", "repro", "--force", "--single-item", stage)


def check_killed(project: Project, stage: str, whom: str, moment: float) -> None:
    before = project.output_digests()
    dvc = project.start(*force(stage), log=project.root.parent / "killed.log")
    children = stage_processes(dvc, stage)
    time.sleep(moment)
    if whom in ("stage", "both"):
        kill(children)
    if whom in ("dvc", "both"):
        kill([psutil.Process(dvc.pid)])
    dvc.wait(timeout=120)
    (project.root / f"reports/records/.tmp-1-{stage}.json").touch()  # a kill while the record is written leaves one
    project.run("graft", "fix")  # as `make repro` does: dvc writes dvc.lock in place, and a kill can cut it off
    project.run(*force(stage))
    assert project.output_digests() == before
    leftovers = [path for place in ("data", "models", "reports") for path in (project.root / place).rglob(".tmp-*")]
    assert leftovers == []
    assert not list((project.root / ".resume").glob("*"))


def test_a_killed_run_ends_with_the_same_bytes(victim):
    check_killed(victim, "ingest", "dvc", 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("whom", ["stage", "dvc", "both"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(victim, stage, whom, moment):
    check_killed(victim, stage, whom, moment)


def test_an_interrupted_stage_says_so_and_leaves_nothing(victim):
    stage = victim.start("graft", "augment", *arguments(victim, "augment"))
    pending = victim.root / "data/.tmp-augment-augmented"
    while not pending.exists():
        assert stage.poll() is None, stage.communicate()[0]
        time.sleep(0.01)
    os.killpg(stage.pid, signal.SIGINT)
    output, _ = stage.communicate(timeout=60)
    assert stage.returncode == 130
    assert "graft: interrupted" in output
    assert "Traceback" not in output
    assert not pending.exists()


def arguments(project: Project, stage: str) -> list[str]:
    import shlex

    from ruamel.yaml import YAML

    from graft.params.params_file import load_params
    from graft.provenance.seal import interpolate

    command = YAML(typ="safe").load(project.root / "dvc.yaml")["stages"][stage]["cmd"]
    return shlex.split(interpolate(command, stage, load_params(project.root / "params.yaml").section))[2:]


def test_a_lock_file_that_was_cut_off_is_set_aside_and_written_anew(victim):
    before = victim.output_digests()
    lock = victim.root / "dvc.lock"
    text = lock.read_text("utf-8")
    lock.write_text("schema: '2.0'\nstages:\n  ingest:\n", encoding="utf-8")
    assert victim.run("dvc", "repro", check=False).returncode != 0
    assert "dvc.lock was truncated" in victim.run("graft", "fix").stdout
    done = victim.run("dvc", "repro")
    assert "> graft" not in done.stdout
    assert lock.read_text("utf-8") == text
    assert victim.output_digests() == before
    assert victim.run("graft", "fix").stdout == "nothing to fix\n"
