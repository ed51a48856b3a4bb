"""The MLflow store: its address, a client of it, and how it is asked: patiently, with its refusals explained."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlparse

from graft.foundation.errors import GraftError

if TYPE_CHECKING:
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
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def client() -> MlflowClient:
    """A client of the store, which is created (by one process at a time) where it does not exist.

    Raises:
        Unreachable: Nothing answers at the address of the server.
    """
    uri = store_uri()
    _refuse_a_silent_server(uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow
    from filelock import FileLock

    for name in ("mlflow", "mlflow.store", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _keep_environment():
        mlflow.set_tracking_uri(absolute_uri(uri))
    Path(".locks").mkdir(exist_ok=True)
    with FileLock(".locks/mlflow.lock"):
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
        return mlflow.MlflowClient()


def retry(ask: Callable[[], T]) -> T:
    """Asks the store, and again while somebody else writes the same at the same moment.

    Args:
        ask: Question; one of several steps is repeated as a whole.

    Raises:
        Unreachable: Others are still writing after eight attempts.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    reason = ""
    for _ in range(NUM_ATTEMPTS):
        try:
            return ask()
        except (MlflowException, SQLAlchemyError) as error:
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
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        what, remedy = f"MLflow refuses ({_first_line(error)})", f"fix this, then {remedy}"
        raise Unreachable(what, where=store_uri(), remedy=remedy) from None


@contextlib.contextmanager
def ignore_refusal() -> Iterator[None]:
    """Goes on where what may fail without harm is refused: deleting takes more rights than writing."""
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):
        yield


def is_absence(error: Exception) -> bool:
    """Whether an error says that something does not exist; any other is a refusal."""
    has_code = getattr(error, "error_code", None) in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
    return has_code or isinstance(error, FileNotFoundError) or "not found" in str(error).lower()


def absolute_uri(uri: str) -> str:
    """Makes the path of a database absolute: MLflow keeps it open by address, and the working folder may change."""
    prefix = "sqlite:///"
    return f"{prefix}{Path(uri.removeprefix(prefix)).absolute()}" if uri.startswith(prefix) else uri


@contextlib.contextmanager
def _keep_environment() -> Iterator[None]:
    """Restores the address in the environment: MLflow writes its own, which would hold in other folders too."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before


def _refuse_a_silent_server(uri: str) -> None:
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
