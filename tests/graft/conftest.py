"""A real store in a folder of its own, as the tests of the ledger and of promotion share it."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.provenance.tracking import mlflow_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def store(folder):
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        return mlflow_store.client()
