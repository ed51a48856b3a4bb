"""The runs of MLflow: found by digest, created once, their tags, parameters, curves and artifacts.

Content digests are the foreign keys: a run is found by the sha256 of its record, a version by the digest of the model
it holds, so lineage survives another machine, a second clone or a lost cache.
"""

from __future__ import annotations

import math
import posixpath
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.errors import GraftError
from graft.provenance.tracking.mlflow_store import (
    EXPERIMENT_OF_DVC,
    NOTE,
    RECORD,
    experiment_name,
    experiment_of_dvc,
    explain_refusals,
    ignore_refusal,
    retry,
    store_uri,
)

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient

MOST_PARAMS_A_BATCH, MOST_PARAM_CHARACTERS = 100, 6000  # MLflow refuses more
MOST_POINTS_A_BATCH = 900
DOUBLE = "double of run "  # what stands in place of the record where somebody else's run stays


def find_run(mlflow_client: MlflowClient, tags: Mapping[str, str]) -> Any | None:
    """The newest run of the experiment that carries all of these tags; None where none does."""
    return next(search_runs(mlflow_client, tags, page_size=1), None)


def keep_one_run(mlflow_client: MlflowClient, digest: str, key: str = RECORD) -> Any | None:
    """Finds the run of a record, or whatever `key` tags; of several, created at once by several, the earliest stays."""
    runs = list(search_runs(mlflow_client, {key: digest}))
    if not runs:
        return None
    first, *doubles = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    for double in doubles:
        tag(mlflow_client, double.info.run_id, {key: f"{DOUBLE}{first.info.run_id}"})
        with ignore_refusal():
            mlflow_client.delete_run(double.info.run_id)
    return first


def search_runs(mlflow_client: MlflowClient, tags: Mapping[str, str], page_size: int = 100) -> Iterator[Any]:
    """Every run of the experiment that carries all of these tags, newest first, fetched a page at a time.

    Raises:
        Unreachable: The store refuses.
    """
    with explain_refusals():
        identity, token = experiment_id(mlflow_client), None
    while True:
        ask = partial(mlflow_client.search_runs, [identity], _condition(tags), max_results=page_size, page_token=token)
        with explain_refusals():
            page = retry(ask)
        yield from page
        token = page.token
        if not token:
            return


def create_run(mlflow_client: MlflowClient, name: str, tags: Mapping[str, str], seconds: float = 0.0) -> Any:
    """Creates a run, begun some seconds ago; within `dvc exp run` it is tagged with the experiment's name."""
    started, experiment = int(1000 * (time.time() - seconds)), experiment_of_dvc()
    tags = dict(tags) | ({EXPERIMENT_OF_DVC: experiment} if experiment else {})
    return mlflow_client.create_run(experiment_id(mlflow_client), start_time=started, tags=tags, run_name=name)


def end_run(mlflow_client: MlflowClient, run: Any, seconds: float | None) -> None:
    """Ends a run, so that its duration is what the work took; now if that is not known."""
    ended = int(run.info.start_time + 1000 * seconds) if seconds else None
    mlflow_client.set_terminated(run.info.run_id, end_time=ended)


def fetch_artifact(mlflow_client: MlflowClient, run: Any, name: str, into: Path) -> Path | None:
    """Fetches one file of a run in one request; None where the run does not hold it.

    The client's own download would ask for the run and for two listings first, and a server with passwords takes a
    tenth of a second for each answer.

    Raises:
        Unreachable: The store refuses, which is not the same as a file that is absent.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with explain_refusals():
        repository = get_artifact_repository(run.info.artifact_uri, tracking_uri=mlflow_client.tracking_uri)
        try:
            repository._download_file(name, str(into / Path(name).name))  # what every repository has to implement
        except Exception:  # each kind of store has its own word for what is absent
            if name in {item.path for item in repository.list_artifacts(posixpath.dirname(name) or None)}:
                raise
            return None
    return into / Path(name).name


def log_curves(
    mlflow_client: MlflowClient,
    run_id: str,
    points: Sequence[tuple[str, float, int]],
    time_ms: int | None = None,
    model_id: str | None = None,
) -> None:
    """Logs (name, value, step) triples in batches, of a logged model too if one is named; only what is finite.

    A point logged twice with the same time is one point; the time is now unless it is given.
    """
    from mlflow.entities import Metric

    time_ms = int(time.time() * 1000) if time_ms is None else time_ms
    finite = [point for point in points if math.isfinite(point[1])]
    metrics = [Metric(name, value, time_ms, step, model_id=model_id, run_id=run_id) for name, value, step in finite]
    for start in range(0, len(metrics), MOST_POINTS_A_BATCH):
        mlflow_client.log_batch(run_id, metrics=metrics[start : start + MOST_POINTS_A_BATCH])


def log_params(mlflow_client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    """Logs parameters in batches, in the form MLflow takes."""
    from mlflow.entities import Param

    entities = [Param(key, value) for key, value in clean_params(params).items()]
    for start in range(0, len(entities), MOST_PARAMS_A_BATCH):
        mlflow_client.log_batch(run_id, params=entities[start : start + MOST_PARAMS_A_BATCH])


def flatten_params(params: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a record by dotted key, such as `ingest.source.name`; anything deeper stays one value."""
    return dict(_flatten(params))


def clean_params(params: Mapping[str, str]) -> dict[str, str]:
    """Brings parameters into the form MLflow takes: keys without other characters, values of at most 6,000."""
    return {clean_key(key): value[:MOST_PARAM_CHARACTERS] for key, value in params.items()}


def tag(mlflow_client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Sets tags of a run."""
    from mlflow.entities import RunTag

    mlflow_client.log_batch(run_id, tags=[RunTag(clean_key(key), value) for key, value in tags.items()])


def clean_key(key: str) -> str:
    """Replaces characters that MLflow does not take in a key; a folder of images may have any name."""
    return re.sub(r"[^/\w.\- :]", "_", key)[:250]


def describe_experiment(mlflow_client: MlflowClient) -> None:
    """Describes the experiment, unless somebody has: MLflow 3.17 opens it at pages for GenAI, which are empty."""
    identity = experiment_id(mlflow_client)
    if NOTE not in mlflow_client.get_experiment(identity).tags:
        about = (
            "A run for each pipeline, below it one for each stage: under Training runs; choose Model training on top."
        )
        mlflow_client.set_experiment_tag(identity, NOTE, about)


def experiment_id(mlflow_client: MlflowClient) -> str:
    """The id of Graft's experiment.

    Raises:
        GraftError: Nothing was ever published here.
    """
    name = experiment_name()
    experiment = mlflow_client.get_experiment_by_name(name)
    if experiment is None:
        raise GraftError(f"no experiment named {name}", where=store_uri(), remedy="run graft publish")
    return str(experiment.experiment_id)


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and prefix.count(".") < 2:
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, str(value)


def _condition(tags: Mapping[str, str]) -> str:
    return " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
