"""Reading the registry without MLflow, whose import takes seconds of CPU: its REST interface, or its SQLite file.

A reader answers only what it knows for certain; anything else is `Unanswered`, and MLflow's own client is asked.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlparse

from graft.models.address import ModelAddress
from graft.provenance.tracking import local_store
from graft.provenance.tracking.rest_interface import RestInterface, Unanswered

SCHEMA = "dc11669786a5"  # the schema of MLflow's database that the statements below are for: that of MLflow 3.17
DELETED = "Deleted_Internal"
LISTED = "mlflow-artifacts"
EXPORTED = "artifacts/exported"  # where the exported files of Graft lie in a logged model


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model, with the names that MLflow's own entity gives them."""

    name: str
    version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    run_id: str | None = None


class RegistryReader(Protocol):
    """Answers questions to a registry; each raises `Unanswered` where MLflow itself has to be asked."""

    def find_version(self, address: ModelAddress) -> RegisteredVersion | None:
        """The version at an address; None where there is none."""

    def find_versions(self, name: str) -> list[RegisteredVersion]:
        """Every version of a model in order of number."""

    def fetch_exported(self, address: ModelAddress, into: Path) -> Path:
        """The exported files of a version, whose address has a number: where they lie, or fetched into a folder."""


@dataclass(frozen=True)
class SqliteReader:
    """Reads a local store, which no server guards.

    Attributes:
        database: Path of the file.
    """

    database: Path

    def find_version(self, address: ModelAddress) -> RegisteredVersion | None:
        """As `RegistryReader`."""
        number = address.number
        if address.alias is not None:
            statement = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
            pointed = self._ask(statement, address.name, address.alias)
            if not pointed:
                return None
            number = pointed[0][0]
        return next((one for one in self.find_versions(address.name) if one.version == str(number)), None)

    def find_versions(self, name: str) -> list[RegisteredVersion]:
        """As `RegistryReader`."""
        tags: dict[int, dict[str, str]] = {}
        for number, key, value in self._ask("SELECT version, key, value FROM model_version_tags WHERE name = ?", name):
            tags.setdefault(number, {})[key] = value
        statement = (
            "SELECT version, description, run_id FROM model_versions"
            f" WHERE name = ? AND current_stage != '{DELETED}' ORDER BY version"
        )
        return [
            RegisteredVersion(name, str(number), tags.get(number, {}), description or "", run_id)
            for number, description, run_id in self._ask(statement, name)
        ]

    def fetch_exported(self, address: ModelAddress, into: Path) -> Path:
        """As `RegistryReader`; the files of a local store are read where they lie."""
        statement = "SELECT storage_location FROM model_versions WHERE name = ? AND version = ?"
        places = self._ask(statement, address.name, address.number)
        place = urlparse(places[0][0] or "") if places else None
        if place is None or place.scheme not in ("", "file"):
            raise Unanswered
        folder = Path(unquote(place.path) if place.scheme else place.path) / EXPORTED
        if not folder.is_dir():
            raise Unanswered
        return folder

    def _ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement that only reads."""
        if not self.database.is_file():
            raise Unanswered
        address = f"file:{quote(str(self.database))}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=60)) as opened:
                schema = opened.execute("SELECT version_num FROM alembic_version").fetchall()
                workspaces = opened.execute("SELECT count(DISTINCT workspace) FROM registered_models").fetchone()[0]
                if schema != [(SCHEMA,)] or workspaces > 1:
                    raise Unanswered
                return opened.execute(statement, values).fetchall()
        except sqlite3.DatabaseError:
            raise Unanswered from None


@dataclass(frozen=True)
class RestReader:
    """Reads a server.

    Attributes:
        server: Its REST interface.
    """

    server: RestInterface

    def find_version(self, address: ModelAddress) -> RegisteredVersion | None:
        """As `RegistryReader`."""
        if address.alias is not None:
            query = {"name": address.name, "alias": address.alias}
            answer = self.server.get("mlflow/registered-models/alias", query)
        else:
            query = {"name": address.name, "version": str(address.number)}
            answer = self.server.get("mlflow/model-versions/get", query)
        return None if answer is None else _of_json(answer["model_version"])

    def find_versions(self, name: str) -> list[RegisteredVersion]:
        """As `RegistryReader`."""
        found: list[RegisteredVersion] = []
        query = {"filter": f"name = '{name}'", "max_results": "1000"}
        while True:
            answer = self.server.get("mlflow/model-versions/search", query) or {}
            found += map(_of_json, answer.get("model_versions", []))
            if not answer.get("next_page_token"):
                return sorted(found, key=lambda version: int(version.version))
            query["page_token"] = answer["next_page_token"]

    def fetch_exported(self, address: ModelAddress, into: Path) -> Path:
        """As `RegistryReader`; a server that does not hand out the files itself is asked by MLflow."""
        query = {"name": address.name, "version": str(address.number)}
        answer = self.server.get("mlflow/model-versions/get-download-uri", query) or {}
        place = urlparse(answer.get("artifact_uri", ""))
        if place.scheme != LISTED or place.netloc:
            raise Unanswered
        source, folder = f"{place.path.strip('/')}/{EXPORTED}", into / "exported"
        listed = (self.server.get(f"{LISTED}/artifacts", {"path": source}) or {}).get("files", [])
        if not listed or any(one.get("is_dir") for one in listed):
            raise Unanswered
        folder.mkdir()
        for name in (Path(one["path"]).name for one in listed):
            path = f"{LISTED}/artifacts/{quote(f'{source}/{name}')}"
            with self.server.open(path) as sent, (folder / name).open("wb") as file:
                shutil.copyfileobj(sent, file)
        return folder


def open_reader(uri: str) -> RegistryReader | None:
    """The reader for the store at an address; None where there is none."""
    if database := local_store.database_of(uri):
        return SqliteReader(database)
    return RestReader(RestInterface(uri)) if urlparse(uri).scheme in ("http", "https") else None


def _of_json(version: Mapping[str, Any]) -> RegisteredVersion:
    tags = {tag["key"]: tag.get("value", "") for tag in version.get("tags", [])}
    return RegisteredVersion(
        version["name"], str(version["version"]), tags, version.get("description", ""), version.get("run_id") or None
    )
