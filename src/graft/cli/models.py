"""The command `graft models`."""

from __future__ import annotations

from typing import Annotated

import typer

from graft.cli import app

MOST_WEIGHTS = 3


@app.command()
def models(
    pattern: Annotated[
        str | None, typer.Argument(help="A name or a part of one; with the wildcards * and ?, also of variants.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="segmentation, classification or multilabel; all if left out.")
    ] = None,
) -> None:
    """List models: task, parameters for 21 classes, sizes they take, weights available and their licence."""
    from graft.foundation.class_map import TASKS
    from graft.foundation.errors import GraftError

    if task is not None and task not in TASKS:
        raise GraftError(f"no task named {task!r}", where="--task", rule=f"the tasks are {', '.join(TASKS)}")
    from graft.commands.models import MOST_OUTLINED, list_models

    found = list_models(pattern, task)
    if not found:
        remedy = "graft models lists every architecture; a pattern as '*b0*' searches variants and encoders as well"
        raise GraftError(f"no model, variant or encoder matches {pattern!r}", remedy=remedy)
    lines = [("NAME", "TASK", "VARIANT", "PARAMETERS", "IMAGE SIDES", "LICENCE", "WEIGHTS")]
    for row in found:
        count = "-" if row.num_parameters is None else f"{row.num_parameters / 1e6:.2f} M"
        more = f" and {len(row.weights) - MOST_WEIGHTS} more" if len(row.weights) > MOST_WEIGHTS else ""
        weights = ", ".join(row.weights[:MOST_WEIGHTS]) + more if row.weights else "none"
        licence = row.licence if row.weights else "-"
        lines.append((row.name, row.task, row.variant or "-", count, row.input_rule or "-", licence, weights))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    if pattern is not None and len(found) > MOST_OUTLINED:
        typer.echo(
            f"{len(found)} found; parameters and sizes are shown for the first {MOST_OUTLINED}: narrow the pattern"
        )
