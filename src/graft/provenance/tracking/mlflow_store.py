"""The MLflow store: its address, a client of it, and how it is asked: patiently, with its refusals explained."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlparse

from graft.foundation.errors import GraftError
from graft.foundation.progress import say, warn
from graft.provenance.tracking import local_store

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow import MlflowClient as MlflowClient

DEFAULT_STORE = "sqlite:///mlflow.db"
EXPERIMENT = "graft"
SECONDS_TO_ANSWER = 3.0
NUM_ATTEMPTS = 8  # MLflow itself tries three times to number a version while others write
# What the store says where somebody else writes the same, or puts a run away as a double, at the same moment.
BUSY = (
    "creation error",
    "database is locked",
    "must be in the 'active' state",
    "unique constraint",
    "duplicate entry",
)
STAGE, FINGERPRINT, RECORD, COMPLETE = "graft.stage", "graft.fingerprint", "graft.record", "graft.complete"
MODEL_DIGEST, SERVED_DIGEST = "graft.model_digest", "graft.served_digest"
EXPERIMENT_OF_DVC = "graft.experiment"
NOTE = "mlflow.note.content"  # what the UI shows as the description of a run or an experiment
PUBLISH_AGAIN = "run graft publish: it completes the record"
ASK_AGAIN = "run the command again; after a stage, graft publish completes the record"
T = TypeVar("T")


class Unreachable(GraftError):  # noqa: N818  (a state of the server, not a mistake)
    """No MLflow server answers at the given address, or the store refuses."""


def is_off() -> bool:
    """Whether `GRAFT_TRACKING=off` silences all tracking."""
    return os.environ.get("GRAFT_TRACKING", "").lower() == "off"


def store_uri() -> str:
    """The address of the store, from the environment; without one, SQLite beside the project."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    return uri if local_store.project_root() == Path.cwd() else absolute_uri(uri)


def experiment_name() -> str:
    """The name of the MLflow experiment that runs belong to."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def experiment_of_dvc() -> str | None:
    """The name of the experiment of DVC that this process works for; None outside `dvc exp run`."""
    return os.environ.get("DVC_EXP_NAME") or None


def hold_lock(name: str) -> BaseFileLock:
    """The lock of a work that one process of the project does at a time, temporary experiments included."""
    from filelock import FileLock

    folder = local_store.project_root() / ".locks"
    folder.mkdir(exist_ok=True)
    return FileLock(folder / f"{name}.lock")


def client() -> MlflowClient:
    """A client of the store, which is created (by one process at a time) where it does not exist.

    Raises:
        Unreachable: Nothing answers at the address of the server.
    """
    uri = store_uri()
    refuse_a_silent_server(uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow

    for name in ("mlflow", "mlflow.store", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _keep_environment():
        mlflow.set_tracking_uri(absolute_uri(uri))
    with hold_lock("mlflow"), _beside(local_store.database_of(uri)) as database:
        experiment = mlflow.set_experiment(experiment_name())
        if database:
            local_store.make_place(database, experiment.artifact_location)
            warn_of_other_place(database)
        return mlflow.MlflowClient()


def relocate() -> None:
    """Makes a local store that was moved or copied say that its files lie beside it, and tells so."""
    database = local_store.database_of(store_uri())
    if database:
        with hold_lock("mlflow"):
            before = local_store.relocate(database)
        if before:
            say(f"graft: the MLflow store named files in {before}; now it names those in {database.parent}")


def retry(ask: Callable[[], T]) -> T:
    """Asks the store, and again while somebody else writes the same at the same moment.

    Args:
        ask: Question; one of several steps is repeated as a whole.

    Raises:
        Unreachable: Others are still writing after eight attempts.
    """
    reason = ""
    for _ in range(NUM_ATTEMPTS):
        try:
            return ask()
        except refusals() as error:
            if not any(words in str(error).lower() for words in BUSY):
                raise
            reason = _first_line(error)
        time.sleep(random.uniform(0.05, 0.3))
    what = f"others are writing to the store, {NUM_ATTEMPTS} attempts failed ({reason})"
    raise Unreachable(what, where=store_uri(), remedy="run the command again when they are done")


@contextlib.contextmanager
def explain_refusals(remedy: str = ASK_AGAIN) -> Iterator[None]:
    """Turns what MLflow and its store raise (no access, a full disk, a server that went away) into `Unreachable`.

    Args:
        remedy: Step to take once the cause is fixed.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, *refusals())):
            raise
        what, remedy = f"MLflow refuses ({_first_line(error)})", f"fix this, then {remedy}"
        raise Unreachable(what, where=store_uri(), remedy=remedy) from None


@contextlib.contextmanager
def ignore_refusal() -> Iterator[None]:
    """Goes on where what may fail without harm is refused: deleting takes more rights than writing."""
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):
        yield


def refusals() -> tuple[type[Exception], ...]:
    """The kinds of exception by which MLflow and its database refuse; what is not imported has raised none."""
    kinds = (("mlflow.exceptions", "MlflowException"), ("sqlalchemy.exc", "SQLAlchemyError"))
    return tuple(getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules)


def is_absence(error: Exception) -> bool:
    """Whether an error says that something does not exist; any other is a refusal."""
    has_code = getattr(error, "error_code", None) in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
    return has_code or isinstance(error, FileNotFoundError) or "not found" in str(error).lower()


def absolute_uri(uri: str) -> str:
    """Makes the path of a database absolute: MLflow keeps it open by address, and the working folder may change."""
    database = local_store.database_of(uri)
    return f"{local_store.PREFIX}{database}" if database else uri


@contextlib.contextmanager
def _beside(database: Path | None) -> Iterator[Path | None]:
    """Works in the folder of a database, below which MLflow puts the artifacts of an experiment it creates."""
    with contextlib.chdir(database.parent) if database else contextlib.nullcontext():
        yield database


@functools.cache
def warn_of_other_place(database: Path) -> None:
    """Warns once of a store whose folder was moved or copied."""
    if said := local_store.describe_place(database):
        warn(f"{said}. Rule: {local_store.RULE}. Remedy: graft publish makes it say where they lie.")


@contextlib.contextmanager
def _keep_environment() -> Iterator[None]:
    """Restores the address in the environment: MLflow writes its own, which would hold in other folders too."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before


def refuse_a_silent_server(uri: str) -> None:
    """Refuses a server that does not answer within three seconds; MLflow itself would try for minutes."""
    address = urlparse(uri)
    if address.scheme not in ("http", "https"):
        return
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, ValueError) as error:
        remedy = f"start it or correct MLFLOW_TRACKING_URI, then {PUBLISH_AGAIN}"
        raise Unreachable(f"no MLflow server answers ({error})", where=uri, remedy=remedy) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
