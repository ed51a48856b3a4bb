"""The one door to git."""

from __future__ import annotations

import subprocess
from pathlib import Path

from graft.foundation.errors import GraftError


def git_output(*arguments: str, feed: bytes | None = None) -> bytes | None:
    """The standard output of a git command; None if it fails, or where git is not installed.

    Args:
        arguments: Subcommand and its arguments, as in `("rev-parse", "HEAD")`.
        feed: Standard input of the command.
    """
    try:
        return subprocess.run(["git", *arguments], input=feed, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def git_text(*arguments: str) -> str | None:
    """The output of a git command as text without the space around it; None as in `git_output`."""
    output = git_output(*arguments)
    return None if output is None else output.decode(errors="replace").strip()


def git_failure(*arguments: str) -> str | None:
    """Runs a git command for its effect; returns its message where it fails, None if it succeeds."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError as error:
        return f"git: {error.strerror}"
    if done.returncode == 0:
        return None
    return done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"


def refuse_conflict(path: Path, text: str, rule: str, rewrite: str) -> None:
    """Refuses a file in which a merge left conflict markers.

    Args:
        path: Path of the file.
        text: Content of the file.
        rule: Rule it breaks.
        rewrite: Command that completes the file from either side.

    Raises:
        GraftError: There are markers; the remedy is one side and `rewrite`, or `rewrite` alone once they are committed.
    """
    marks = ("<<<<<<< ", "||||||| ", ">>>>>>> ")
    line = next((number for number, line in enumerate(text.split("\n"), 1) if line.startswith(marks)), None)
    if line is None:
        return
    is_unmerged = bool(git_text("ls-files", "--unmerged", "--", path.as_posix()))
    remedy = f"git checkout --ours {path}" if is_unmerged else f"rm {path}"
    raise GraftError(
        "git's conflict markers stand in it", where=f"{path}:{line}", rule=rule, remedy=f"{remedy}, then {rewrite}"
    )


def start_object_reader() -> subprocess.Popen[bytes]:
    """Starts a git that answers each name of an object on its standard input with a header line and the content."""
    pipe = subprocess.PIPE
    return subprocess.Popen(["git", "cat-file", "--batch"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
