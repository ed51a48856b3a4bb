"""The doctor's look at the workspace: what git holds, what an interrupted run left behind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from graft.commands.doctor.finding import Finding, named
from graft.foundation.git import git_text
from graft.provenance.repair import LOCK_FILE, is_whole

CODE_AND_PARAMS = ("src", "pipeline", "params.yaml", "dvc.yaml", "requirements.lock")
PLACES = ("data", "models", "reports")


def git() -> Iterable[Finding]:
    """Whether a commit holds the code and params that the next result will be made with."""
    commit = git_text("rev-parse", "HEAD")
    if commit is None:
        yield Finding("git", "wrong", "no commit is checked out here", "git clone the project, or git init and commit")
        return
    changed = git_text("status", "--porcelain", "--", *CODE_AND_PARAMS) or ""
    if changed:
        fact = f"{commit[:12]}, and {len(changed.splitlines())} changed files of code or params that it does not hold"
        yield Finding("git", "warning", fact, "commit them: a model of code that no commit holds is not promoted")
    else:
        yield Finding("git", "ok", f"{commit[:12]} holds code and params")


def lock_of_dvc() -> Iterable[Finding]:
    """Whether `dvc.lock` is whole: a killed dvc can leave it cut off."""
    if not LOCK_FILE.is_file():
        yield Finding("dvc.lock", "ok", "nothing has been built here yet")
    elif is_whole(LOCK_FILE):
        yield Finding("dvc.lock", "ok", "is whole")
    else:
        yield Finding("dvc.lock", "wrong", "is cut off or damaged: dvc refuses it", "graft mend, then dvc repro")


def leftovers() -> Iterable[Finding]:
    """Runs under way, trainings that can go on, half-written folders."""
    running = [lock.stem for lock in sorted(Path(".locks").glob("*.lock")) if _is_held(lock)]
    trainings = [folder.name for folder in sorted(Path(".resume").glob("*")) if folder.is_dir()]
    pending = sorted(path for place in PLACES for path in Path(place).rglob(".tmp-*"))
    if running:
        yield Finding("running", "warning", f"under way in this workspace: {', '.join(running)}", "let it finish first")
    if trainings:
        fact = f"{len(trainings)} interrupted: {named([name[:16] for name in trainings])}"
        remedy = "dvc repro goes on where it was; rm -r .resume/FINGERPRINT gives it up"
        yield Finding("training", "warning", fact, remedy)
    if pending and not running:
        yield Finding("half-written", "warning", named(pending), "the next run of the stage sweeps them")
    if not (running or trainings or pending):
        yield Finding("leftovers", "ok", "none")


def _is_held(path: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
