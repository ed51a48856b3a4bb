"""The model card of an attestation: what only people can say."""

from __future__ import annotations

import json

import pytest

from graft.foundation.errors import GraftError
from graft.provenance.attest.card import DECLARATION, EXPORTED_SCORES, fields


def known(text: str | None) -> dict[str, tuple[object, str]]:
    rows = fields({}, {} if text is None else {DECLARATION: text})
    return {row["field"]: (row["value"], row["known"]) for row in rows if row["source"] == DECLARATION}


@pytest.mark.parametrize("text", [None, "", "# nothing yet\n", "owner: null\n"])
def test_what_nobody_says_is_missing(text):
    names = ["intended use", "out of scope", "personal data", "owner"]
    assert known(text) == dict.fromkeys(names, (None, "missing"))


def test_what_people_say_is_declared():
    assert known("owner: Ada\n")["owner"] == ("Ada", "declared")
    assert known("owner: Ada\n")["out of scope"] == (None, "missing")


@pytest.mark.parametrize("text", ["ower: Ada", "owner: [Ada]", "owner: 3", "- owner", "owner: [", "owner"])
def test_anything_else_is_refused_with_the_remedy(text):
    with pytest.raises(GraftError, match=r"(?s)model_card.yaml.*Remedy: say intended_use, out_of_scope") as refused:
        known(text)
    assert "ower" not in text or "ower" in str(refused.value)


def test_the_file_of_the_project_says_nothing_yet(repository):
    text = (repository / DECLARATION).read_text("utf-8")
    assert all(value == (None, "missing") for value in known(text).values())


@pytest.mark.parametrize(
    ("by_class", "scores", "shown"),
    [
        ("iou", ["mean_iou", "pixel_accuracy", "frequency_weighted_iou"], ["mean iou", "pixel accuracy"]),
        ("recall", ["accuracy", "macro_f1"], ["accuracy", "macro f1"]),
        (
            "average_precision",
            ["micro_f1", "macro_f1", "mean_average_precision"],
            ["mean average precision", "macro f1", "micro f1"],
        ),
    ],
)
def test_scores_are_those_of_the_task(by_class, scores, shown):
    metrics = dict.fromkeys(scores, 0.5) | {by_class: {"car": 0.25}}
    rows = [row for row in fields({}, {EXPORTED_SCORES: json.dumps(metrics)}) if row["known"] == "measured"]
    found = {row["field"]: row["value"] for row in rows if row["source"] == EXPORTED_SCORES}
    assert found == dict.fromkeys(shown, 0.5) | {"scores by class": {"car": 0.25}}
    assert [name for name in found if name in shown] == shown
