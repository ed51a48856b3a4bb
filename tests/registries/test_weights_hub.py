"""Weights of timm and of the Hugging Face hub; the hub is a server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.models.architectures import build_fresh, resolve_model
from graft.models.pins import no_download
from graft.models.saved_model import save_state
from graft.models.weights import WEIGHTS
from graft.models.weights.hub import cache_path, fetch_from_hub, newest_revision
from graft.models.weights.match import load_into

NAMES = ("Sky", "Road", "Car")
RESNET = resolve_model("classification", {"name": "resnet", "variant": "resnet18"})
REVISION = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def hub_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of timm's names where a download would put it, and a hub that answers nobody."""
    import timm
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    path = cache_path("timm/resnet18.a1_in1k", REVISION)
    path.parent.mkdir(parents=True)
    save_state(path, timm.create_model("resnet18", num_classes=1000).state_dict(), {})
    return path


def test_weights_of_the_hub_fit_the_same_architecture(hub_file: Path) -> None:
    source = WEIGHTS["timm"](
        "classification",
        RESNET,
        no_download,
        weights="resnet18.a1_in1k",
        revision=REVISION,
        sha256=sha256_of(hub_file),
    )
    match = load_into(build_fresh("classification", RESNET, 3, 1), source, NAMES)
    assert match.backbone_fraction == 1.0
    assert match.reinitialised == ["head.fc.bias", "head.fc.weight"]
    assert (source.licence, source.origin) == ("apache-2.0", f"timm/resnet18.a1_in1k at {REVISION}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "resnet18.a1_in1"}, r"no weights 'resnet18.a1_in1'.*did you mean 'resnet18.a1_in1k'"),
        ({"weights": "resnet18.a1_in1k"}, r"not pinned.*graft pin"),
        (
            {"weights": "resnet18.a1_in1k", "revision": "0" * 40, "sha256": "0" * 64},
            r"cannot be downloaded \(HF_HUB_OFFLINE is set\).*"
            r"put it at .*models--timm--resnet18.a1_in1k/snapshots/0{40}/model.safetensors \(sha256 0{64}\)",
        ),
        ({"weights": "resnet18.a1_in1k", "revision": REVISION, "sha256": "0" * 64}, r"sha256 is [0-9a-f]{64}, not 0"),
    ],
)
def test_what_the_hub_cannot_give_is_answered_at_once(hub_file: Path, options: dict, message: str) -> None:
    with pytest.raises(GraftError, match=message):
        WEIGHTS["timm"]("classification", RESNET, no_download, **options)


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub with one repository, at one revision, of one file; notes what it was asked."""

    content = b"weights"
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.asked.append(f"{self.command} {self.path}")
        body = json.dumps({"id": "timm/tiny", "sha": REVISION}).encode() if "/api/" in self.path else self.content
        is_known = self.path in (f"/timm/tiny/resolve/{REVISION}/model.safetensors", "/api/models/timm/tiny")
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Length", str(len(body) if is_known else 0))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if with_body and is_known:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub on this machine, and an empty cache."""
    from huggingface_hub import constants, hf_api

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Hub, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as running:
        address = f"http://127.0.0.1:{running.server_address[1]}"
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(hf_api.api, "endpoint", address)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield Hub
        running.shutdown()
        thread.join()


def test_weights_of_the_hub_are_downloaded_once_at_the_newest_revision(hub: type[Hub]) -> None:
    revision, digest = newest_revision("timm/tiny"), hashlib.sha256(b"weights").hexdigest()
    assert revision == REVISION
    path, found = fetch_from_hub("timm/tiny", revision, digest)
    assert (path, found) == (cache_path("timm/tiny", revision), digest)
    assert path.read_bytes() == b"weights"
    hub.asked.clear()
    assert fetch_from_hub("timm/tiny", revision, None) == (path, digest)
    assert hub.asked == []


def test_weights_of_the_hub_that_are_not_the_pinned_ones_are_refused(hub: type[Hub]) -> None:
    for _ in range(2):
        with pytest.raises(GraftError, match=r"sha256 is [0-9a-f]{64}, not 0{64}"):
            fetch_from_hub("timm/tiny", REVISION, "0" * 64)


def test_a_revision_that_the_hub_does_not_have_says_where_to_put_the_file(hub: type[Hub], tmp_path: Path) -> None:
    place = f"{tmp_path}/cache/models--timm--tiny/snapshots/{'1' * 40}/model.safetensors"
    with pytest.raises(GraftError, match=rf"of timm/tiny at revision 1{{40}} is not here.*put it at {place}"):
        fetch_from_hub("timm/tiny", "1" * 40, None)
