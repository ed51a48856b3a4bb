"""A copy of the project that attempts run in, one after the other; it shares DVC's cache and git's objects."""

from __future__ import annotations

import fcntl
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ruamel.yaml.comments import CommentedMap

from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError
from graft.foundation.git import git_failure, git_output, git_text
from graft.foundation.interruption import ends_well
from graft.foundation.progress import say
from graft.params.yaml_tree import dump_tree, write_text
from graft.provenance.audit.rebuild import environment_of_rebuild, place_for_checkout
from graft.provenance.dvc_cache import DvcStorage

SECONDS_TO_END = 20.0
NUM_LINES = 8


class OutOfTimeError(Exception):
    """The time budget ended while an attempt was running; it goes on where it was when it is run again."""


class ProjectCopy:
    """A copy, in which stages run.

    Args:
        folder: Folder of the copy.
        lock: Open file whose lock the processes of a run hold, too.
    """

    def __init__(self, folder: Path, lock: IO[bytes]) -> None:
        self.folder, self.lock = folder, lock

    def reproduce(self, tree: CommentedMap, targets: Sequence[str], log: Path, deadline: float | None) -> None:
        """Runs `dvc repro` with other params; what it prints is shown, and kept in a file.

        Tracking is off, so nothing is published, but weights of registered models are fetched.

        Args:
            tree: The params.
            targets: Arguments of `dvc repro`.
            log: File for what it prints.
            deadline: Moment of `time.monotonic` when the run is ended; None never.

        Raises:
            GraftError: A stage stopped; with what it said.
            KeyboardInterrupt: Ctrl-C, or a request to terminate; the run is ended first.
            OutOfTimeError: The deadline came.
        """
        write_text(self.folder / "params.yaml", dump_tree(tree))
        command = [str(Path(sys.executable).with_name("dvc")), "repro", *targets]
        log.parent.mkdir(parents=True, exist_ok=True)
        with ends_well(_interrupt), log.open("wb") as written:  # a file: a run whose parent was killed can still print
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment_of_rebuild(),
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self.lock.fileno(),),
            )
            try:
                _show(process, log, deadline)
            finally:
                _end(process)
        if process.returncode:
            raise GraftError(_reason(log), where=log)


@contextmanager
def open_copy(folder: Path, from_outside: Sequence[str]) -> Iterator[ProjectCopy]:
    """Makes the copy as the project stands now, or brings it up to date, and holds it while the block runs.

    Args:
        folder: Folder for it, of this project.
        from_outside: Paths that stages read and git does not hold, such as `ingest.root`; the copy links to them.

    Raises:
        GraftError: The project is not in git, or git cannot copy it.
    """
    commit = git_text("rev-parse", "--verify", "HEAD^{commit}")
    if commit is None:
        raise GraftError(
            "this project has no commit",
            rule="attempts run in a copy that git makes, and records name the commit",
            remedy="git init && git add -A && git commit -m 'My project'",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "running.lock").open("wb") as lock:
        _hold(lock)
        place = place_for_checkout(folder / "copy", dict.fromkeys(from_outside, "")).resolve()
        _remove_links(place.parent)
        _check_out(commit, place)
        _remove_links(place.parent)  # of the commit: what they lead to is the user's, and files are copied as they are
        _bring_up_to_date(place, _outermost(from_outside))
        yield ProjectCopy(place, lock)


def _hold(lock: IO[bytes]) -> None:
    """Waits for other commands, and for what a killed one left running: its processes hold the lock, too."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("graft shrink: an attempt is still running here, of another command or one that was killed; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _check_out(commit: str, place: Path) -> None:
    commands: list[tuple[str, ...]] = [("-C", str(place), "checkout", "--quiet", "--force", "--detach", commit)]
    if not (place / ".git").is_dir():
        shutil.rmtree(place, ignore_errors=True)
        commands.insert(0, ("clone", "--quiet", "--shared", "--no-checkout", str(Path.cwd()), str(place)))
    for command in commands:
        if problem := git_failure(*command):
            raise GraftError(
                f"git cannot copy the project: {problem}", where=place, remedy=f"rm -r {place}, then again"
            )


def _bring_up_to_date(place: Path, linked: Sequence[str]) -> None:
    """Gives the copy the files as they lie here, links to what git does not hold, and DVC's cache."""
    files = {name for name in _list_files(Path()) if Path(name).is_file() and not _is_below(name, linked)}
    for name in _list_files(place) - files:
        if not (place / name).is_dir():  # of a submodule
            (place / name).unlink(missing_ok=True)
    for here, there in ((Path(name), place / name) for name in files):
        if not there.is_file() or not filecmp.cmp(here, there, shallow=False):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(here, there)
    for path in linked:
        _link(Path(path), place / path)
    _share_cache(place)


def _list_files(root: Path) -> set[str]:
    """The files of a working tree that git holds, or would hold: neither ignored ones nor those of submodules."""
    listed = git_output("-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is None:
        raise GraftError("git cannot list the files", where=root.resolve(), remedy="git status says why")
    return set(filter(None, os.fsdecode(listed).split("\0")))


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders)


def _remove_links(folder: Path) -> None:
    """Removes the links that an earlier command made: nothing is written, or deleted, through one that is outdated."""
    for here, folders, files in os.walk(folder):  # follows no link
        for name in (*folders, *files):
            if (path := Path(here, name)).is_symlink():
                path.unlink()


def _outermost(paths: Sequence[str]) -> list[str]:
    """The relative ones of these paths that lie in no other of them, as a link to a folder brings what is in it."""
    relative = {os.path.normpath(path) for path in paths if not Path(path).is_absolute()}
    return sorted(path for path in relative if not _is_below(path, [other for other in relative if other != path]))


def _link(here: Path, there: Path) -> None:
    if there.is_dir():
        shutil.rmtree(there)
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(here.resolve())


def _share_cache(place: Path) -> None:
    """Names the project's cache to the copy, beside what is configured on this machine alone."""
    own, there = Path(".dvc/config.local"), place / ".dvc/config.local"
    with replace_file(there) as pending:
        pending.write_bytes(own.read_bytes() if own.is_file() else b"")
    dvc = str(Path(sys.executable).with_name("dvc"))
    cache = DvcStorage().cache.parents[1].resolve()
    command = [dvc, "cache", "dir", "--local", str(cache)]
    done = subprocess.run(command, cwd=place, env=environment_of_rebuild(), capture_output=True, text=True)
    if done.returncode:
        raise GraftError(f"the copy cannot share DVC's cache: {done.stderr.strip()}", where=place)


def _show(process: subprocess.Popen[bytes], log: Path, deadline: float | None) -> None:
    """Shows what a process prints until it ends."""
    with log.open(encoding="utf-8", errors="replace") as printed:
        while True:
            has_ended = process.poll() is not None
            sys.stderr.write(printed.read())
            sys.stderr.flush()
            if has_ended:
                return
            if deadline is not None and time.monotonic() > deadline:
                raise OutOfTimeError
            time.sleep(0.2)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it started, if it is still running; trainings keep their checkpoint."""
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)
    finally:  # also after a second Ctrl-C; and a stage may outlive the dvc that ran it
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _reason(log: Path) -> str:
    """The message of the stage that stopped, up to what DVC adds; else the last lines."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = [n for n, line in enumerate(lines) if line.startswith("graft: ") and not line.startswith("graft: warning")]
    if not said:
        return "\n".join(lines[-NUM_LINES:])
    message = lines[said[-1] :]
    ended = next((n for n, line in enumerate(message) if line.startswith("ERROR: ")), len(message))
    return "\n".join(message[:ended]).removeprefix("graft: ")
