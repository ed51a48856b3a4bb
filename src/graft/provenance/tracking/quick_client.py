"""A client that reads the registry without importing MLflow, and hands everything else to MLflow's own."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from graft.provenance.tracking import local_store, mlflow_store
from graft.provenance.tracking.registry_reader import RegistryReader, open_reader

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient


class QuickClient:
    """Stands in for MLflow's client, which is made when it is first asked for what `reader` cannot answer.

    `registry` asks the reader first. Whatever writes, or is not of the registry, is an attribute of MLflow's client.
    """

    def __init__(self, reader: RegistryReader) -> None:
        self.reader = reader

    @cached_property
    def whole(self) -> MlflowClient:
        """MLflow's own client."""
        return mlflow_store.client()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


def open_quickly() -> MlflowClient:
    """A client of the store, for a command that mostly reads the registry.

    Raises:
        Unreachable: Nothing answers at the address of the server.
    """
    uri = mlflow_store.store_uri()
    reader, database = open_reader(uri), local_store.database_of(uri)
    if reader is None or (database and not database.is_file()):
        return mlflow_store.client()
    mlflow_store.refuse_a_silent_server(uri)
    if database:
        mlflow_store.warn_of_other_place(database)
    return cast("MlflowClient", QuickClient(reader))
