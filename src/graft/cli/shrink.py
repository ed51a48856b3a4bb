"""The command `graft shrink`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import REFUSED, app, check_project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graft.commands.shrink.goal import Goal
    from graft.commands.shrink.plan import Attempt
    from graft.commands.shrink.shrink import Course
    from graft.commands.shrink.trial import Bench


@app.command()
def shrink(
    latency_ratio: Annotated[
        float | None, typer.Option(help="How many times as fast it has to be, end to end, as the model is now.")
    ] = None,
    latency_ms: Annotated[float | None, typer.Option(help="Most milliseconds for one image, on this machine.")] = None,
    num_bytes: Annotated[int | None, typer.Option("--bytes", help="Largest size of the exported file.")] = None,
    max_drop: Annotated[float, typer.Option(help="By how much the score on val may fall.")] = 0.01,
    minutes: Annotated[
        float | None, typer.Option(help="Time to spend; the same command goes on later. No limit if left out.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads that models are timed on.")] = 1,
    try_all: Annotated[bool, typer.Option("--all", help="Try everything, also when the goal is met.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be tried.")] = False,
) -> None:
    """Find a smaller, faster model that scores nearly the same, and write it into params.yaml; exit 3 if none does."""
    check_project()
    from graft.commands.shrink.goal import Goal
    from graft.commands.shrink.origin import FOLDER, find_origin
    from graft.commands.shrink.shrink import list_attempts, run_attempts
    from graft.commands.shrink.shrink_runs import log_or_warn
    from graft.commands.shrink.trial import Bench
    from graft.foundation.errors import GraftError
    from graft.params.params_file import PARAMS_FILE, load_params
    from graft.params.yaml_tree import read_tree

    goal = Goal(latency_ratio, latency_ms, num_bytes, max_drop)
    if minutes is not None and not minutes > 0:
        raise GraftError(f"--minutes is {minutes:g}", rule="a time to spend is more than 0")
    params = load_params()
    origin = find_origin(params)
    typer.echo(f"shrinking {origin.said}")
    if not origin.is_own:
        typer.echo("params.yaml makes another model than this one, so 8 bits are tried only of what is trained anew")
    attempts = list_attempts(params, origin, max_drop)
    bench = Bench(params, read_tree(PARAMS_FILE), origin, FOLDER, threads)
    if dry_run:
        _print_plan(bench, attempts)
        return
    course = run_attempts(
        bench,
        attempts,
        goal,
        minutes=minutes,
        try_all=try_all,
        tell=lambda course: log_or_warn(origin, course.outcomes, attempts),
    )
    _conclude(bench, attempts, goal, course)


def _print_plan(bench: Bench, attempts: Sequence[Attempt]) -> None:
    from graft.commands.shrink.plan import differing
    from graft.foundation.errors import GraftError

    for number, attempt in enumerate(attempts, 1):
        state = " (tried before)" if bench.kept(attempt) else ""
        try:
            bench.check(attempt)
        except GraftError as error:
            state = f" (impossible here: {error.what})"
        typer.echo(f"{number}. {attempt.name}{state}")
        for line in differing(bench.tree, attempt.changes):
            typer.echo(f"     {line}")


def _conclude(bench: Bench, attempts: Sequence[Attempt], goal: Goal, course: Course) -> None:
    """Prints table and page; writes the winner into params.yaml, or exits with how near the attempts came."""
    from graft.commands.shrink.shrink_page import start_of, write_page
    from graft.metrics.confusion import HEADLINE

    if not course.outcomes:
        typer.echo("the time was spent before an attempt ended; the same command goes on where it was")
        sys.exit(REFUSED)
    page = write_page(course, bench.origin, goal, HEADLINE[bench.params.task])
    _print_table(bench, goal, course)
    if course.is_out_of_time:
        typer.echo(f"the time is spent; not tried: {'; '.join(course.left)}. The same command goes on where it was.")
    typer.echo(f"Page: {page}")
    if not goal.misses(start_of(course.outcomes, bench.origin)):
        typer.echo(f"{bench.origin.said}: it meets the goal as it is")
    winner = goal.winner(course.outcomes)
    if winner is None:
        typer.echo("no attempt meets the goal; nearest:")
        for line in goal.nearest(course.outcomes):
            typer.echo(f"  {line}")
        sys.exit(REFUSED)
    _write_winner(next(one for one in attempts if one.name == winner.name), bench)


def _write_winner(attempt: Attempt, bench: Bench) -> None:
    from graft.commands.shrink.plan import apply
    from graft.foundation.progress import warn
    from graft.models.address import is_address
    from graft.params.params_file import PARAMS_FILE
    from graft.params.yaml_tree import changed_lines, plain, read_tree, write_tree

    now = read_tree(PARAMS_FILE)
    if plain(now) != plain(bench.tree):
        warn(f"{PARAMS_FILE} was changed while attempts ran, so dvc repro makes a model that was not tried")
    tree = apply(now, attempt.changes)
    typer.echo(f"{attempt.name}: written into {PARAMS_FILE}")
    for line in changed_lines(PARAMS_FILE, tree):
        typer.echo(line)
    write_tree(PARAMS_FILE, tree)
    typer.echo("next: dvc repro (brings the training back from DVC's cache), git commit -am 'Smaller', graft promote")
    if attempt.target != "onnx":
        typer.echo(
            f"the fast file is {attempt.target}: graft predict --target {attempt.target}, or GRAFT_SERVED_TARGET"
        )
    if not is_address(bench.origin.teacher["model"]) and "pretrain_load.source" in attempt.changes:
        typer.echo(
            f"{bench.origin.folder} holds what it starts from, and git does not: keep it, or register that model"
        )


def _print_table(bench: Bench, goal: Goal, course: Course) -> None:
    from rich.console import Console
    from rich.table import Table

    from graft.commands.shrink.shrink_page import HEADINGS, rows_of

    table = Table(title="scores on val, of the exported files; latency of an image, decoded pixels to class ids")
    table.title_justify = "left"
    for heading in HEADINGS:
        table.add_column(heading.replace("_", " "), overflow="fold")
    for row in rows_of(course.outcomes, bench.origin, goal):
        table.add_row(*row.values())
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 120)
    console.print(table)
