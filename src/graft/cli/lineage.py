"""The command `graft lineage`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import app, check_project

if TYPE_CHECKING:
    from graft.provenance.lineage.index import Index


@app.command()
def lineage(
    model: Annotated[
        str | None,
        typer.Argument(help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder; the champion if left out."),
    ] = None,
    of: Annotated[
        list[str] | None,
        typer.Option(
            help="The reverse, any number of times: an image or mask (file, id, digest, pattern, list in a .txt file), "
            "or a delivery (ingest.batch)."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with a picture to this file.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the MLflow server again first.")] = False,
) -> None:
    """Show where a model comes from, step by step; or with --of, which models saw an image or a delivery."""
    from graft.foundation.errors import GraftError
    from graft.provenance.lineage.fill import READ_AT, open_index

    check_project()
    if model and of:
        raise GraftError("a model and --of are two questions", remedy="ask one after the other")
    index = open_index(refresh)
    if of:
        from graft.provenance.lineage.recall import who_saw
        from graft.provenance.lineage.tree import describe_answer

        answer = who_saw(index, *of)
        typer.echo(json.dumps(answer.as_dict(), indent=2, sort_keys=True) if as_json else describe_answer(answer))
    else:
        _show(index, model or _champion(index), as_json, html)
    if read_at := index.fact(READ_AT):
        typer.echo(f"MLflow was read at {read_at}; --refresh reads it again", err=True)


def _champion(index: Index) -> str:
    """The address of the champion of the task in params.yaml.

    Raises:
        GraftError: There is none yet.
    """
    from graft.foundation.errors import GraftError
    from graft.models.address import CANDIDATE, CHAMPION, ModelAddress, registered_name
    from graft.params.params_file import load_params

    name = registered_name(load_params().task)
    if index.number_behind(name, CHAMPION) is None:
        remedy = f"name another model, such as {ModelAddress(name, alias=CANDIDATE)} or models/exported"
        raise GraftError(
            f"there is no champion of {name} yet", where=str(ModelAddress(name, alias=CHAMPION)), remedy=remedy
        )
    return str(ModelAddress(name, alias=CHAMPION))


def _show(index: Index, model: str, as_json: bool, html: Path | None) -> None:
    from graft.provenance.lineage.walk import chain_of

    chain = chain_of(index, model)
    if html is not None:
        from graft.provenance.lineage.html_page import page

        html.write_text(page(chain), encoding="utf-8")
        typer.echo(f"written: {html}", err=True)
    if as_json:
        typer.echo(json.dumps(chain.as_dict(), indent=2, sort_keys=True))
    elif html is None:
        from graft.provenance.lineage.tree import tree

        typer.echo(tree(chain))
