"""Registered models for several commands: the registry, and the files of a version while a command runs."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import check_project

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient

PANEL = "Promotion"
Name = Annotated[str | None, typer.Argument(help="Name of the registered model; that of params.yaml if left out.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the ledger.")]


def open_registry(name: str | None) -> tuple[MlflowClient, str]:
    """The store, and the name of the model: the one given, or that of the task in params.yaml.

    Raises:
        GraftError: Tracking is off, or the store does not answer.
    """
    from graft.foundation.errors import GraftError
    from graft.models.address import registered_name
    from graft.params.params_file import load_params
    from graft.provenance.tracking import mlflow_store, quick_client

    check_project()
    if mlflow_store.is_off():
        raise GraftError("GRAFT_TRACKING=off: there is no registry", remedy="unset GRAFT_TRACKING")
    with mlflow_store.explain_refusals():
        mlflow_store.relocate()  # these commands may write: into the store beside them, not where it was copied from
        store = quick_client.open_quickly()
    return store, name or registered_name(load_params().task)


def check_place(model: str) -> None:
    """Refuses to look for a registered model in the store of this folder, where this folder is no project."""
    from graft.models.address import is_address

    if is_address(model):
        from graft.provenance.tracking import mlflow_store

        if mlflow_store.store_uri() == mlflow_store.DEFAULT_STORE:
            check_project()


def download(model_uri: str) -> Path:
    """The files of a registered model, in a folder that is deleted when the command ends.

    Raises:
        GraftError: There is no such model, or the store does not answer.
    """
    from graft.provenance.tracking import model_versions

    folder = Path(tempfile.mkdtemp(prefix="graft-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return model_versions.download_model(model_uri, folder)


def name_version(model: str) -> str:
    """The name of a model that never moves: the address by number, or a folder with the digest of its files."""
    from graft.foundation.content import digest_of
    from graft.models.address import is_address
    from graft.provenance.tracking import model_versions

    if is_address(model):
        return str(model_versions.find_numbered(model)[0])
    return f"{model} ({digest_of(Path(model))})"
