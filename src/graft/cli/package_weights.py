"""The command `graft package-weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app
from graft.cli.registered import check_place


@app.command("package-weights")
def package_weights(
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the wheel.")] = Path("dist"),
    name: Annotated[
        str | None, typer.Option(help="Name of the package; that of the model and -weights if left out.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the package; the number of the registered version if left out.")
    ] = None,
) -> None:
    """Write the weights of a model as a wheel, which others lock and install like code and then grow from."""
    from graft.commands.package_weights import package_weights as write_package
    from graft.params.yaml_tree import dump_tree

    check_place(model)
    written = write_package(model, out, name, version)
    spec, source = (dump_tree(choice, flow=True).strip() for choice in (written.model, written.source))
    typer.echo(f"{written.wheel}: {written.wheel.stat().st_size / 1e6:.1f} MB")
    typer.echo("A project that is to grow from it writes into requirements/team.lock")
    typer.echo(f"  {written.requirement} --hash=sha256:{written.sha256}")
    typer.echo("and into params.yaml")
    typer.echo(f"  model: {spec}\n  pretrain_load:\n    source: {source}")
    typer.echo(
        "Once the wheel is on its package index, make setup EXTRAS=team installs it there; from a folder: "
        "UV_FIND_LINKS=FOLDER make setup EXTRAS=team"
    )
