"""Checks of the workspace: the commit, `dvc.lock`, remains of interrupted runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from graft.commands.doctor.diagnosis import Diagnosis, name_first
from graft.foundation.git import git_text
from graft.foundation.packages import EXTRAS, LOCK
from graft.provenance.repair import LOCK_FILE, is_whole

CODE_AND_PARAMS = ("src", "pipeline", "params.yaml", "dvc.yaml", LOCK.as_posix(), EXTRAS.as_posix())
PLACES = ("data", "models", "reports")


def git() -> Iterable[Diagnosis]:
    """Checks whether a commit holds the code and params that the next result will be made with."""
    commit = git_text("rev-parse", "HEAD")
    if commit is None:
        remedy = "git clone the project, or git init and commit"
        yield Diagnosis("git", "wrong", "no commit is checked out here", remedy)
        return
    changed = git_text("status", "--porcelain", "--", *CODE_AND_PARAMS) or ""
    if changed:
        fact = f"{commit[:12]}, and {len(changed.splitlines())} files of code or params changed since"
        yield Diagnosis("git", "warning", fact, "commit them: the gate refuses a model whose code no commit holds")
    else:
        yield Diagnosis("git", "ok", f"{commit[:12]} holds code and params")


def dvc_lock() -> Iterable[Diagnosis]:
    """Checks whether `dvc.lock` is whole: a killed dvc can leave it cut off."""
    if not LOCK_FILE.is_file():
        yield Diagnosis("dvc.lock", "ok", "nothing has been built here yet")
    elif is_whole(LOCK_FILE):
        yield Diagnosis("dvc.lock", "ok", "is whole")
    else:
        yield Diagnosis("dvc.lock", "wrong", "is cut off or damaged: dvc refuses it", "graft fix, then dvc repro")


def leftovers() -> Iterable[Diagnosis]:
    """Looks for runs under way, trainings that can go on, and half-written folders."""
    running = [lock.stem for lock in sorted(Path(".locks").glob("*.lock")) if _is_held(lock)]
    trainings = [folder.name for folder in sorted(Path(".resume").glob("*")) if folder.is_dir()]
    pending = sorted(path for place in PLACES for path in Path(place).rglob(".tmp-*"))
    if running:
        fact = f"under way in this workspace: {', '.join(running)}"
        yield Diagnosis("running", "warning", fact, "let it finish first")
    if trainings:
        fact = f"{len(trainings)} interrupted: {name_first([name[:16] for name in trainings])}"
        remedy = "dvc repro goes on where it was; rm -r .resume/FINGERPRINT gives it up"
        yield Diagnosis("training", "warning", fact, remedy)
    if pending and not running:
        yield Diagnosis("half-written", "warning", name_first(pending), "the next run of the stage sweeps them")
    if not (running or trainings or pending):
        yield Diagnosis("leftovers", "ok", "none")


def _is_held(path: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
