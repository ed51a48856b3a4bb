"""The command line: one file a command, named after it.

Every command imports what it needs when it runs, so that `--help` is instant.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from graft.foundation.errors import GraftError
from graft.foundation.installation import CODE

# Exit statuses; 2 is for what a person can fix.
REFUSED, BROKEN, INTERRUPTED = 3, 4, 130

# A module each, in the order of --help; the seven stages, all of one form, share one.
COMMANDS = (
    *(
        "start",
        "check",
        "fix",
        "recipe",
        "deliver",
        "frames",
        "stages",
        "publish",
        "summary",
        "predict",
        "drift",
        "label_next",
        "review",
    ),
    *("models", "select", "pin", "find_rate", "find_runtime", "shrink", "package_weights"),
    *("update", "promote", "freeze", "rollback", "champion", "generations", "lineage", "audit", "attest", "verify"),
    "doctor",
)

app = typer.Typer(
    name="graft",
    help="Grow a model for your images out of one that already knows other images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"graft {version('graft')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Declares the options that come before a command."""


def main() -> None:
    """Runs a command; an error that a person can fix is one message on stderr and exit status 2."""
    commands = with_commands()
    run_the_code_of_this_folder()
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        commands()
    except GraftError as error:
        stop(str(error))
    except OSError as error:
        stop(str(_explain(error)))
    except (KeyboardInterrupt, SystemExit) as end:  # Typer makes 130 out of an interruption
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print("graft: interrupted; finished results stay, half-written ones are deleted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def with_commands() -> typer.Typer:
    """Returns the app with every command, for each module adds its own."""
    for name in COMMANDS:
        import_module(f"graft.cli.{name}")
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
    """Starts over with the code of this checkout, if it is another one (`dvc exp run --temp` makes one).

    A record speaks of the code in the folder it was written in.
    """
    here = Path.cwd()
    ours = CODE.parents[1]
    if here.resolve() != ours and (here / "src/graft/cli").is_dir() and (here / "pipeline").is_dir():
        paths = os.pathsep.join([str(here / "src"), str(here)])
        if os.environ.get("PYTHONPATH") != paths:
            os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONPATH": paths})


def _explain(error: OSError) -> GraftError:
    remedies = {
        errno.ENOSPC: "free some room on this disk and run the command again",
        errno.EROFS: "run graft on a disk that can be written to",
        errno.EACCES: "give yourself the right to read and write there",
        errno.ENAMETOOLONG: "shorten the name",
    }
    remedy = remedies.get(error.errno or 0, "fix this and run the command again")
    return GraftError(error.strerror or str(error), where=error.filename, remedy=remedy)
