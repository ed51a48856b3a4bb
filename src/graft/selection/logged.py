"""A selection in MLflow: one run, the same selection never twice."""

from __future__ import annotations

from pathlib import Path

from graft import tracking
from graft.progress import say
from graft.records import content_digest
from graft.selection.page import as_json
from graft.selection.selecting import Selection


def log_or_warn(selection: Selection, folder: Path) -> None:
    """Logs it; a server that does not answer is one warning, for the page is written."""
    if tracking.is_off():
        return
    try:
        with tracking.answers_explained():
            _log(selection, folder)
    except tracking.Unreachable as error:
        say(f"graft: warning: {error}")


def _log(selection: Selection, folder: Path) -> None:
    client = tracking.client()
    tracking.describe_experiment(client)
    content = as_json(selection)
    timeless = [{key: value for key, value in row.items() if key != "cost"} for row in content["candidates"]]
    tags = {tracking.STAGE: "select", tracking.FINGERPRINT: content_digest([timeless, content["facts"]])}
    if tracking.find_run(client, tags | {tracking.COMPLETE: "true"}) is not None:
        return
    run = tracking.create_run(client, "select", tags | {tracking.NOTE: content["recommendation"]})
    identity = run.info.run_id
    taken = selection.ordered[0].candidate.name
    tracking.log_params(client, identity, {"recommended": taken, "num_candidates": str(len(selection.ordered))})
    points = [
        (f"{one.candidate.name}.{name}", value, 0)
        for one in selection.ordered
        for name, value in {**one.scores, "mean_rank": one.mean_rank, "fine_tuned": one.verified}.items()
        if value is not None
    ]
    points += [
        (f"weighted_kendall.{name}", value, 0) for name, value in selection.agreements.items() if value is not None
    ]
    tracking.log_curves(client, identity, points)
    for path in sorted(folder.glob("selection.*")):
        client.log_artifact(identity, str(path))
    tracking.tag(client, identity, {tracking.COMPLETE: "true"})
    client.set_terminated(identity)
