"""The `graft` command: loads params, seals, calls the stage, records, publishes.

Every command imports what it needs when it runs, so that `--help` is instant.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import typer

from graft.foundation.errors import GraftError
from graft.foundation.installation import CODE

INTERRUPTED = 130

app = typer.Typer(
    name="graft",
    help="Grow a model for your images out of one that already knows other images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Runs a command; what a person can fix is one message on stderr and exit status 2."""
    whole = with_commands()
    run_the_code_of_this_folder()
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        whole()
    except GraftError as error:
        stop(str(error))
    except OSError as error:
        stop(str(_explained(error)))
    except (KeyboardInterrupt, SystemExit) as end:  # Typer makes 130 out of an interruption
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print("graft: interrupted; what was finished stays, what was half-written is gone", file=sys.stderr)
        sys.exit(INTERRUPTED)


def with_commands() -> typer.Typer:
    """The app with every command in it: their modules add themselves."""
    from graft.cli import commands, doctor, find_rate, lineage, models, promote, recipe, select, stages  # noqa: F401

    return app


def check_project() -> None:
    """Refuses to work outside a project, where a command would find nothing or leave its own files behind.

    Raises:
        GraftError: There is no `dvc.yaml` here.
    """
    if not Path("dvc.yaml").is_file():
        raise GraftError(
            "this is not the root of a Graft project: there is no dvc.yaml",
            where=Path.cwd(),
            remedy="change to the folder you cloned Graft to, or clone it; graft --help lists the commands",
        )


def stop(message: str) -> None:
    """Prints one message and exits with status 2."""
    print(f"graft: {message}", file=sys.stderr)
    sys.exit(2)


def run_the_code_of_this_folder() -> None:
    """In another checkout (`dvc exp run --temp` makes one) the code there is what the record must speak of."""
    here = Path.cwd()
    ours = CODE.parents[1]
    if here.resolve() != ours and (here / "src/graft/cli").is_dir() and (here / "pipeline").is_dir():
        paths = os.pathsep.join([str(here / "src"), str(here)])
        if os.environ.get("PYTHONPATH") != paths:
            os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONPATH": paths})


def _explained(error: OSError) -> GraftError:
    remedies = {
        errno.ENOSPC: "free some room on this disk and run the command again",
        errno.EROFS: "run graft on a disk that can be written to",
        errno.EACCES: "give yourself the right to read and write there",
        errno.ENAMETOOLONG: "shorten the name",
    }
    remedy = remedies.get(error.errno or 0, "mend this and run the command again")
    return GraftError(error.strerror or str(error), where=error.filename, remedy=remedy)
