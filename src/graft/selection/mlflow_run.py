"""A selection in MLflow: one run, the same selection never twice."""

from __future__ import annotations

from pathlib import Path

from graft.foundation.content import content_digest
from graft.foundation.progress import warn
from graft.provenance.tracking import mlflow_store, runs
from graft.selection.page import as_json
from graft.selection.select import Selection


def log_or_warn(selection: Selection, folder: Path) -> None:
    """Logs it; a server that does not answer is one warning, for the page is written."""
    if mlflow_store.is_off():
        return
    try:
        with mlflow_store.explain_refusals():
            _log(selection, folder)
    except mlflow_store.Unreachable as error:
        warn(error)


def _log(selection: Selection, folder: Path) -> None:
    mlflow_store.relocate()
    client = mlflow_store.client()
    runs.describe_experiment(client)
    content = as_json(selection)
    timeless = [{key: value for key, value in row.items() if key != "cost"} for row in content["candidates"]]
    tags = {mlflow_store.STAGE: "select", mlflow_store.FINGERPRINT: content_digest([timeless, content["facts"]])}
    if runs.find_run(client, tags | {mlflow_store.COMPLETE: "true"}) is not None:
        return
    run = runs.create_run(client, "select", tags | {mlflow_store.NOTE: content["recommendation"]})
    identity = run.info.run_id
    taken = selection.ordered[0].candidate.name
    runs.log_params(client, identity, {"recommended": taken, "num_candidates": str(len(selection.ordered))})
    points = [
        (f"{one.candidate.name}.{name}", value, 0)
        for one in selection.ordered
        for name, value in {**one.scores, "mean_rank": one.mean_rank, "fine_tuned": one.verified}.items()
        if value is not None
    ]
    points += [
        (f"weighted_kendall.{name}", value, 0) for name, value in selection.agreements.items() if value is not None
    ]
    runs.log_curves(client, identity, points)
    for path in sorted(folder.glob("selection.*")):
        client.log_artifact(identity, str(path))
    runs.tag(client, identity, {mlflow_store.COMPLETE: "true"})
    client.set_terminated(identity)
