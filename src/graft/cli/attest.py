"""The command `graft attest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app, check_project
from graft.provenance.stages import EXPORTED


@app.command()
def attest(
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder.")] = EXPORTED,
    out: Annotated[Path, typer.Option(help="The bundle.")] = Path("attestation.json"),
) -> None:
    """Write an in-toto statement of each stage and the model card as one file, signed if GRAFT_SIGNING_KEY is set."""
    from graft.provenance.attest.bundle import attest_model, is_signed
    from graft.provenance.lineage.fill import open_index
    from graft.provenance.lineage.walk import chain_of

    check_project()
    index = open_index()
    bundle = attest_model(index, chain_of(index, model))
    out.write_bytes(bundle)
    typer.echo(f"{out}: graft verify {out} checks it anywhere")
    if not is_signed(bundle):
        typer.echo(
            "not signed: it shows that nothing was damaged, not who says so. "
            "Remedy: set GRAFT_SIGNING_KEY to an Ed25519 key and run graft attest again",
            err=True,
        )
