"""The command `graft verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import BROKEN, app


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A file that graft attest wrote.")],
    model: Annotated[Path | None, typer.Option(help="A folder of exported files to compare with it.")] = None,
    signers: Annotated[
        Path | None,
        typer.Option(help="Public keys you trust: a bundle none of them signed is broken. By default signers.pub."),
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
