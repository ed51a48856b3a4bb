"""An update that forgets too much: registered with the reason on its page, and never the candidate."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from graft.foundation.content import write_json
from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, ModelAddress
from graft.params.recipes import ROOT, complete_text
from graft.provenance.audit.ledger_links import check_pages
from graft.provenance.audit.link import VERIFIED
from graft.provenance.promotion import verdict
from graft.provenance.promotion.gate import GateRule
from graft.provenance.promotion.update_verdict import TOO_MUCH, in_words, record_verdict
from graft.provenance.stages import record_path
from graft.provenance.tracking import registry
from graft.provenance.tracking.updates import HELD, NOT_JUDGED, UPDATE_TAG, why_not_candidate
from tests.graft.test_promotion import register

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
NAME = "updated"
UPDATE = {"name": "balanced", "new": ["november"], "num_images": 5}
KEPT = GateRule("mean IoU forgotten on delivery first", "0.0100 (0.5000 → 0.4900)", "≤ 0.02", "holds")
FORGOT = GateRule("mean IoU forgotten on delivery second", "0.1000 (0.5000 → 0.4000)", "≤ 0.02", verdict.FAILS)


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def candidate(store, name: str) -> int | None:
    version = registry.find_version(store, ModelAddress(name, alias=CANDIDATE))
    return None if version is None else int(version.version)


def test_what_forgets_too_much_is_registered_as_refused_and_the_candidate_stays(store):
    first, second = (register(store, NAME, number) for number in (1, 2))
    assert record_verdict(store, NAME, first, [KEPT]) == 1
    assert candidate(store, NAME) == 1
    assert record_verdict(store, NAME, second, [KEPT, FORGOT]) == 2
    assert candidate(store, NAME) == 1
    page = registry.find_version(store, ModelAddress(NAME, 2))
    assert TOO_MUCH in page.description
    assert FORGOT.value in page.description
    assert page.tags[UPDATE_TAG] == f"refused: {FORGOT.rule} {FORGOT.value}, asked ≤ 0.02"
    assert {check.status for check in check_pages(store, [], NAME)} == {VERIFIED}
    said = in_words(NAME, 2, [KEPT, FORGOT])
    assert "version 2 is registered with the reason and is not the candidate" in said
    assert FORGOT.rule in said
    assert KEPT.rule not in said


def test_judged_again_under_another_bound_it_becomes_the_candidate(store):
    digest = register(store, "again", 1)
    record_verdict(store, "again", digest, [FORGOT])
    assert candidate(store, "again") is None
    record_verdict(store, "again", digest, [KEPT])
    assert candidate(store, "again") == 1
    assert registry.find_version(store, ModelAddress("again", 1)).tags[UPDATE_TAG] == HELD


def test_a_model_that_was_never_registered_is_named(store):
    with pytest.raises(GraftError, match="no version with this model"):
        record_verdict(store, "unknown", "0" * 64, [KEPT])


@pytest.mark.parametrize(
    ("memory", "bound", "tags", "reason"),
    [
        (UPDATE, "0.02", {}, NOT_JUDGED),
        (UPDATE, "0.02", {UPDATE_TAG: HELD}, ""),
        (UPDATE, "0.02", {UPDATE_TAG: "refused: much"}, "refused: much"),
        (UPDATE, "null", {}, ""),
        ("all", "0.02", {}, ""),
    ],
)
def test_only_an_update_whose_forgetting_is_bounded_waits_for_its_verdict(
    tmp_path, monkeypatch, memory, bound, tags, reason
):
    monkeypatch.chdir(tmp_path)
    text = complete_text(ROOT)
    assert "max_forgetting: null" in text
    Path("params.yaml").write_text(text.replace("max_forgetting: null", f"max_forgetting: {bound}"), encoding="utf-8")
    record_path("augment").parent.mkdir(parents=True)
    write_json(record_path("augment"), {"stage": "augment", "params": {"augment": {"memory": memory}}})
    assert why_not_candidate(SimpleNamespace(tags=tags)) == reason
