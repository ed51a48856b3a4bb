"""The door to MLflow: where the store is, runs by digest, curves.

Content digests are the foreign keys: a run is found by the sha256 of its record, a version by the digest of the model
it holds, so lineage survives another machine, a second clone or a lost cache.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import posixpath
import random
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from mlflow import MlflowClient as MlflowClient

DEFAULT_STORE = "sqlite:///mlflow.db"
EXPERIMENT = "graft"
ALIAS = "candidate"
SECONDS_TO_ANSWER = 3.0
RACED = ("must be in the 'active' state", "unique constraint", "duplicate entry")
MOST_PARAMS_A_BATCH, MOST_PARAM_CHARACTERS = 100, 6000  # MLflow refuses more
DOUBLE = "double of run "  # what stands in place of the record where somebody else's run stays
STAGE, FINGERPRINT, RECORD, COMPLETE = "graft.stage", "graft.fingerprint", "graft.record", "graft.complete"
MODEL_DIGEST, SERVED_DIGEST = "graft.model_digest", "graft.served_digest"
NOTE = "mlflow.note.content"  # what the UI shows as the description of a run or an experiment


class Unreachable(GraftError):  # noqa: N818  (it reads as what it says)
    """No MLflow server answers at the given address, or the store refuses."""


def is_off() -> bool:
    """Whether `GRAFT_TRACKING=off` silences all tracking."""
    return os.environ.get("GRAFT_TRACKING", "").lower() == "off"


def store_uri() -> str:
    """The address of the store: the environment owns it, beside the project it is SQLite."""
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
    with _environment_kept():
        mlflow.set_tracking_uri(absolute(uri))
    Path(".locks").mkdir(exist_ok=True)
    with FileLock(".locks/mlflow.lock"):
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
        return mlflow.MlflowClient()


def find_run(mlflow_client: MlflowClient, tags: Mapping[str, str]) -> Any | None:
    """The newest run of the experiment that carries all of these tags."""
    condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    runs = mlflow_client.search_runs([experiment_id(mlflow_client)], condition, max_results=1)
    return runs[0] if runs else None


def only_run(mlflow_client: MlflowClient, record_digest: str) -> Any | None:
    """The run of a record; of several, made at once by several people, the earliest stays and the others go."""
    condition = f"tags.`{RECORD}` = '{record_digest}'"
    runs = mlflow_client.search_runs([experiment_id(mlflow_client)], condition)
    if not runs:
        return None
    first, *doubles = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    for double in doubles:
        with raced():
            tag(mlflow_client, double.info.run_id, {RECORD: f"{DOUBLE}{first.info.run_id}"})
        with refusal_ignored():
            mlflow_client.delete_run(double.info.run_id)
    return first


@contextlib.contextmanager
def raced() -> Iterator[None]:
    """Ends quietly where somebody else wrote the same, or put the run away as a double, at the same moment."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if not any(words in str(error).lower() for words in RACED):
            raise
        time.sleep(random.uniform(0.05, 0.3))


def create_run(mlflow_client: MlflowClient, name: str, tags: Mapping[str, str]) -> Any:
    """A new run."""
    return mlflow_client.create_run(experiment_id(mlflow_client), tags=dict(tags), run_name=name)


def artifact(mlflow_client: MlflowClient, run: Any, name: str, into: Path) -> Path | None:
    """One file of a run, asked for in one request; None where the run does not hold it.

    The client's own download would ask for the run and for two listings first, and a server with passwords takes a
    tenth of a second for each answer.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    kept = get_artifact_repository(run.info.artifact_uri, tracking_uri=mlflow_client.tracking_uri)
    try:
        kept._download_file(name, str(into / Path(name).name))  # what every repository has to implement
    except Exception:  # each kind of store has its own word for what is not there
        if name in {item.path for item in kept.list_artifacts(posixpath.dirname(name) or None)}:
            raise
        return None
    return into / Path(name).name


def experiment_id(mlflow_client: MlflowClient) -> str:
    """The id of Graft's experiment."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    experiment = mlflow_client.get_experiment_by_name(name)
    if experiment is None:
        raise GraftError(f"no experiment named {name}", where=store_uri(), remedy="run graft publish")
    return str(experiment.experiment_id)


def log_curves(
    mlflow_client: MlflowClient, run_id: str, points: Sequence[tuple[str, float, int]], time_ms: int | None = None
) -> None:
    """Logs (name, value, step) triples in batches; what is not finite is left out.

    A point logged twice with the same time is one point; the time is now unless it is given.
    """
    from mlflow.entities import Metric

    time_ms = int(time.time() * 1000) if time_ms is None else time_ms
    metrics = [Metric(name, value, time_ms, step) for name, value, step in points if math.isfinite(value)]
    for start in range(0, len(metrics), 900):
        mlflow_client.log_batch(run_id, metrics=metrics[start : start + 900])


def log_params(mlflow_client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    """Logs parameters as MLflow takes them."""
    from mlflow.entities import Param

    entities = [Param(key, value) for key, value in loggable(params).items()]
    for start in range(0, len(entities), MOST_PARAMS_A_BATCH):
        mlflow_client.log_batch(run_id, params=entities[start : start + MOST_PARAMS_A_BATCH])


def loggable(params: Mapping[str, str]) -> dict[str, str]:
    """Parameters with keys that MLflow takes, and values shortened to what it takes (6,000 characters)."""
    return {allowed(key): value[:MOST_PARAM_CHARACTERS] for key, value in params.items()}


def tag(mlflow_client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Sets tags of a run."""
    from mlflow.entities import RunTag

    mlflow_client.log_batch(run_id, tags=[RunTag(allowed(key), value) for key, value in tags.items()])


def describe_experiment(mlflow_client: MlflowClient) -> None:
    """Says where the runs are, unless somebody described the experiment: MLflow 3.17 opens it at empty GenAI pages."""
    identity = experiment_id(mlflow_client)
    if NOTE not in mlflow_client.get_experiment(identity).tags:
        about = "A run for each stage and result of Graft. They are under Training runs; choose Model training on top."
        mlflow_client.set_experiment_tag(identity, NOTE, about)


@contextlib.contextmanager
def refusal_ignored() -> Iterator[None]:
    """For what may be refused without harm: deleting takes more rights than writing."""
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):
        yield


@contextlib.contextmanager
def answers_explained() -> Iterator[None]:
    """Turns what MLflow and its store raise (no access, a full disk, a server that went away) into `Unreachable`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        remedy = "mend this, then run graft publish: it completes the record"
        raise Unreachable(f"MLflow refuses ({reason})", where=store_uri(), remedy=remedy) from None


def allowed(key: str) -> str:
    """A key with the characters MLflow takes; a folder of images may be called anything."""
    return re.sub(r"[^/\w.\- :]", "_", key)[:250]


def absolute(uri: str) -> str:
    """MLflow keeps a database open by its address, and a relative one names another in another folder."""
    prefix = "sqlite:///"
    return f"{prefix}{Path(uri.removeprefix(prefix)).absolute()}" if uri.startswith(prefix) else uri


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """MLflow writes the address into the environment, where `store_uri` would find it in the next folder."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before


def _refuse_a_silent_server(uri: str) -> None:
    """MLflow itself would try again for minutes."""
    address = urlparse(uri)
    if address.scheme not in ("http", "https"):
        return
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, ValueError) as error:
        remedy = "start it or mend MLFLOW_TRACKING_URI, then run graft publish: it completes the record"
        raise Unreachable(f"no MLflow server answers ({error})", where=uri, remedy=remedy) from None
