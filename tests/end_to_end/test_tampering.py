"""One byte changed anywhere: `graft audit` names it, every time."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from graft.provenance.audit.audit import audit
from graft.provenance.audit.link import BROKEN, Check
from tests.end_to_end.tampering import FILES, NAME, copied, kinds

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and what it imports warn of their own affairs

RULES = [{"rule": "mean IoU", "value": "0.3", "bound": "≥ 0.4", "verdict": "FAILS"}]
KINDS = (
    *FILES,
    "params at the commit",
    "tag of a version",
    "page of a version",
    "tag of a run",
    "dvc.lock",
    "param of a run",
    "ledger on the server",
)
# A word of what audit must name for each kind.
NAMED = {
    "shard": ("data/interim",),
    "view": ("data/augmented",),
    "weights": ("models/",),
    "onnx": ("models/exported",),
    "record": ("reports/records", "record"),
    "report": ("reports/evaluation",),
    "ledger": ("ledger",),
    "model in the artifact store": ("models:/", "run"),
    "params at the commit": ("code and params",),
    "tag of a version": ("tag graft", "served model"),
    "page of a version": ("table on its page",),
    "tag of a run": ("run", "tags"),
    "param of a run": ("params",),
    "ledger on the server": ("ledger",),
    "dvc.lock": ("dvc.lock",),
}


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory) -> Path:
    """A copy in which version 1 is champion."""
    from graft.provenance.promotion import move
    from graft.provenance.tracking import mlflow_store

    root = copied(finished, tmp_path_factory.mktemp("tampered") / "project")
    with pytest.MonkeyPatch.context() as patch:
        at_home(patch, root)
        client = mlflow_store.client()
        digest = client.get_model_version(NAME, "1").tags[mlflow_store.MODEL_DIGEST]
        move.move(client, move.intent_to("override", (1, digest), [], name=NAME, reason="the first", rules=RULES))
    return root


@pytest.fixture(autouse=True)
def _at_home(project, monkeypatch) -> None:
    at_home(monkeypatch, project)


def at_home(patch: pytest.MonkeyPatch, root: Path) -> None:
    patch.chdir(root)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    patch.delenv("GRAFT_TRACKING", raising=False)


def broken() -> list[Check]:
    shutil.rmtree("build", ignore_errors=True)  # an index of before must not be what notices
    return [link for link in audit(f"models:/{NAME}/1") if link.status == BROKEN]


def test_what_nobody_touched_is_verified() -> None:
    links = audit(f"models:/{NAME}@champion")
    assert [link for link in links if link.status != "verified"] == []
    assert len(links) > 90


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_of_each_kind_is_named(kind: str, project: Path) -> None:
    with kinds(project)[kind](random.Random(f"1 {kind}")) as place:
        found = broken()
    assert any(word in link.what for link in found for word in NAMED[kind]), (place, found)


@pytest.mark.slow
def test_two_hundred_bytes_are_two_hundred_named(project: Path) -> None:
    missed = []
    for number in range(200):
        kind = KINDS[number % len(KINDS)]
        with kinds(project)[kind](random.Random(f"{number} of many")) as place:
            found = broken()
        if not any(word in link.what for link in found for word in NAMED[kind]):
            missed.append((kind, place))
    assert missed == []
    assert broken() == []


def test_what_was_done_to_the_champion_and_the_ledger_without_graft_is_noticed(project: Path, tmp_path) -> None:
    import sqlite3

    from graft.provenance.audit.ledger_links import check_ledger
    from graft.provenance.tracking import mlflow_store

    client = mlflow_store.client()
    kept = (project / "ledger.jsonl").read_text()

    def found(statement: str) -> str:
        """What audit says after a statement was executed on the store, which then is as before."""
        shutil.copy2("mlflow.db", tmp_path / "kept.db")
        with sqlite3.connect("mlflow.db") as database:
            database.execute(statement)
        try:
            return " ".join(
                f"{link.what}: {link.reason}" for link in check_ledger(client, NAME) if link.status == BROKEN
            )
        finally:
            with sqlite3.connect(tmp_path / "kept.db") as source, sqlite3.connect("mlflow.db") as database:
                source.backup(database)

    assert found("SELECT 1") == ""
    assert "points nowhere, but the ledger says version 1" in found(
        "DELETE FROM registered_model_aliases WHERE alias = 'champion'"
    )
    assert "was deleted" in found(f"UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE name = '{NAME}'")
    entries = f"WHERE name = 'graft-ledger-{NAME}'"
    gone = f"UPDATE model_versions SET current_stage = 'Deleted_Internal' {entries}"
    assert "ledger.jsonl" in found(f"{gone} AND version = 2")
    assert "does not follow" in found(f"{gone} AND version = 1")
    first, second = kept.splitlines()
    for changed in (second, f"{second}\n{first}", first.replace("the first", "another"), f"{first}\nnothing"):
        (project / "ledger.jsonl").write_text(f"{changed}\n")
        assert "ledger.jsonl" in found("SELECT 1"), changed
    (project / "ledger.jsonl").write_text(kept)
