"""Lineage with a real `mlflow server`: read once, and again only where a version or an alias has changed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.foundation.errors import GraftError
from graft.provenance.lineage.fill import open_index
from graft.provenance.lineage.freshness import state_of_store
from graft.provenance.lineage.walk import chain_of
from tests.end_to_end.served import free_port, wait_for
from tests.end_to_end.tampering import NAME, copied

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and what it imports warn of their own affairs


@pytest.fixture(scope="module")
def server(finished, tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """A copy of the project, and the address of a server in front of its store."""
    root = copied(finished, tmp_path_factory.mktemp("served") / "project")
    port = free_port()
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--default-artifact-root", str(root / "mlruns")]
    quiet = subprocess.DEVNULL
    started = subprocess.Popen(command, cwd=root, stdout=quiet, stderr=quiet, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{uri}/health", started)
        yield root, uri
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def test_a_moved_alias_is_noticed_and_a_silent_server_is_not_needed(server, monkeypatch, capsys) -> None:
    from graft.provenance.tracking import mlflow_store
    from graft.provenance.tracking.registry import point

    root, uri = server
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("GRAFT_TRACKING", raising=False)
    whole = chain_of(open_index(), f"models:/{NAME}@candidate")
    assert whole.missing == []
    read = state_of_store(uri)
    assert read == state_of_store(uri) == open_index().fact("store")
    with pytest.raises(GraftError, match="no such model"):
        chain_of(open_index(), f"models:/{NAME}@champion")
    point(mlflow_store.client(), NAME, "champion", 1)
    assert state_of_store(uri) != read
    assert chain_of(open_index(), f"models:/{NAME}@champion").model == whole.model
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert chain_of(open_index(), f"models:/{NAME}@champion").model == whole.model
    assert "does not answer" in capsys.readouterr().err
    with pytest.raises(mlflow_store.Unreachable, match="no MLflow server answers"):
        open_index(refresh=True)
