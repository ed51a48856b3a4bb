"""Promotion on a team's server: MLflow on PostgreSQL with passwords, several people at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.models.address import CHAMPION, ModelAddress
from graft.provenance.promotion import history, ledger, move
from graft.provenance.tracking import mlflow_store, registry, runs
from tests.at_once import at_once
from tests.end_to_end.team_server import team_server
from tests.graft.small_export import small_export

pytestmark = pytest.mark.slow
NAME, NUM_PEOPLE = "team", 4


@pytest.fixture(scope="module")
def team():
    with team_server() as variables:
        yield variables


@pytest.fixture(autouse=True)
def member(team, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for key, value in team.items():
        monkeypatch.setenv(key, value)


def register(store, number: int) -> str:
    """A version whose files the server keeps; returns their digest."""
    exported = small_export(Path(f"exported-{number}"), source_values=(number, 100, 200))
    run_id = runs.create_run(store, "export", {}).info.run_id
    store.log_artifacts(run_id, str(exported), "model/artifacts/exported")
    digest = digest_of(exported)
    if number == 1:
        store.create_registered_model(NAME)
    store.create_model_version(NAME, f"runs:/{run_id}/model", run_id, tags={mlflow_store.MODEL_DIGEST: digest})
    return digest


def promote_at_once(folder: Path, variables: dict[str, str], number: int, digest: str, barrier) -> str:
    folder.mkdir()
    os.chdir(folder)
    os.environ.update(variables)
    store = mlflow_store.client()
    intent = move.intent_to("promote", (number, digest), move.settle(store, NAME), name=NAME, reason=str(number))
    barrier.wait()
    move.move(store, intent)
    return ""


def test_four_people_promote_at_once_from_four_clones_and_one_wins(team, tmp_path):
    store = mlflow_store.client()
    digests = [register(store, number) for number in range(1, NUM_PEOPLE + 1)]
    people = [(tmp_path / f"clone {number}", team, number, digest) for number, digest in enumerate(digests, 1)]
    found = at_once(promote_at_once, people)
    winners = [number for number, said in found.items() if not said]
    assert len(winners) == 1, found
    winner = winners[0]
    assert all(f"promote version {winner}" in said for said in found.values() if said)
    assert_in_force(store, winner)

    other = next(number for number in found if number != winner)
    entries = move.settle(store, NAME)
    rules = [{"rule": f"rule {number}", "value": "ü" * 100, "bound": "", "verdict": "holds"} for number in range(100)]
    intent = move.intent_to("promote", (other, digests[other - 1]), entries, name=NAME, reason="x" * 6000, rules=rules)
    move.move(store, intent)
    assert_in_force(store, other)
    move.rollback(store, NAME, "back")
    assert_in_force(store, winner)


def assert_in_force(store, number: int) -> None:
    entries = move.settle(store, NAME)
    assert ledger.verify(entries) == []
    assert history.champion(entries).version == number
    assert int(registry.find_version(store, ModelAddress(NAME, alias=CHAMPION)).version) == number


def test_without_the_password_nothing_is_promoted_and_the_answer_says_so(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(GraftError, match="MLflow refuses"), mlflow_store.explain_refusals():
        move.settle(mlflow_store.client(), NAME)
