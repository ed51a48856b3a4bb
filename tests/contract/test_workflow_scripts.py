"""What the scripts of the workflows decide: staleness, credentials, digests that do not hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An endpoint that hands out the identity of a job, and exchanges it; and what it was asked."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append({"authorization": self.headers["Authorization"], "path": self.path})
            self.answer({"value": "who this job is"})

        def do_POST(self) -> None:
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked.append({key: values[0] for key, values in form.items()})
            self.answer({"access_token": "for an hour"})

        def answer(self, content: dict[str, str]) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def run(script: str, folder: Path, stdin: str = "", *arguments: str, **environment: str):
    names = ("GRAFT_TOKEN_URL", "MLFLOW_TRACKING_URI", "ACTIONS_ID_TOKEN_REQUEST_URL")
    inherited = {key: value for key, value in os.environ.items() if key not in names}
    return subprocess.run(
        [sys.executable, REPOSITORY / "ci" / script, *arguments],
        input=stdin,
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
    )


def test_a_job_exchanges_who_it_is_for_a_token_that_no_log_shows(tmp_path, endpoint):
    address, asked = endpoint
    done = run(
        "credentials.py",
        tmp_path,
        GRAFT_TOKEN_URL=f"{address}/token",
        MLFLOW_TRACKING_URI="https://mlflow.example.org",
        ACTIONS_ID_TOKEN_REQUEST_URL=f"{address}/identity?version=2",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN="of the platform",
        GITHUB_ENV=str(tmp_path / "environment"),
    )
    assert done.returncode == 0, done.stderr
    assert asked[0]["authorization"] == "Bearer of the platform"
    assert "audience=https%3A%2F%2Fmlflow.example.org" in asked[0]["path"]
    assert asked[1]["subject_token"] == "who this job is"
    assert asked[1]["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert (tmp_path / "environment").read_text("utf-8") == "MLFLOW_TRACKING_TOKEN=for an hour\n"
    assert done.stdout.splitlines()[0] == "::add-mask::for an hour"


def test_without_an_endpoint_nothing_is_asked_and_without_an_identity_it_is_said(tmp_path):
    assert "GRAFT_TOKEN_URL is not set" in run("credentials.py", tmp_path).stdout
    done = run("credentials.py", tmp_path, GRAFT_TOKEN_URL="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "id-token: write" in done.stderr


PARAMS = "ingest: {root: data/raw, deliveries: {fog: {root: ../fog}}}\n"
STATUS = {
    "ingest": [
        {"changed deps": {"data/raw": "modified", "pipeline/ingest.py": "deleted"}},
        {"changed outs": {"data/interim": "not in cache"}},
    ],
    "ingest-delivery@fog": [{"changed deps": {"../fog": "deleted"}}],
}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (STATUS, None),
        ({}, None),
        (
            {"augment": [{"changed deps": {"src/graft/training/losses": "modified"}}]},
            "augment: changed deps: src/graft/training/losses",
        ),
        ({"augment": [{"changed deps": {"params.yaml": {"seed": "modified"}}}]}, "augment: changed deps: params.yaml"),
        ({"augment": ["changed command"]}, "augment: changed command"),
    ],
)
def test_absent_is_fine_and_changed_is_stale(tmp_path, status, said):
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    done = run("staleness.py", tmp_path, json.dumps(status))
    assert done.returncode == (0 if said is None else 1)
    assert said is None or said in done.stdout


def test_after_a_pull_absent_is_not_fine(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    done = run("staleness.py", tmp_path, json.dumps(STATUS), "--complete")
    assert done.returncode == 1
    assert "data/interim: not in cache" in done.stdout
    assert "data/raw" not in done.stdout


def test_a_record_that_does_not_hold_is_named(tmp_path):
    (tmp_path / "reports/records").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/shard").write_text("changed", encoding="utf-8")
    common = {"files": {}, "code": {}}
    ingest = common | {"inputs": {}, "outputs": {"data/shard": "0" * 64}}
    validate = common | {"inputs": {"data/shard": "1" * 64}, "outputs": {"reports/validation": "2" * 64}}
    for stage, record in {"ingest": ingest, "validate": validate}.items():
        (tmp_path / f"reports/records/{stage}.json").write_text(json.dumps(record | {"stage": stage}), encoding="utf-8")
    done = run("digests.py", tmp_path)
    assert done.returncode == 1
    assert "no record of export" in done.stdout
    assert "ingest: data/shard: is not what the record says" in done.stdout
    assert "validate: data/shard: read something else than was written" in done.stdout
    assert "validate: reports/validation: missing" in done.stdout


@pytest.mark.parametrize(("said", "status"), [("rebuild: bitwise", 0), ("rebuild: could not be run: no raw files", 2)])
def test_the_weekly_job_fails_where_nothing_could_be_rebuilt(said, status, tmp_path):
    shutil.copytree(REPOSITORY / "ci", tmp_path / "ci")
    graft = tmp_path / ".venv/bin/graft"
    graft.parent.mkdir(parents=True)
    graft.write_text(f"#!/bin/sh\necho 'missing   {said}'\n")
    graft.chmod(0o755)
    done = subprocess.run(["bash", "ci/rebuild.sh", "models:/m/1"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, said in done.stdout) == (status, True), done.stderr
