"""How the champion changes: killed at any step, run twice at once, late, or behind the ledger's back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graft import ledger, registry_store, tracking
from graft.digests import digest_of
from graft.errors import GraftError
from graft.promotion import history, moving
from tests.at_once import at_once
from tests.graft.small_export import small_export

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
STEPS = ("before the intent", "after the intent", "after the alias", "after the confirmation", "after the copy")


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("GRAFT_SIGNING_KEY", raising=False)
    ledger.COPY.unlink(missing_ok=True)


def register(store, name: str, number: int) -> str:
    """A version whose files lie in a folder, as a logged model's do; returns the digest of the exported ones."""
    exported = small_export(Path.cwd() / name / str(number) / "artifacts/exported", source_values=(number, 100, 200))
    digest = digest_of(exported)
    source = str(exported.parents[1])
    assert registry_store.add_version(store, name, source, {tracking.MODEL_DIGEST: digest}, "") == number
    return digest


def promote(store, name: str, number: int, digest: str, kind: str = "promote") -> None:
    entries = moving.settled(store, name)
    intent = moving.intent_to(kind, (number, digest), entries, name=name, reason="better")
    moving.move(store, intent)


def alias(store, name: str) -> int | None:
    version = registry_store.version_at(store, name, registry_store.CHAMPION)
    return None if version is None else int(version.version)


def assert_in_force(store, name: str, number: int) -> None:
    """Ledger, alias and copy agree, and the ledger is whole."""
    entries = moving.settled(store, name)
    assert ledger.verify(entries) == []
    assert history.open_intent(entries) is None
    assert history.champion(entries).version == number
    assert alias(store, name) == number
    assert [entry for entry in ledger.read_copy(ledger.COPY) if entry.name == name] == entries


class Killed(BaseException):
    """As `kill` ends a process: nothing after it runs."""


def die_at(step: str, monkeypatch, die) -> None:
    """Lets the real functions run up to a step and dies there."""
    append, point, write = ledger.append, registry_store.point, moving.write_copy

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
    monkeypatch.setattr(registry_store, "point", pointing)
    monkeypatch.setattr(moving, "write_copy", writing)


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
from graft import tracking
from tests.graft.test_promotion import die_at, promote
with pytest.MonkeyPatch.context() as patched:
    store = tracking.client()
    die_at(sys.argv[1], patched, lambda: os.kill(os.getpid(), signal.SIGKILL))
    promote(store, "kill-9", 2, sys.argv[2])
"""


@pytest.mark.parametrize("step", [STEPS[1], *(pytest.param(step, marks=pytest.mark.slow) for step in STEPS[2:])])
def test_kill_9_between_two_steps_is_finished_by_the_next_command(step, store, repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    store = tracking.client()
    digests = [register(store, "kill-9", number) for number in (1, 2)]
    promote(store, "kill-9", 1, digests[0])
    command = [sys.executable, "-c", KILLED_BY_THE_SYSTEM, step, digests[1]]
    paths = os.pathsep.join([str(repository), str(repository / "src")])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert_in_force(store, "kill-9", 2)


def move_at_once(folder: Path, number: int, digest: str, barrier) -> str:
    os.chdir(folder)
    store = tracking.client()
    entries = moving.settled(store, "at-once")
    intent = moving.intent_to("promote", (number, digest), entries, name="at-once", reason=f"mine is {number}")
    barrier.wait()
    moving.move(store, intent)
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
    moving.rollback(store, "back", "3 is slow")
    assert_in_force(store, "back", 2)
    standing = history.champion(moving.settled(store, "back"))
    assert (standing.moved.kind, standing.moved.reason, standing.promoted.kind) == ("rollback", "3 is slow", "promote")
    moving.rollback(store, "back", "2 as well")
    assert_in_force(store, "back", 1)
    with pytest.raises(GraftError, match="nothing to go back to: version 1 is the first champion"):
        moving.rollback(store, "back", "on")
    promote(store, "back", 3, digests[2], kind="override")
    moving.rollback(store, "back", "again")
    assert_in_force(store, "back", 1)
    assert [entry.version for entry in history.overrides(moving.settled(store, "back"))] == [3]


def test_rollback_refuses_a_model_whose_bytes_were_changed(store, folder):
    digests = [register(store, "bytes", number) for number in (1, 2)]
    for number, digest in enumerate(digests, 1):
        promote(store, "bytes", number, digest)
    file = folder / "bytes/1/artifacts/exported/model.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(GraftError, match="models:/bytes/1: the files in the artifact store are not those"):
        moving.rollback(store, "bytes", "back")
    registry_store.tag_version(store, "bytes", 1, {tracking.MODEL_DIGEST: digest_of(file.parent)})
    with pytest.raises(GraftError, match="version 1 is not the model that was promoted"):
        moving.rollback(store, "bytes", "back")
    assert_in_force(store, "bytes", 2)


def test_an_intent_whose_version_is_gone_is_voided_and_the_old_champion_stays(store):
    digests = [register(store, "gone", number) for number in (1, 2)]
    promote(store, "gone", 1, digests[0])
    entries = moving.settled(store, "gone")
    intent = moving.intent_to("promote", (2, digests[1]), entries, name="gone", reason="better")
    ledger.append(store, "gone", intent)
    registry_store.point(store, "gone", registry_store.CHAMPION, 2)
    store.delete_model_version("gone", "2")
    assert_in_force(store, "gone", 1)
    assert moving.settled(store, "gone")[-1].phase == "void"
    with pytest.raises(GraftError, match="version 2: the version is gone"):
        promote(store, "gone", 2, digests[1])


def test_a_command_that_slept_between_two_steps_does_not_bring_its_version_back(store):
    digests = [register(store, "slept", number) for number in (1, 2)]
    intent = moving.intent_to("promote", (1, digests[0]), [], name="slept", reason="first")
    written = ledger.append(store, "slept", intent)
    promote(store, "slept", 2, digests[1])  # finishes the intent of version 1 first
    assert [entry.version for entry in ledger.read(store, "slept")] == [1, 1, 2, 2]
    moving.finish(store, written)
    assert_in_force(store, "slept", 2)


def test_somebody_without_a_name_is_named_by_number(monkeypatch):
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(moving, "_git", lambda *_: "")
    monkeypatch.setattr(moving.getpass, "getuser", nobody)
    assert moving.author() == f"user {os.getuid()}"


def test_a_damaged_ledger_stops_every_command(store):
    digest = register(store, "damaged", 1)
    promote(store, "damaged", 1, digest)
    store.delete_model_version("graft-ledger-damaged", "2")
    with pytest.raises(GraftError, match=r"the ledger of damaged is damaged \(1\):\n.*entry 2 of the copy"):
        moving.settled(store, "damaged")
    with pytest.raises(GraftError, match=r"graft audit says what is damaged"):
        promote(store, "damaged", 1, digest)
