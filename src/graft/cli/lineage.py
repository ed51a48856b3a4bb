"""`graft lineage`, `audit`, `attest`, `verify`: where a model comes from, and whether all of it still holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from graft.cli import app, check_project
from graft.provenance.stages import EXPORTED

if TYPE_CHECKING:
    from graft.provenance.lineage.index import Index

BROKEN = 4


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
    """Where a model comes from, step by step; or with --of, which models saw an image or a delivery."""
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
        typer.echo(f"what MLflow held: {read_at}; --refresh reads it again", err=True)


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


@app.command()
def audit(
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder.")] = EXPORTED,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Also run the pipeline of the recorded commit again and compare.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every link of a model's lineage again: files, records, dvc.lock, commits, MLflow, ledger; 4 if broken."""
    from dataclasses import asdict

    from graft.provenance.audit.audit import audit as audited
    from graft.provenance.audit.link import as_text, worst

    check_project()
    links = audited(model, rebuild)
    typer.echo(json.dumps([asdict(link) for link in links], indent=2) if as_json else as_text(links))
    if worst(links) == "broken":
        raise typer.Exit(BROKEN)


@app.command()
def attest(
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder.")] = EXPORTED,
    out: Annotated[Path, typer.Option(help="The bundle.")] = Path("attestation.json"),
) -> None:
    """Write an in-toto statement of each stage and the model card as one file, signed if GRAFT_SIGNING_KEY is set."""
    from graft.provenance.attest.bundle import attest_model
    from graft.provenance.lineage.fill import open_index
    from graft.provenance.lineage.walk import chain_of

    check_project()
    index = open_index()
    out.write_bytes(attest_model(index, chain_of(index, model)))
    typer.echo(f"{out}: graft verify {out} checks it anywhere")


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A file that graft attest wrote.")],
    model: Annotated[Path | None, typer.Option(help="A folder of exported files to compare with it.")] = None,
    signers: Annotated[
        Path | None,
        typer.Option(help="The public keys you trust; what none of them signed is broken. Else signers.pub is read."),
    ] = None,
) -> None:
    """Check a bundle of graft attest, and a model against it, without a repository and offline; 4 if broken."""
    from graft.foundation.errors import GraftError
    from graft.provenance import signatures
    from graft.provenance.attest.bundle import verify_bundle
    from graft.provenance.audit.link import as_text, worst

    if not bundle.is_file():
        raise GraftError("no such file", where=bundle, remedy="name the file that graft attest --out wrote")
    if model is not None and not model.is_dir():
        raise GraftError("no such folder", where=model, remedy="name the folder of exported files")
    if signers is not None and not signatures.signers(signers):
        raise GraftError(
            "no public key in it", where=signers, remedy="name a file with lines as ssh-keygen writes them"
        )
    links = verify_bundle(bundle.read_bytes(), signers or signatures.SIGNERS, model, must_be_signed=signers is not None)
    typer.echo(as_text(links))
    if worst(links) == "broken":
        raise typer.Exit(BROKEN)
