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
    from graft import records
    from graft.beginning import begin
    from graft.params_file import load_params
    from graft.rate_finding import find_rate, write_range_test

    params = load_params()
    inputs = {Path(path).stem: Path(path) for path in records.declared("fine-tune", params).inputs}
    _check_inputs(inputs)
    beginning = begin(
        params.task,
        params.seed,
        params.model,
        params.preprocess,
        params.runtime,
        params.fine_tune,
        inputs["augmented"],
        inputs["class_map"],
        inputs["pretrained"],
    )
    found = find_rate(beginning, lowest=lowest, highest=highest, num_steps=steps)
    write_range_test(found, FOLDER, params.fine_tune.learning_rate)
    end = "the loss grew, so the test ended early" if found.has_diverged else "the highest rate was reached"
    typer.echo(f"{len(found.rates)} steps from {found.rates[0]:.1e} to {found.rates[-1]:.1e}; {end}")
    typer.echo(f"the loss falls fastest at     {found.steepest:.1e}")
    typer.echo(f"a tenth of its minimum's rate {found.tenth_of_minimum:.1e}")
    typer.echo(f"params.yaml has               {params.fine_tune.learning_rate:.1e}  (fine_tune.learning_rate)")
    typer.echo(f"both are first guesses for this optimizer, batch size and strategy; see {FOLDER / 'range_test.png'}")


def _check_inputs(inputs: dict[str, Path]) -> None:
    """Refuses to start where an earlier stage has not written what training begins with."""
    from graft.errors import GraftError

    needed = [
        inputs["augmented"] / "index.json",
        inputs["class_map"],
        inputs["pretrained"] / "card.json",
        inputs["pretrained"] / "weights.safetensors",
    ]
    if missing := [str(path) for path in needed if not path.is_file()]:
        raise GraftError(
            f"not here: {', '.join(missing)}",
            rule="graft find-rate trains on the views and weights that fine-tune would",
            remedy="dvc repro augment pretrain-load",
        )
