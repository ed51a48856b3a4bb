"""The registry read without MLflow: the same answers as MLflow's own client, from SQLite and over HTTP."""

from __future__ import annotations

import http.server
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

import graft
from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress
from graft.provenance.tracking import local_store, mlflow_store, model_versions, quick_client, registry
from graft.provenance.tracking.registry_reader import RestReader, SqliteReader
from graft.provenance.tracking.rest_interface import RestInterface, Unanswered
from tests.graft.small_export import small_export

NAME = "streets"
CHAMPION = ModelAddress(NAME, alias="champion")


@pytest.fixture(scope="module")
def registered(folder: Path, store) -> Path:
    """Three versions in a local store, the third deleted, champion the first; returns the files of the first."""
    place = folder / "mlruns/1/models/m-1/artifacts"
    exported = small_export(place / "artifacts/exported")
    for number in (1, 2, 3):
        tags = {mlflow_store.MODEL_DIGEST: digest_of(exported), "number": str(number)}
        registry.add_version(store, NAME, str(place), tags, f"version {number}")
    registry.point(store, NAME, "champion", 1)
    store.delete_model_version(NAME, "3")
    return exported


@pytest.fixture(autouse=True)
def in_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def facts(version) -> tuple[object, ...] | None:
    return version and (
        version.name,
        str(version.version),
        dict(version.tags),
        version.description or "",
        version.run_id,
    )


def test_it_answers_as_mlflow_does(registered: Path, store) -> None:
    quick = quick_client.open_quickly()
    assert isinstance(quick, quick_client.QuickClient)
    for address in (CHAMPION, ModelAddress(NAME, 2), ModelAddress(NAME, 3), ModelAddress(NAME, alias="nobody")):
        assert facts(registry.find_version(quick, address)) == facts(registry.find_version(store, address))
    for name in (NAME, "nothing"):
        found = [facts(version) for version in registry.find_versions(quick, name)]
        assert found == [facts(version) for version in registry.find_versions(store, name)]
    assert "whole" not in vars(quick)  # MLflow's own client was never made
    assert facts(registry.find_version(quick, CHAMPION))[3] == "version 1"


def test_what_it_cannot_do_is_done_by_mlflow(registered: Path) -> None:
    quick = quick_client.open_quickly()
    registry.tag_version(quick, NAME, 2, {"seen": "yes"})
    found = registry.find_version(quick, ModelAddress(NAME, 2))
    assert found is not None
    assert found.tags["seen"] == "yes"


def test_a_model_is_read_where_it_lies_and_compared(registered: Path, tmp_path: Path) -> None:
    assert model_versions.download_model(str(CHAMPION), tmp_path) == registered
    (registered / "spec.json").write_text((whole := (registered / "spec.json").read_text()) + " ")
    try:
        with pytest.raises(GraftError, match=r"models:/streets/1: .* are not those that were registered"):
            model_versions.download_model(str(CHAMPION), tmp_path)
    finally:
        (registered / "spec.json").write_text(whole)
    model = graft.load(str(CHAMPION))
    assert (model.version, model.class_names) == ("models:/streets/1", ("red", "green", "blue"))


def test_a_model_is_found_and_compared_without_importing_mlflow(registered: Path) -> None:
    code = (
        "import sys, pathlib; from graft.provenance.tracking import model_versions\n"
        f"print(model_versions.download_model('{CHAMPION}', pathlib.Path('.')))\n"
        "sys.exit('mlflow' in sys.modules or 'sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(registered)), done.stderr


def test_another_schema_and_a_second_workspace_are_left_to_mlflow(registered: Path, tmp_path: Path) -> None:
    for number, change in enumerate(
        (
            "UPDATE alembic_version SET version_num = 'newer'",
            "UPDATE registered_models SET workspace = 'other' WHERE name = 'streets'; "
            "INSERT INTO registered_models (workspace, name) VALUES ('default', 'second')",
        )
    ):
        database = tmp_path / f"{number}.db"
        with closing(sqlite3.connect("mlflow.db")) as ours, closing(sqlite3.connect(database)) as copy:
            ours.backup(copy)
            copy.executescript(change)
        with pytest.raises(Unanswered):
            SqliteReader(database).find_versions(NAME)
    with pytest.raises(Unanswered):
        SqliteReader(tmp_path / "absent.db").find_versions(NAME)


class Answers(http.server.BaseHTTPRequestHandler):
    """What MLflow 3.17 answers, cut to what is read."""

    files: Path
    headers_seen: list[str | None]

    def do_GET(self) -> None:
        type(self).headers_seen.append(self.headers["Authorization"])
        asked = urlparse(self.path)
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        path = asked.path.removeprefix("/api/2.0/")
        tags = [{"key": mlflow_store.MODEL_DIGEST, "value": digest_of(self.files)}]
        version = {"name": NAME, "version": "2", "description": "second", "run_id": "", "tags": tags}
        if path == "mlflow/registered-models/alias" and query["alias"] != "champion":
            message = f"Registered model alias {query['alias']} not found."
            return self.send(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": message})
        if path == "mlflow/model-versions/get" and query["version"] != "2":
            return self.send(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"})
        if path == "mlflow/model-versions/get-download-uri":
            return self.send(200, {"artifact_uri": "mlflow-artifacts:/1/models/m-1/artifacts"})
        if path == "mlflow/model-versions/search":
            first = "page_token" not in query
            more = {"next_page_token": "next"} if first else {}
            return self.send(200, {"model_versions": [version | {"version": "10" if first else "2"}], **more})
        if path == "mlflow-artifacts/artifacts":
            assert query == {"path": "1/models/m-1/artifacts/artifacts/exported"}
            listed = [{"path": file.name, "is_dir": False} for file in self.files.iterdir()]
            return self.send(200, {"files": listed})
        if path.startswith("mlflow-artifacts/artifacts/1/models/m-1/artifacts/artifacts/exported/"):
            return self.send_bytes(200, (self.files / path.rpartition("/")[2]).read_bytes())
        if path == "mlflow/model-versions/get" or path == "mlflow/registered-models/alias":
            return self.send(200, {"model_version": version})
        return self.send_bytes(500, b"<html>Not Found</html>")

    def send(self, status: int, content: object) -> None:
        self.send_bytes(status, json.dumps(content).encode())

    def send_bytes(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Answers.files, Answers.headers_seen = small_export(tmp_path / "on the server"), []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
        uri = f"http://127.0.0.1:{serving.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri
        serving.shutdown()


def test_a_server_is_read_over_http(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    quick = quick_client.open_quickly()
    assert facts(registry.find_version(quick, CHAMPION))[1] == "2"
    assert registry.find_version(quick, ModelAddress(NAME, alias="nobody")) is None
    assert registry.find_version(quick, ModelAddress(NAME, 3)) is None
    assert [version.version for version in registry.find_versions(quick, NAME)] == ["2", "10"]
    fetched = model_versions.download_model(str(CHAMPION), tmp_path)
    assert digest_of(fetched) == digest_of(Answers.files)
    assert set(Answers.headers_seen) == {"Basic YW5uYTpzZWNyZXQ="}
    assert "whole" not in vars(quick)


def test_a_token_is_sent_where_there_is_no_password(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    RestReader(RestInterface(server)).find_version(CHAMPION)
    assert Answers.headers_seen == ["Bearer abc"]


def test_a_server_that_is_reached_another_way_is_left_to_mlflow(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unanswered):
        RestInterface(server).get("what/else", {})
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    with pytest.raises(Unanswered):
        RestReader(RestInterface(server)).find_version(CHAMPION)


def test_a_silent_server_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(mlflow_store.Unreachable, match="no MLflow server answers"):
        model_versions.find_numbered(str(CHAMPION))
    assert local_store.database_of("http://127.0.0.1:9") is None
