"""A local store: one SQLite file with its artifacts beside it, in `mlruns`.

MLflow writes the absolute path of every artifact into the database. In a folder that was moved they lead nowhere, in
a copy they lead to the folder it was copied from, until `relocate` makes them say where the files lie.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

from graft.foundation.errors import GraftError

PREFIX, ARTIFACTS = "sqlite:///", "mlruns"
LOCATIONS = ("artifact_location", "artifact_uri", "storage_location", "source")  # columns of MLflow that hold a path
RULE = "MLflow keeps absolute paths, which do not follow a folder that is moved or copied"


def project_root() -> Path:
    """The folder of the project: this one, but for a temporary folder of `dvc exp run` the one it was made from.

    DVC deletes that folder when the experiment ends, and names the project in `DVC_ROOT`.
    """
    here, root = Path.cwd(), Path(os.environ.get("DVC_ROOT") or ".").absolute()
    return root if root / ".dvc/tmp" in here.parents else here


def database_of(uri: str) -> Path | None:
    """The absolute path of the database at an address; None where the store is a server."""
    return project_root() / uri.removeprefix(PREFIX) if uri.startswith(PREFIX) else None


def make_place(database: Path, location: str) -> None:
    """Makes the folder for the artifacts of an experiment if it belongs beside the database: a move is known by it."""
    place = Path(_path_of(location))
    if place.parent == database.parent / ARTIFACTS:
        place.mkdir(parents=True, exist_ok=True)


def place_said(database: Path) -> Path | None:
    """The folder beside which a store says its artifacts lie, where that is another than its own; None where it is not.

    Only a store whose artifacts are here is meant: one that keeps them elsewhere on purpose is left alone.
    """
    if not database.is_file():
        return None
    here = database.parent
    with closing(sqlite3.connect(database, timeout=60)) as open_database:
        said = [Path(_path_of(location)) for location in _experiment_locations(open_database)]
    return next((place.parents[1] for place in said if _is_here(place, here)), None)


def describe_place(database: Path) -> str:
    """Says in a sentence which folder a store points at instead of its own; empty where it points at its own."""
    said = place_said(database)
    return f"the MLflow store says that its files lie in {said}, but it lies in {database.parent}" if said else ""


def holds_versions(database: Path, name: str) -> bool:
    """Tell whether a store holds a version of a registered model, without MLflow, which takes seconds to import."""
    with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as open_database:
        statement = "SELECT 1 FROM model_versions WHERE name = ? AND current_stage != 'Deleted_Internal'"
        try:
            return open_database.execute(statement, (name,)).fetchone() is not None
        except sqlite3.DatabaseError:  # not a store yet
            return False


def refuse_other_place(uri: str) -> None:
    """Refuses to read artifacts of a store that points at a folder that is gone.

    Raises:
        GraftError: The folder was moved; the message names the old one.
    """
    database = database_of(uri)
    said = place_said(database) if database else None
    if database and said and not (said / ARTIFACTS).is_dir():
        remedy = "graft publish makes it say where they lie; then run the command again"
        raise GraftError(describe_place(database), where=uri, rule=RULE, remedy=remedy)


def relocate(database: Path) -> Path | None:
    """Makes a store that was moved or copied say that its artifacts lie beside it; returns the folder it named before.

    A path stays as it is where only the old folder has the file. None where nothing had to change.
    """
    first = said = place_said(database)
    while said:
        with closing(sqlite3.connect(database, timeout=60)) as open_database, open_database:
            for table, column in _location_columns(open_database):
                _rewrite(open_database, table, column, said, database.parent)
        said = place_said(database)
    return first


def _experiment_locations(database: sqlite3.Connection) -> list[str]:
    try:
        return [row[0] for row in database.execute("SELECT artifact_location FROM experiments") if row[0]]
    except sqlite3.DatabaseError:  # not a store yet, or none; MLflow says so
        return []


def _is_here(place: Path, here: Path) -> bool:
    """Tell whether artifacts lie here, and not where their experiment says: `…/mlruns/1`."""
    if place.parent.name != ARTIFACTS or not (here / ARTIFACTS / place.name).is_dir():
        return False
    folder = place.parents[1]
    return folder != here and not (folder.is_dir() and folder.samefile(here))


def _location_columns(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        yield from ((table, column) for column in columns if column in LOCATIONS)


def _rewrite(database: sqlite3.Connection, table: str, column: str, said: Path, here: Path) -> None:
    rows = database.execute(f'SELECT rowid, "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL').fetchall()
    for row, location in rows:
        path = Path(_path_of(location))
        if said not in path.parents:
            continue
        moved = here / path.relative_to(said)
        if moved.exists() or not path.exists():
            new = moved.as_uri() if location.startswith("file:") else str(moved)
            database.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (new, row))


def _path_of(location: str) -> str:
    return unquote(location.removeprefix("file://")) if location.startswith("file:") else location
