"""The registry of models: finding and adding versions, moving aliases, tagging and describing versions.

A refusal of the store is `Unreachable`; something that is absent is None.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from graft.models.address import ModelAddress
from graft.provenance.tracking.mlflow_store import explain_refusals, is_absence, refusals, retry
from graft.provenance.tracking.quick_client import QuickClient
from graft.provenance.tracking.rest_interface import Unanswered

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as ModelVersion

    from graft.provenance.tracking.mlflow_store import MlflowClient

RUN_AGAIN = "run the command again: what it had begun is finished first"
T = TypeVar("T")


def find_version(store: MlflowClient, address: ModelAddress) -> ModelVersion | None:
    """The version at an address; None where there is no such model, version or alias."""
    if isinstance(store, QuickClient):
        with contextlib.suppress(Unanswered):
            return cast("ModelVersion | None", store.reader.find_version(address))
    if address.alias is not None:
        return _find(partial(store.get_model_version_by_alias, address.name, address.alias))
    return _find(partial(store.get_model_version, address.name, str(address.number)))


def find_versions(store: MlflowClient, name: str) -> list[ModelVersion]:
    """Every version of a registered model in order of number; none where there is no such model."""
    if isinstance(store, QuickClient):
        with contextlib.suppress(Unanswered):
            return cast("list[ModelVersion]", store.reader.find_versions(name))
    found: list[ModelVersion] = []
    token = None
    while True:
        ask = partial(store.search_model_versions, f"name = '{name}'", max_results=1000, page_token=token)
        page = _ask(ask)
        found.extend(page)
        token = page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version))


def add_version(store: MlflowClient, name: str, source: str, tags: Mapping[str, str], description: str) -> int:
    """Adds a version with its tags in one transaction of the server, which numbers it; returns the number."""
    _create_model(store, name)
    new = partial(store.create_model_version, name, source, tags=dict(tags), description=description)
    return int(_ask(new).version)


def point(store: MlflowClient, name: str, alias: str, number: int) -> None:
    """Points an alias at a version."""
    _ask(partial(store.set_registered_model_alias, name, alias, str(number)))


def tag_version(store: MlflowClient, name: str, number: int, tags: Mapping[str, str]) -> None:
    """Sets tags of a version."""
    for key, value in tags.items():
        _ask(partial(store.set_model_version_tag, name, str(number), key, value))


def remove_tags(store: MlflowClient, name: str, number: int, keys: Iterable[str]) -> None:
    """Removes tags of a version."""
    for key in keys:
        _ask(partial(store.delete_model_version_tag, name, str(number), key))


def describe_version(store: MlflowClient, name: str, number: int, text: str) -> None:
    """Replaces the description of a version, in Markdown."""
    _ask(partial(store.update_model_version, name, str(number), description=text))


def _create_model(store: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    if _find(partial(store.get_registered_model, name)) is not None:
        return
    about = "Written by Graft: an entry for each promotion, rollback and override. Append only; checked by graft audit."
    with explain_refusals(RUN_AGAIN):
        try:
            store.create_registered_model(name, description=about)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise


def _ask(question: Callable[[], T]) -> T:
    with explain_refusals(RUN_AGAIN):
        answer = retry(question)
    return answer  # noqa: RET504  (to mypy a context manager may swallow the error)


def _find(question: Callable[[], T]) -> T | None:
    """Asks for something that may be absent, and then answers None."""
    with explain_refusals(RUN_AGAIN):
        try:
            answer: T | None = retry(question)
        except refusals() as error:
            if not is_absence(error):
                raise
            answer = None
    return answer
