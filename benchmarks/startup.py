"""`graft --help` compared with `python -c "import typer"`, the least a command line built on Typer can take."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.figures import Figure, Options, interleave, median, ratio

MOST_TIMES_TYPER = 4.0
RUNS_A_ROUND = 3


def run(options: Options) -> list[Figure]:
    """Measures processes from start to end, three per round."""
    graft = Path(sysconfig.get_path("scripts")) / "graft"
    commands = {"graft": [str(graft), "--help"], "typer": [sys.executable, "-c", "import typer"]}
    ways = {name: lambda command=command: _run(command) for name, command in commands.items()}
    seconds = interleave(ways, RUNS_A_ROUND * options.rounds, "Starting processes")
    return [
        ratio("graft --help / python -c 'import typer'", seconds["graft"], seconds["typer"], at_most=MOST_TIMES_TYPER),
        median("graft --help", seconds["graft"], "ms", 1000),
        median("python -c 'import typer'", seconds["typer"], "ms", 1000),
    ]


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
