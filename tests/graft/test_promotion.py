"""How the champion changes: killed at any step, run twice at once, late, or behind the ledger's back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graft.cli.champion import champion
from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.models.address import CHAMPION, ModelAddress
from graft.provenance import signatures
from graft.provenance.audit.ledger_links import check_ledger, check_pages
from graft.provenance.audit.link import BROKEN, MISSING, Check
from graft.provenance.promotion import history, ledger, move, verdict
from graft.provenance.promotion import promote as promoting
from graft.provenance.tracking import mlflow_store, registry
from tests.at_once import at_once
from tests.graft.signing_key import make_key
from tests.graft.small_export import small_export

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
RULES = [{"rule": "mean IoU", "value": "0.5", "bound": "≥ 0.4", "verdict": "holds"}]
STEPS = ("before the intent", "after the intent", "after the alias", "after the confirmation", "after the copy")


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("GRAFT_SIGNING_KEY", raising=False)
    ledger.COPY.unlink(missing_ok=True)
    signatures.SIGNERS.unlink(missing_ok=True)


def register(store, name: str, number: int) -> str:
    """A version whose files lie in a folder, as a logged model's do; returns the digest of the exported ones."""
    exported = small_export(Path.cwd() / name / str(number) / "artifacts/exported", source_values=(number, 100, 200))
    digest = digest_of(exported)
    source = str(exported.parents[1])
    assert registry.add_version(store, name, source, {mlflow_store.MODEL_DIGEST: digest}, "") == number
    return digest


def promote(store, name: str, number: int, digest: str, kind: str = "promote") -> None:
    entries = move.settle(store, name)
    intent = move.intent_to(kind, (number, digest), entries, name=name, reason="better", rules=RULES)
    move.move(store, intent)


def alias(store, name: str) -> int | None:
    version = registry.find_version(store, ModelAddress(name, alias=CHAMPION))
    return None if version is None else int(version.version)


def assert_in_force(store, name: str, number: int) -> None:
    """Ledger, alias and copy agree, and the ledger is whole."""
    entries = move.settle(store, name)
    assert ledger.verify(entries) == []
    assert history.open_intent(entries) is None
    assert history.champion(entries).version == number
    assert alias(store, name) == number
    assert [entry for entry in ledger.read_copy(ledger.COPY) if entry.name == name] == entries


class Killed(BaseException):
    """As `kill` ends a process: nothing after it runs."""


def die_at(step: str, monkeypatch, die) -> None:
    """Lets the real functions run up to a step and dies there."""
    append, point, write = ledger.append, registry.point, move.write_copy

    def appending(store, name, entry):
        if step == STEPS[0]:
            die()
        written = append(store, name, entry)
        if step == {"intent": STEPS[1], "confirmed": STEPS[3]}[entry.phase]:
            die()
        return written

    def pointing(*arguments):
        point(*arguments)
        if step == STEPS[2]:
            die()

    def writing(entries):
        write(entries)
        if step == STEPS[4] and len(entries) == 4:
            die()

    monkeypatch.setattr(ledger, "append", appending)
    monkeypatch.setattr(registry, "point", pointing)
    monkeypatch.setattr(move, "write_copy", writing)


def killed() -> None:
    raise Killed


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_old_or_the_new_champion_is_fully_in_force(step, store, monkeypatch):
    name = f"step-{STEPS.index(step)}"
    digests = [register(store, name, number) for number in (1, 2)]
    promote(store, name, 1, digests[0])
    with monkeypatch.context() as patched:
        die_at(step, patched, killed)
        with pytest.raises(Killed):
            promote(store, name, 2, digests[1])
    assert_in_force(store, name, 1 if step == STEPS[0] else 2)
    assert len(ledger.read(store, name)) == (2 if step == STEPS[0] else 4)


KILLED_BY_THE_SYSTEM = """
import os, signal, sys
import pytest
from graft.provenance.tracking import mlflow_store
from tests.graft.test_promotion import die_at, promote
with pytest.MonkeyPatch.context() as patched:
    store = mlflow_store.client()
    die_at(sys.argv[1], patched, lambda: os.kill(os.getpid(), signal.SIGKILL))
    promote(store, "kill-9", 2, sys.argv[2])
"""


@pytest.mark.parametrize("step", [STEPS[1], *(pytest.param(step, marks=pytest.mark.slow) for step in STEPS[2:])])
def test_kill_9_between_two_steps_is_finished_by_the_next_command(step, store, repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    store = mlflow_store.client()
    digests = [register(store, "kill-9", number) for number in (1, 2)]
    promote(store, "kill-9", 1, digests[0])
    command = [sys.executable, "-c", KILLED_BY_THE_SYSTEM, step, digests[1]]
    paths = os.pathsep.join([str(repository), str(repository / "src")])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert_in_force(store, "kill-9", 2)


def move_at_once(folder: Path, number: int, digest: str, barrier) -> str:
    os.chdir(folder)
    store = mlflow_store.client()
    entries = move.settle(store, "at-once")
    intent = move.intent_to("promote", (number, digest), entries, name="at-once", reason=f"mine is {number}")
    barrier.wait()
    move.move(store, intent)
    return ""


def test_of_two_that_promote_at_once_one_wins_and_the_other_is_told(store, folder):
    digests = [register(store, "at-once", number) for number in (1, 2)]
    found = at_once(move_at_once, [(folder, number, digests[number - 1]) for number in (1, 2)])
    winner = next((number for number, said in found.items() if not said), None)
    assert winner is not None, found
    assert f"was faster: promote version {winner}" in found[3 - winner]
    assert f"of version {3 - winner} changed nothing" in found[3 - winner]
    assert_in_force(store, "at-once", winner)


def test_rollback_goes_back_step_by_step_and_no_further_than_the_first(store):
    digests = [register(store, "back", number) for number in (1, 2, 3)]
    for number, digest in enumerate(digests, 1):
        promote(store, "back", number, digest)
    move.rollback(store, "back", "3 is slow")
    assert_in_force(store, "back", 2)
    standing = history.champion(move.settle(store, "back"))
    assert (standing.moved.kind, standing.moved.reason, standing.promoted.kind) == ("rollback", "3 is slow", "promote")
    move.rollback(store, "back", "2 as well")
    assert_in_force(store, "back", 1)
    with pytest.raises(GraftError, match="nothing to go back to: version 1 is the first champion"):
        move.rollback(store, "back", "on")
    promote(store, "back", 3, digests[2], kind="override")
    move.rollback(store, "back", "again")
    assert_in_force(store, "back", 1)
    assert [entry.version for entry in history.overrides(move.settle(store, "back"))] == [3]


def test_rollback_refuses_a_model_whose_bytes_were_changed(store, folder):
    digests = [register(store, "bytes", number) for number in (1, 2)]
    for number, digest in enumerate(digests, 1):
        promote(store, "bytes", number, digest)
    file = folder / "bytes/1/artifacts/exported/model.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(GraftError, match="models:/bytes/1: the files in the artifact store are not those"):
        move.rollback(store, "bytes", "back")
    registry.tag_version(store, "bytes", 1, {mlflow_store.MODEL_DIGEST: digest_of(file.parent)})
    with pytest.raises(GraftError, match="version 1 is not the model that was promoted"):
        move.rollback(store, "bytes", "back")
    assert_in_force(store, "bytes", 2)


def test_an_intent_whose_version_is_gone_is_voided_and_the_old_champion_stays(store):
    digests = [register(store, "gone", number) for number in (1, 2)]
    promote(store, "gone", 1, digests[0])
    entries = move.settle(store, "gone")
    intent = move.intent_to("promote", (2, digests[1]), entries, name="gone", reason="better")
    ledger.append(store, "gone", intent)
    registry.point(store, "gone", CHAMPION, 2)
    store.delete_model_version("gone", "2")
    assert_in_force(store, "gone", 1)
    assert move.settle(store, "gone")[-1].phase == "void"
    with pytest.raises(GraftError, match="version 2: the version is gone"):
        promote(store, "gone", 2, digests[1])


def test_a_command_that_slept_between_two_steps_does_not_bring_its_version_back(store):
    digests = [register(store, "slept", number) for number in (1, 2)]
    intent = move.intent_to("promote", (1, digests[0]), [], name="slept", reason="first")
    written = ledger.append(store, "slept", intent)
    promote(store, "slept", 2, digests[1])  # finishes the intent of version 1 first
    assert [entry.version for entry in ledger.read(store, "slept")] == [1, 1, 2, 2]
    move.finish(store, written)
    assert_in_force(store, "slept", 2)


def test_somebody_without_a_name_is_named_by_number(monkeypatch):
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(move, "git_text", lambda *_: None)
    monkeypatch.setattr(move.getpass, "getuser", nobody)
    assert move.author() == f"user {os.getuid()}"


def test_a_damaged_ledger_stops_every_command(store):
    digest = register(store, "damaged", 1)
    promote(store, "damaged", 1, digest)
    store.delete_model_version("graft-ledger-damaged", "2")
    with pytest.raises(GraftError, match=r"the ledger of damaged is damaged \(1\):\n.*entry 2 of the copy"):
        move.settle(store, "damaged")
    with pytest.raises(GraftError, match=r"graft audit says what is damaged"):
        promote(store, "damaged", 1, digest)


def champion_said(store, name: str, monkeypatch, capsys) -> tuple[int, str]:
    """The exit status of `graft champion`, and all that it prints."""
    monkeypatch.setattr("graft.cli.champion.open_registry", lambda _: (store, name))
    status = 0
    try:
        champion()
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def test_without_a_key_a_signed_ledger_is_shown_and_left_as_it_is(store, folder, monkeypatch, capsys):
    name = "signed-by-ada"
    digests = [register(store, name, number) for number in (1, 2)]
    signatures.SIGNERS.write_text(make_key(folder / "ada.pem", "Ada", monkeypatch), "utf-8")
    for number, digest in enumerate(digests, 1):
        promote(store, name, number, digest)
    monkeypatch.delenv(signatures.KEY_VARIABLE)
    assert champion_said(store, name, monkeypatch, capsys)[0] == 0
    for command in (
        lambda: promoting.promote(store, name, None, number=1),
        lambda: promoting.promote(store, name, None, number=1, override=True, reason="now"),
        lambda: move.rollback(store, name, "back"),
        lambda: promote(store, name, 1, digests[0]),
    ):
        with pytest.raises(ledger.Unsigned, match="GRAFT_SIGNING_KEY is not set"):
            command()
    assert_in_force(store, name, 2)
    assert len(ledger.read(store, name)) == 4

    monkeypatch.setenv(signatures.KEY_VARIABLE, str(folder / "ada.pem"))
    back = move.intent_to("rollback", (1, digests[0]), move.settle(store, name), name=name, reason="killed")
    ledger.append(store, name, back)
    monkeypatch.delenv(signatures.KEY_VARIABLE)
    for aliased in (2, 1):  # killed before the alias moved, or after
        registry.point(store, name, CHAMPION, aliased)
        status, said = champion_said(store, name, monkeypatch, capsys)
        assert (status, alias(store, name), len(ledger.read(store, name))) == (0, aliased, 5)
        assert "waiting: the last entry is not confirmed" in said
        assert f"models:/{name}@champion is version 2" in said
        assert BROKEN not in {link.status for link in check_ledger(store, name)}
    monkeypatch.setenv(signatures.KEY_VARIABLE, str(folder / "ada.pem"))
    assert_in_force(store, name, 1)


def test_a_champion_that_was_exchanged_for_another_model_is_noticed(store, monkeypatch, capsys):
    digests = [register(store, "exchanged", number) for number in (1, 2)]
    promote(store, "exchanged", 1, digests[0])
    assert champion_said(store, "exchanged", monkeypatch, capsys)[0] == 0
    registry.tag_version(store, "exchanged", 1, {mlflow_store.MODEL_DIGEST: digests[1]})
    status, said = champion_said(store, "exchanged", monkeypatch, capsys)
    assert status == 4
    assert f"version 1 holds the model {digests[1][:12]}, the ledger says {digests[0][:12]}" in said
    broken = [link for link in check_ledger(store, "exchanged") if link.status == BROKEN]
    assert [link.what for link in broken] == ["models:/exchanged/1, model promoted"]


def pages(store, name: str, model: str | None = None) -> list[Check]:
    return list(check_pages(store, ledger.read(store, name), name, model))


def test_the_page_of_a_version_says_what_the_ledger_says(store):
    name = "pages"
    digests = [register(store, name, number) for number in (1, 2, 3)]
    promote(store, name, 1, digests[0])
    promote(store, name, 2, digests[1], kind="override")
    refusal = verdict.Verdict(tuple(RULES), f"{verdict.REFUSED} {move.now()} by Eve")
    verdict.write(store, store.get_model_version(name, "3"), refusal)
    assert "| mean IoU | 0.5 | ≥ 0.4 | holds |" in store.get_model_version(name, "2").description
    assert {link.status for link in pages(store, name)} == {"verified"}
    assert len(pages(store, name)) == 5

    kept = store.get_model_version(name, "2")
    for tag in verdict.TAGS:
        for change in (kept.tags[tag].replace("better", "worse").replace("0.5", "0.9"), None):
            if change is None:
                store.delete_model_version_tag(name, "2", tag)
            else:
                registry.tag_version(store, name, 2, {tag: change})
            assert [link.what for link in pages(store, name) if link.status == BROKEN] == [
                f"models:/{name}/2, tag {tag}"
            ]
            registry.tag_version(store, name, 2, {tag: kept.tags[tag]})
    for number in (2, 3):
        written = store.get_model_version(name, str(number)).description
        for changed in (written.replace("0.5", "0.9"), "", f"{written}\n| another | 1 | 0 | holds |"):
            registry.describe_version(store, name, number, changed)
            said = [link.what for link in pages(store, name) if link.status == BROKEN]
            assert said == [f"models:/{name}/{number}, table on its page"]
        registry.describe_version(store, name, number, f"What people say of it.\n\n{written}\n")
    registry.tag_version(store, name, 3, {verdict.OVERRIDE_TAG: "gate overridden"})
    assert [link.what for link in pages(store, name) if link.status == BROKEN] == [
        f"models:/{name}/3, tag graft.promotion.override"
    ]


def test_a_promoted_version_that_is_judged_again_or_deleted_is_missing_from_its_page(store):
    name = "again"
    digests = [register(store, name, number) for number in (1, 2)]
    for number, digest in enumerate(digests, 1):
        promote(store, name, number, digest)
    refusal = verdict.Verdict(tuple(RULES), f"{verdict.REFUSED} {move.now()} by Eve")
    verdict.write(store, store.get_model_version(name, "1"), refusal)
    assert [link.what for link in pages(store, name) if link.status == MISSING] == [f"models:/{name}/1, verdict"]
    assert BROKEN not in {link.status for link in pages(store, name)}
    store.delete_model_version(name, "1")
    assert [link.status for link in pages(store, name) if link.what == f"models:/{name}/1"] == [MISSING]
    assert [link.status for link in pages(store, name, digests[0]) if link.what == f"models:/{name}/1"] == [BROKEN]
    with pytest.raises(GraftError, match="no such model"):
        move.rollback(store, name, "back")
