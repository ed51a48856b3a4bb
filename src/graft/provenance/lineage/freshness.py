"""The state of workspace and store, to tell cheaply whether the index is still up to date."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import urllib.request
from pathlib import Path

from graft.provenance.stages import INGESTED, MANIFEST, PRETRAINED_CARD, RECORDS, SEEN
from graft.provenance.tracking.local_store import database_of

# Where the index holds what the server had, it can do without an answer; where it holds nothing, a server that has just
# started and imports what it needs for the first question is waited for.
SECONDS_TO_ANSWER, SECONDS_OF_THE_FIRST = 3.0, 20.0
REGISTERED = "/api/2.0/mlflow/registered-models/search?max_results=1000"


def state_of_workspace() -> str:
    """A text that changes when a record does, or a file beside one: `dvc pull` may bring either first."""
    beside = [file for file in (Path(PRETRAINED_CARD), Path(SEEN), Path(MANIFEST)) if file.is_file()]
    beside += sorted(Path(INGESTED).glob("*/manifest.parquet"))
    files = [*sorted(RECORDS.glob("*.json")), *beside]
    return json.dumps([[file.name, file.stat().st_mtime_ns, file.stat().st_size] for file in files])


def state_of_store(uri: str, seconds: float = SECONDS_OF_THE_FIRST) -> str | None:
    """A text that changes when a version or alias does; None if there is no store yet, or it does not answer.

    For a local database it is made of its file's size and time, for a server of its list of models, in one request.

    Args:
        uri: Address of the store.
        seconds: Time that a server has for its answer.
    """
    if uri.startswith(("http://", "https://")):
        return _digest_of_registered(uri, seconds)
    file = database_of(uri)
    if file is None:
        return uri
    beside = [path for path in (file, Path(f"{file}-wal")) if path.is_file()]
    return json.dumps([[uri, path.stat().st_mtime_ns, path.stat().st_size] for path in beside]) if beside else None


def _digest_of_registered(uri: str, seconds: float) -> str | None:
    request = urllib.request.Request(uri.rstrip("/") + REGISTERED, headers=authorization())
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return f"{uri} {hashlib.sha256(answer.read()).hexdigest()}"
    except (OSError, ValueError):
        return None


def authorization() -> dict[str, str]:
    """The header that MLflow's own client sends: a user with a password, else a token."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
