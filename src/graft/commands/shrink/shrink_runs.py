"""Attempts in MLflow: a run for the model that is shrunk, and below it one for each attempt, never twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graft.commands.shrink.goal import Outcome
from graft.commands.shrink.origin import Origin
from graft.foundation.progress import warn
from graft.provenance.tracking import mlflow_store, runs
from graft.provenance.tracking.pipeline_run import PARENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graft.commands.shrink.plan import Attempt
    from graft.provenance.tracking.mlflow_store import MlflowClient

STAGE = "shrink"


def log_or_warn(origin: Origin, outcomes: Sequence[Outcome], attempts: Sequence[Attempt]) -> None:
    """Logs what is not there yet; a server that does not answer is one warning, for the outcomes are kept."""
    if mlflow_store.is_off():
        return
    try:
        with mlflow_store.explain_refusals():
            _log(origin, outcomes, {attempt.name: attempt for attempt in attempts})
    except mlflow_store.Unreachable as error:
        warn(error)


def _log(origin: Origin, outcomes: Sequence[Outcome], attempts: Mapping[str, Attempt]) -> None:
    mlflow_store.relocate()
    client = mlflow_store.client()
    runs.describe_experiment(client)
    tags = {mlflow_store.NOTE: f"Smaller models than {origin.said}"}
    parent = _run(client, STAGE, origin.digest, tags)
    for outcome in outcomes:
        run = _run(client, outcome.name, outcome.key, {PARENT: parent.info.run_id})
        if run.data.tags.get(mlflow_store.COMPLETE) == "true":
            continue
        values = {"score": outcome.score, "latency_ms": outcome.latency_ms, "speed": outcome.speed}
        values |= {"num_bytes": float(outcome.num_bytes), "drop": outcome.drop, "origin_ms": outcome.origin_ms}
        identity = run.info.run_id
        runs.log_params(client, identity, runs.flatten_params(attempts[outcome.name].changes))
        runs.log_curves(client, identity, [(name, value, 0) for name, value in values.items()])
        runs.tag(client, identity, {mlflow_store.COMPLETE: "true"})
        client.set_terminated(identity)
    client.set_terminated(parent.info.run_id)


def _run(client: MlflowClient, name: str, fingerprint: str, tags: Mapping[str, str]) -> Any:
    """The run with a fingerprint, which is created where there is none."""
    known = {mlflow_store.STAGE: STAGE, mlflow_store.FINGERPRINT: fingerprint}
    return runs.find_run(client, known) or runs.create_run(client, name, {**known, **tags})
