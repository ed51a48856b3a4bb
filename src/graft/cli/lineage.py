"""The command `graft lineage`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from graft.cli import app, check_project

if TYPE_CHECKING:
    from graft.provenance.lineage.index import Index


@app.command()
def lineage(
    model: Annotated[
        str | None, typer.Argument(help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder of exported files.")
    ] = None,
    of: Annotated[
        str | None, typer.Option(help="The reverse: an image (file or id), a sha256, or a delivery (ingest.batch).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with a picture to this file.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the MLflow server again first.")] = False,
) -> None:
    """Show where a model comes from, step by step; or with --of, which models saw an image or a delivery."""
    from graft.foundation.errors import GraftError
    from graft.provenance.lineage.fill import READ_AT, open_index

    check_project()
    if (model is None) == (of is None):
        raise GraftError("name a model, or an image or delivery with --of", remedy="graft lineage models/exported")
    index = open_index(refresh)
    if of is not None:
        from graft.provenance.lineage.recall import who_saw
        from graft.provenance.lineage.tree import describe_answer

        answer = who_saw(index, of)
        typer.echo(json.dumps(answer.as_dict(), indent=2, sort_keys=True) if as_json else describe_answer(answer))
    else:
        _show(index, cast(str, model), as_json, html)
    if read_at := index.fact(READ_AT):
        typer.echo(f"MLflow was read at {read_at}; --refresh reads it again", err=True)


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
