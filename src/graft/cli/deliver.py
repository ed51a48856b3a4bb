"""The command `graft deliver`."""

from __future__ import annotations

from typing import Annotated

import typer

from graft.cli import app, check_project


@app.command()
def deliver(
    folder: Annotated[str, typer.Argument(help="Folder of the images that came.")],
    name: Annotated[str, typer.Option(help="Name of the delivery: lower-case letters, digits and hyphens.")],
    like: Annotated[str | None, typer.Option(help="Delivery that is read the same way; the first if left out.")] = None,
) -> None:
    """Add a folder of images to params.yaml as a later delivery, after its files were listed."""
    from graft.commands.deliver import add_delivery

    check_project()
    for line in add_delivery(folder, name, like):
        typer.echo(line)
