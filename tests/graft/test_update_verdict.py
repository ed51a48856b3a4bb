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
from graft.provenance.promotion.measurement import Comparison
from graft.provenance.promotion.update_verdict import (
    TOO_MUCH,
    UpdateVerdict,
    judge_update,
    record_verdict,
    tell_verdict,
)
from graft.provenance.stages import record_path
from graft.provenance.tracking import registry
from graft.provenance.tracking.updates import NOT_JUDGED, UNBOUNDED, UPDATE_TAG, held_within, why_not_candidate
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


def judged(*rules: GateRule, bound: float | None = 0.02) -> UpdateVerdict:
    return UpdateVerdict(bound, rules)


def test_what_forgets_too_much_is_registered_as_refused_and_the_candidate_stays(store):
    first, second = (register(store, NAME, number) for number in (1, 2))
    assert record_verdict(store, NAME, first, judged(KEPT), 1) == 1
    assert candidate(store, NAME) == 1
    assert record_verdict(store, NAME, second, judged(KEPT, FORGOT), 1) == 2
    assert candidate(store, NAME) == 1
    page = registry.find_version(store, ModelAddress(NAME, 2))
    assert TOO_MUCH in page.description
    assert FORGOT.value in page.description
    assert page.tags[UPDATE_TAG] == f"refused: {FORGOT.rule}: {FORGOT.value}, asked ≤ 0.02"
    assert {check.status for check in check_pages(store, [], NAME)} == {VERIFIED}
    said = tell_verdict(NAME, 2, judged(KEPT, FORGOT))
    assert "version 2 is registered with the reason and is not the candidate" in said
    assert FORGOT.rule in said
    assert KEPT.rule not in said


def test_judged_again_under_another_bound_it_becomes_the_candidate_and_its_page_says_so(store):
    digest = register(store, "again", 1)
    record_verdict(store, "again", digest, judged(FORGOT), 1)
    assert candidate(store, "again") is None
    record_verdict(store, "again", digest, judged(KEPT, bound=0.2), 1)
    assert candidate(store, "again") == 1
    version = registry.find_version(store, ModelAddress("again", 1))
    assert version.tags[UPDATE_TAG] == held_within(0.2)
    assert verdict.VERDICT_TAG not in version.tags
    assert "refused" not in version.description
    assert {check.status for check in check_pages(store, [], "again")} <= {VERIFIED}


def test_the_candidate_that_is_refused_gives_way_to_its_parent(store):
    for number in (1, 2):
        digest = register(store, "wide", number)
        record_verdict(store, "wide", digest, judged(bound=None), 1)
    assert candidate(store, "wide") == 2
    record_verdict(store, "wide", digest, judged(FORGOT), 1)
    assert candidate(store, "wide") == 1


def test_an_update_that_cannot_be_compared_with_its_champion_does_not_hold():
    found = Comparison("mean_iou", "IoU", 4, (), {}, None, None, "the champion has other classes: tram")
    judged = judge_update(found, 0.02)
    (rule,) = judged.failing
    assert rule.value == "the champion has other classes: tram"
    said = tell_verdict(NAME, 2, judged)
    assert (
        "not the candidate, for it cannot be compared with the champion:\n  forgetting: the champion has other" in said
    )
    assert "graft deliver, make repro" in said
    assert "forgets more" not in said
    assert judge_update(found, None).failing == []


def test_a_model_that_was_never_registered_is_named(store):
    with pytest.raises(GraftError, match="no version with this model"):
        record_verdict(store, "unknown", "0" * 64, judged(KEPT), 1)


@pytest.mark.parametrize(
    ("memory", "bound", "tags", "reason"),
    [
        (UPDATE, "0.02", {}, NOT_JUDGED),
        (UPDATE, "0.02", {UPDATE_TAG: held_within(0.02)}, ""),
        (UPDATE, "0.02", {UPDATE_TAG: held_within(0.9)}, NOT_JUDGED),
        (UPDATE, "0.02", {UPDATE_TAG: UNBOUNDED}, NOT_JUDGED),
        (UPDATE, "0.02", {UPDATE_TAG: "refused: much"}, "refused: much"),
        (UPDATE, "null", {}, ""),
        ("all", "0.02", {}, ""),
        ("all", "0.02", {UPDATE_TAG: "refused: much"}, "refused: much"),
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
