"""A store of one's own beside the team's `ledger.jsonl`, and conflict markers in that file: neither is damage."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from graft.cli.champion import champion
from graft.commands.doctor import services
from graft.foundation.errors import GraftError
from graft.models.address import CHAMPION, ModelAddress
from graft.provenance import signatures
from graft.provenance.audit.ledger_links import check_ledger
from graft.provenance.audit.link import BROKEN
from graft.provenance.promotion import beginning, copy_origin, history, ledger, move
from graft.provenance.tracking import registry
from tests.graft.test_ledger import entry
from tests.graft.test_promotion import RULES, promote, register

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
ADA = "Ada <ada@team.org>"


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "GRAFT_TRACKING", signatures.KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    ledger.COPY.unlink(missing_ok=True)


def pull_copy(name: str, digest: str = "3" * 64) -> None:
    """The team's copy, as git brings it: two promotions by Ada, of which version 3 is the last."""
    made: list[ledger.LedgerEntry] = []
    for version, phase in ((1, "intent"), (1, "confirmed"), (3, "intent"), (3, "confirmed")):
        model = {"model_digest": digest} if version == 3 else {}
        rules = tuple(RULES) if phase == "intent" else ()
        before = made[-1] if made else None
        made.append(entry(version, phase, before, name=name, author=ADA, rules=rules, **model))
    ledger.write_copy(ledger.COPY, made)


def test_an_empty_store_beside_a_teams_copy_is_called_ones_own_and_both_ways_on_are_named(store, monkeypatch):
    pull_copy("own")
    with pytest.raises(GraftError) as caught:
        move.settle(store, "own")
    said = str(caught.value)
    assert said.startswith("sqlite:///mlflow.db: this store is your own: ledger.jsonl is the copy of another store's")
    assert "ledger of own (4 entries, its champion is version 3, by Ada <ada@team.org>); this holds none" in said
    assert "set MLFLOW_TRACKING_URI to the address of the team's server" in said
    assert "graft champion --from-copy" in said
    assert "damaged" not in said
    assert "who changed the server" not in said
    with pytest.raises(GraftError, match="it lost its ledger"):
        copy_origin.refuse_other_copy((), ledger.read_copy(ledger.COPY), "own", "http://team:5000")


def test_a_store_with_a_ledger_of_its_own_can_keep_it(store):
    promote(store, "kept", 1, register(store, "kept", 1))
    pull_copy("kept")
    with pytest.raises(GraftError, match=r"this begins with version 1 by .*rm ledger.jsonl, then graft champion"):
        move.settle(store, "kept")
    ledger.COPY.unlink()
    assert ledger.read_copy(ledger.COPY) == []
    assert move.settle(store, "kept") == ledger.read_copy(ledger.COPY) != []


def test_the_copy_becomes_the_start_of_a_ledger_with_the_version_that_holds_the_same_model(store, monkeypatch, capsys):
    digest = register(store, "begun", 1)
    pull_copy("begun", digest)
    monkeypatch.setattr("graft.cli.champion.open_registry", lambda _: (store, "begun"))
    champion("begun", from_copy=True)
    assert "models:/begun@champion is version 1" in capsys.readouterr().out
    entries = move.settle(store, "begun")
    standing = history.champion(entries)
    assert standing.promoted.reason.startswith("taken from ledger.jsonl, version 3 of another store: ")
    assert list(standing.promoted.rules) == RULES
    assert registry.find_version(store, ModelAddress("begun", alias=CHAMPION)).version == 1
    assert ledger.read_copy(ledger.COPY) == entries
    assert BROKEN not in {link.status for link in check_ledger(store, "begun")}
    with pytest.raises(GraftError, match="holds a ledger of begun already"):
        beginning.begin_from_copy(store, "begun")


def test_a_copy_whose_champion_is_not_here_changes_nothing(store):
    register(store, "absent", 1)
    pull_copy("absent")
    with pytest.raises(GraftError, match=r"no version here holds the champion.*version 3.*dvc pull, graft publish"):
        beginning.begin_from_copy(store, "absent")
    assert ledger.read(store, "absent") == []


def test_doctor_warns_and_audit_says_that_the_copy_is_of_another_store(store):
    pull_copy("strange")
    (finding,) = services.ledger_copy()
    assert (finding.state, finding.name) == ("warning", "ledger")
    assert "this store is your own" in finding.fact
    assert "graft champion --from-copy" in finding.remedy
    found = {link.what: link for link in check_ledger(store, "strange")}
    assert found["ledger.jsonl, strange"].status == BROKEN  # nobody can tell it from a ledger that was deleted
    assert "another store's ledger" in found["ledger.jsonl, strange"].reason
    ledger.COPY.unlink()
    promote(store, "usual", 1, register(store, "usual", 1))
    assert [finding.state for finding in services.ledger_copy()] == ["ok"]


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=False, capture_output=True)


def test_conflict_markers_are_named_with_the_command_that_restores_the_copy(store, tmp_path, monkeypatch):
    digest = register(store, "merged", 1)
    promote(store, "merged", 1, digest)
    whole = ledger.COPY.read_text("utf-8")
    first, second = whole.splitlines()
    root = Path.cwd()
    for arguments in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "0"]):
        git(*arguments)
    for branch, line in (("one", first), ("two", second)):
        git("checkout", "-q", "-b", branch, "main")
        ledger.COPY.write_text(f"{line}\n", "utf-8")
        git("add", "ledger.jsonl")
        git("commit", "-q", "-m", branch)
    git("merge", "one")
    with pytest.raises(GraftError) as caught:
        move.settle(store, "merged")
    assert str(caught.value).startswith("ledger.jsonl:1: git's conflict markers stand in it")
    assert "git checkout --ours ledger.jsonl, then graft champion" in str(caught.value)
    (finding,) = services.ledger_copy()
    assert finding.state == "wrong"
    assert "git checkout --ours ledger.jsonl" in finding.remedy
    git("commit", "-q", "-a", "-m", "markers and all")
    remedy = re.search("Remedy: (rm ledger.jsonl), then graft champion", raises(store))
    assert remedy
    subprocess.run(remedy[1], shell=True, check=True, cwd=root)
    move.settle(store, "merged")
    assert ledger.COPY.read_text("utf-8") == whole


def raises(store) -> str:
    with pytest.raises(GraftError) as caught:
        move.settle(store, "merged")
    return str(caught.value)
