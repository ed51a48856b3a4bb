"""The commands `graft recipe list`, `show` and `use`."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer

from graft.cli import app, check_project

recipe = typer.Typer(help="Params for common jobs.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(recipe, name="recipe")

Name = Annotated[str, typer.Argument(help="Name of the recipe, as graft recipe list prints it.")]


@recipe.command("list")
def list_() -> None:
    """Name every recipe and say what it is for."""
    from graft.params.recipes import describe, list_recipes

    for name, path in list_recipes().items():
        typer.echo(name)
        typer.echo(textwrap.indent(textwrap.fill(describe(path), 100), "    "))


@recipe.command()
def show(
    name: Name,
    whole: Annotated[bool, typer.Option("--whole", help="Print the complete params file instead.")] = False,
) -> None:
    """Print what a recipe is for and what it changes in the recipe that it is based on."""
    from graft.params import recipes

    base = None if whole else recipes.find_base(name)
    if base is None:
        typer.echo(recipes.complete_text(name), nl=False)
        return
    typer.echo(textwrap.fill(recipes.describe(recipes.find_recipe(name)), 100))
    typer.echo(f"\nChanges to {base}:")
    for line in recipes.list_changes(name, base):
        typer.echo(f"  {line}")


@recipe.command()
def use(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="Replace values of your own too; they are kept in a copy.")
    ] = False,
) -> None:
    """Put a recipe, as a complete file, in the place of params.yaml."""
    from graft.params import recipes

    check_project()
    typer.echo(recipes.use(name, force=force))
