"""The commands `graft recipe list`, `show` and `use`."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer

from graft.cli import app, check_project

recipe = typer.Typer(help="Complete params files for common jobs.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(recipe, name="recipe")

Name = Annotated[str, typer.Argument(help="As graft recipe list prints it.")]


@recipe.command("list")
def list_() -> None:
    """Name every recipe and say what it is for."""
    from graft.params.recipes import about, recipes

    for name, path in recipes().items():
        typer.echo(name)
        typer.echo(textwrap.indent(textwrap.fill(about(path), 100), "    "))


@recipe.command()
def show(name: Name) -> None:
    """Print a recipe."""
    from graft.params import recipes

    typer.echo(recipes.recipe(name).read_text(encoding="utf-8"), nl=False)


@recipe.command()
def use(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Also over values of your own, which are kept.")] = False,
) -> None:
    """Put a recipe in the place of params.yaml."""
    from graft.params import recipes

    check_project()
    typer.echo(recipes.use(name, force=force))
