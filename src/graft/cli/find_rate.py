"""The command `graft find-rate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app, check_project

FOLDER = Path("reports/find_rate")


@app.command("find-rate")
def find_rate(
    lowest: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-6,
    highest: Annotated[float, typer.Option(help="Learning rate of the last step.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Steps from one to the other.")] = 100,
) -> None:
    """Suggest a learning rate: train briefly while it grows, on the data and weights that are here."""
    check_project()
    from graft.commands.find_rate import find_rate, write_range_test
    from graft.foundation.choices import resolve
    from graft.params.params_file import load_params
    from graft.provenance.rehearsal import begin_here
    from graft.training.schedules import SCHEDULES

    params = load_params()
    found = find_rate(begin_here(params), lowest=lowest, highest=highest, num_steps=steps)
    write_range_test(found, FOLDER, params.fine_tune.learning_rate)
    end = "the loss grew, so the test ended early" if found.has_diverged else "the highest rate was reached"
    typer.echo(f"{len(found.rates)} steps from {found.rates[0]:.1e} to {found.rates[-1]:.1e}; {end}")
    typer.echo(f"the loss falls fastest at     {found.steepest:.1e}")
    typer.echo(f"a tenth of its minimum's rate {found.tenth_of_minimum:.1e}")
    if resolve(SCHEDULES, params.fine_tune.schedule, where="fine_tune.schedule").name == "one_cycle":
        typer.echo(f"peak of one_cycle: a third    {found.peak_of_one_cycle:.1e}")
    typer.echo(f"params.yaml has               {params.fine_tune.learning_rate:.1e}  (fine_tune.learning_rate)")
    typer.echo(f"these are first guesses for this optimizer, batch size and strategy; see {FOLDER / 'range_test.png'}")
