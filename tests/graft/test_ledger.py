"""The ledger: a chain that shows what was changed in it, signed, on a real store that numbers its entries."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from graft.foundation.errors import GraftError
from graft.provenance import signatures
from graft.provenance.promotion import ledger
from graft.provenance.promotion.ledger import LedgerEntry
from graft.provenance.tracking import mlflow_store, registry
from tests.at_once import at_once
from tests.graft.signing_key import make_key

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own


def entry(version: int, phase: str, before: LedgerEntry | None = None, **changes: object) -> LedgerEntry:
    content = {"kind": "promote", "name": "m", "model_digest": f"{version}" * 64, "previous_version": None}
    content |= {"reason": "every rule holds", "rules": (), "author": "Ada", "time": "2026-01-01T00:00:00+00:00"}
    return LedgerEntry(phase=phase, version=version, follows=before.digest if before else "", **(content | changes))


def chain(length: int) -> list[LedgerEntry]:
    made: list[LedgerEntry] = []
    for number in range(length):
        phase = "confirmed" if number % 2 else "intent"
        made.append(entry(number // 2 + 1, phase, made[-1] if made else None))
    return made


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv(signatures.KEY_VARIABLE, raising=False)
    (folder / signatures.SIGNERS).unlink(missing_ok=True)


def test_a_whole_chain_has_no_problems():
    assert ledger.verify(chain(6)) == []
    assert ledger.verify(chain(5)) == []  # the last is an intent that nobody has finished yet


@pytest.mark.parametrize("number", range(5))
def test_an_entry_that_is_dropped_edited_or_moved_is_named(number):
    whole = chain(6)
    edited = [replace(other, reason="none") if place == number else other for place, other in enumerate(whole)]
    assert f"entry {number + 2} " in ledger.verify(edited)[0]
    assert ledger.verify(whole[:number] + whole[number + 1 :])
    moved = [*whole[:number], whole[number + 1], whole[number], *whole[number + 2 :]]
    assert ledger.verify(moved)


def test_an_intent_comes_before_its_confirmation_and_nothing_between():
    first = entry(1, "intent")
    assert "out of order" in ledger.verify([first, entry(2, "intent", first)])[0]
    assert "out of order" in ledger.verify([entry(1, "confirmed")])[0]
    assert "something else" in ledger.verify([first, entry(2, "confirmed", first)])[0]


def test_of_two_that_follow_the_same_entry_the_lower_number_wins():
    first = entry(1, "intent")
    winner, loser = entry(1, "confirmed", first), entry(1, "void", first)
    after_loser, after_winner = entry(3, "intent", loser), entry(2, "intent", winner)
    assert ledger.drop_losers([first, winner, loser, after_loser, after_winner]) == [first, winner, after_winner]
    assert ledger.drop_losers([first, winner, winner, after_winner]) == [first, winner, after_winner]


def test_an_entry_is_read_as_it_was_written_and_an_edited_one_is_refused():
    text = entry(1, "intent", reason="größer", rules=({"rule": "size", "value": "1"},)).canonical
    assert LedgerEntry.of(text, "here").canonical == text
    for damaged in (text.replace('"kind":', '"kind": '), text[:-1], text.replace("intent", "perhaps"), "[]", "{}"):
        with pytest.raises(GraftError, match=r"^here: (not an entry|this entry was edited)"):
            LedgerEntry.of(damaged, "here")


def test_entries_on_a_server_are_numbered_and_long_ones_are_split(store):
    rules = tuple({"rule": f"rule {number}", "value": "ä" * 90} for number in range(150))
    first = ledger.append(store, "long", entry(1, "intent", name="long", rules=rules))
    second = ledger.append(store, "long", entry(1, "confirmed", first, name="long"))
    assert ledger.read(store, "long") == [first, second]
    assert [int(one.version) for one in registry.find_versions(store, "graft-ledger-long")] == [1, 2]
    assert ledger.read(store, "nothing") == []


def test_the_second_of_two_that_follow_the_same_is_told_who_was_faster(store):
    first = ledger.append(store, "race", entry(1, "intent", name="race"))
    with pytest.raises(GraftError, match=r"graft-ledger-race: Ada was faster: promote version 1.*of version 2 changed"):
        ledger.append(store, "race", entry(2, "intent", name="race", author="Bob"))
    assert ledger.read(store, "race") == [first]


def append_one(folder: Path, version: int, barrier) -> str:
    os.chdir(folder)
    store = mlflow_store.client()
    barrier.wait()
    ledger.append(store, "four", entry(version, "intent", name="four", author=f"author {version}"))
    return "won"


def test_of_four_processes_that_append_at_once_one_wins_and_three_are_told(store, folder):
    found = at_once(append_one, [(folder, number) for number in (1, 2, 3, 4)])
    winners = [version for version, said in found.items() if said == "won"]
    assert len(winners) == 1
    told = [said for said in found.values() if said != "won"]
    assert all(f"author {winners[0]} was faster" in said for said in told)
    assert [one.version for one in ledger.read(store, "four")] == winners


def test_an_entry_edited_on_the_server_is_refused(store):
    first = ledger.append(store, "edited", entry(1, "intent", name="edited"))
    forged = replace(first, reason="forged").canonical
    registry.tag_version(store, "graft-ledger-edited", 1, {ledger.ENTRY_TAG: forged})
    with pytest.raises(GraftError, match="models:/graft-ledger-edited/1: this entry was edited"):
        ledger.read(store, "edited")


def test_a_deleted_entry_is_missed_by_the_chain_or_by_the_copy(store, tmp_path):
    before: LedgerEntry | None = None
    for version, phase in ((1, "intent"), (1, "confirmed"), (2, "intent"), (2, "confirmed")):
        before = ledger.append(store, "dropped", entry(version, phase, before, name="dropped"))
    copy = tmp_path / "ledger.jsonl"
    ledger.write_copy(copy, ledger.read(store, "dropped"))
    store.delete_model_version("graft-ledger-dropped", "4")
    entries = ledger.read(store, "dropped")
    assert ledger.verify(entries) == []
    assert "entry 4 of the copy" in ledger.compare_copy(entries, ledger.read_copy(copy), "dropped")[0]
    store.delete_model_version("graft-ledger-dropped", "2")
    assert "does not follow the entry before it" in ledger.verify(ledger.read(store, "dropped"))[0]


def test_the_copy_holds_every_model_and_is_refused_when_edited(tmp_path):
    copy = tmp_path / "ledger.jsonl"
    ours, theirs = chain(2), [entry(1, "intent", name="other")]
    ledger.write_copy(copy, ours)
    ledger.write_copy(copy, theirs)
    ledger.write_copy(copy, ours)
    assert sorted(one.name for one in ledger.read_copy(copy)) == ["m", "m", "other"]
    assert ledger.compare_copy(ours, ledger.read_copy(copy), "m") == []
    copy.write_text(copy.read_text("utf-8").replace('"kind"', '"kin"', 1), "utf-8")
    with pytest.raises(GraftError, match=r"ledger.jsonl:1: not an entry"):
        ledger.read_copy(copy)


def test_every_changed_byte_of_the_copy_is_noticed(tmp_path):
    copy = tmp_path / "ledger.jsonl"
    whole = [entry(1, "intent", reason="line\u2028separator, größer")]
    whole.append(entry(1, "confirmed", whole[0]))
    ledger.write_copy(copy, whole)
    data = copy.read_bytes()
    assert ledger.read_copy(copy) == whole
    for place in range(len(data) - 1):  # the last byte only ends the file
        copy.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(GraftError, match="ledger"):
            raise_problems(ledger.compare_copy(whole, ledger.read_copy(copy), "m"))


def raise_problems(problems: list[str]) -> None:
    if problems:
        raise GraftError.of_all("the ledger's copy", problems)


def test_entries_are_signed_by_a_listed_key_and_forgeries_are_named(store, folder, monkeypatch):
    line = make_key(folder / "ada.pem", "Ada Lovelace", monkeypatch)
    signatures.SIGNERS.write_text(f"# who may sign\n{line}", "utf-8")
    first = ledger.append(store, "signed", entry(1, "intent", name="signed"))
    assert first.signature
    assert ledger.verify(ledger.read(store, "signed")) == []
    assert signatures.signer_of(first.signed_bytes, first.signature, signatures.signers()).name == "Ada Lovelace"
    assert "signed by nobody" in ledger.verify([replace(first, reason="forged")])[0]
    unsigned = entry(1, "confirmed", first, name="signed")
    assert "is not signed" in ledger.verify([first, unsigned])[0]
    for nothing in ("", 0):  # neither None nor anybody's
        assert "signed by nobody" in ledger.verify([first, replace(unsigned, signature=nothing)])[0]
    make_key(folder / "eve.pem", "Eve", monkeypatch)
    with pytest.raises(GraftError, match=r"signers.pub: the key of GRAFT_SIGNING_KEY is not listed.*ssh-ed25519"):
        ledger.append(store, "signed", unsigned)


def test_a_signed_ledger_takes_no_unsigned_entry(store, folder, monkeypatch):
    signatures.SIGNERS.write_text(make_key(folder / "ada.pem", "Ada Lovelace", monkeypatch), "utf-8")
    first = ledger.append(store, "always signed", entry(1, "intent", name="always signed"))
    monkeypatch.delenv(signatures.KEY_VARIABLE)
    following = entry(1, "confirmed", first, name="always signed")
    with pytest.raises(ledger.Unsigned, match=r"GRAFT_SIGNING_KEY is not set.*Remedy: set GRAFT_SIGNING_KEY to a key"):
        ledger.append(store, "always signed", following)
    make_key(folder / "eve.pem", "Eve", monkeypatch)
    with pytest.raises(ledger.Unsigned, match="not listed"):
        ledger.append(store, "always signed", following)
    assert ledger.read(store, "always signed") == [first]


def test_a_key_or_a_list_of_signers_that_cannot_be_used_is_explained(tmp_path, monkeypatch):
    monkeypatch.setenv(signatures.KEY_VARIABLE, str(tmp_path / "absent.pem"))
    with pytest.raises(GraftError, match=r"GRAFT_SIGNING_KEY: No such file.*openssl genpkey"):
        signatures.sign(b"data")
    (tmp_path / "absent.pem").write_text("not a key", "utf-8")
    with pytest.raises(GraftError, match="GRAFT_SIGNING_KEY: not a usable key"):
        signatures.sign(b"data")
    (tmp_path / "signers.pub").write_text("ssh-rsa AAAA\n", "utf-8")
    with pytest.raises(GraftError, match=r"signers.pub:1: not an Ed25519 public key"):
        signatures.signers(tmp_path / "signers.pub")
