"""The registry as the ledger and the gate need it: versions, aliases, and entries that the server numbers.

A door to MLflow beside `tracking`, which opens the store. What the store refuses is a `GraftError`; what is not
there is None.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from graft.foundation.errors import GraftError
from graft.provenance.tracking.mlflow_store import store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as ModelVersion

CHAMPION, CANDIDATE = "champion", "candidate"
NUM_ATTEMPTS = 8  # MLflow itself tries three times to number a version while others write
BUSY = ("creation error", "database is locked")
T = TypeVar("T")


def version_numbered(store: MlflowClient, name: str, number: int | str) -> ModelVersion | None:
    """A version of a registered model; None where there is none."""
    with _none_if_absent():
        return _patiently(partial(store.get_model_version, name, str(number)))
    return None


def version_at(store: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version an alias points at; None where there is no such model or alias."""
    with _none_if_absent():
        return _patiently(partial(store.get_model_version_by_alias, name, alias))
    return None


def versions_of(store: MlflowClient, name: str) -> list[ModelVersion]:
    """Every version of a registered model in order of number; empty where there is no such model."""
    found: list[ModelVersion] = []
    token = None
    with _explained():
        while True:
            page = _patiently(
                partial(store.search_model_versions, f"name = '{name}'", max_results=1000, page_token=token)
            )
            found.extend(page)
            token = page.token
            if not token:
                return sorted(found, key=lambda version: int(version.version))


def add_version(store: MlflowClient, name: str, source: str, tags: Mapping[str, str], description: str) -> int:
    """A new version with its tags, in one transaction of the server, which numbers it; returns the number."""
    _create_model(store, name)
    new = partial(store.create_model_version, name, source, tags=dict(tags), description=description)
    with _explained():
        return int(_patiently(new).version)
    raise AssertionError("unreachable")


def point(store: MlflowClient, name: str, alias: str, number: int) -> None:
    """Points an alias at a version."""
    with _explained():
        _patiently(partial(store.set_registered_model_alias, name, alias, str(number)))


def tag_version(store: MlflowClient, name: str, number: int, tags: Mapping[str, str]) -> None:
    """Sets tags of a version."""
    with _explained():
        for key, value in tags.items():
            _patiently(partial(store.set_model_version_tag, name, str(number), key, value))


def describe_version(store: MlflowClient, name: str, number: int, text: str) -> None:
    """Replaces what the page of a version says, in Markdown."""
    with _explained():
        _patiently(partial(store.update_model_version, name, str(number), description=text))


def runs_of_stage(store: MlflowClient, experiment_id: str, condition: str) -> Iterator[Any]:
    """The runs of a condition, newest first."""
    token = None
    while True:
        with _explained():
            page = _patiently(partial(store.search_runs, [experiment_id], condition, max_results=100, page_token=token))
        yield from page
        token = page.token
        if not token:
            return


def artifact(store: MlflowClient, run_id: str, name: str, into: Path) -> Path | None:
    """One file that a run logged, downloaded; None where it did not."""
    from mlflow.exceptions import MlflowException

    try:
        return Path(store.download_artifacts(run_id, name, str(into)))
    except (MlflowException, OSError):
        return None


def _create_model(store: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    about = "Written by Graft: an entry for each promotion, rollback and override. Append only; checked by graft audit."
    with _none_if_absent():
        store.get_registered_model(name)
        return
    try:
        store.create_registered_model(name, description=about)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise _refused(error) from None


def _patiently(ask: Callable[[], T]) -> T:
    """What the store answers, asked again while somebody else writes to it."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for attempt in range(1, NUM_ATTEMPTS + 1):
        try:
            return ask()
        except (MlflowException, SQLAlchemyError) as error:
            if attempt == NUM_ATTEMPTS or not any(words in str(error).lower() for words in BUSY):
                raise
            time.sleep(random.uniform(0.05, 0.3))
    raise AssertionError("unreachable")


@contextlib.contextmanager
def _none_if_absent() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    with _explained():
        try:
            yield
        except MlflowException as error:
            absent = error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND") or "not found" in str(error).lower()
            if not absent:
                raise


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise _refused(error) from None


def _refused(error: Exception) -> GraftError:
    reason = str(error).strip().split("\n", 1)[0]
    remedy = "mend this and run the command again: what it had begun is finished first"
    return GraftError(f"MLflow refuses ({reason})", where=store_uri(), remedy=remedy)
