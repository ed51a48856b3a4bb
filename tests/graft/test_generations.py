"""The matrix of a line of models: its figures, worked by hand, and its page."""

from __future__ import annotations

import pytest

from graft.cli.generations import print_matrix
from graft.commands.generations.generations_page import write_page
from graft.commands.generations.matrix import ClassFall, Generation, Matrix
from graft.commands.generations.trace import parent_of
from graft.provenance.promotion.record_chain import RecordChain
from graft.provenance.records import Record

CLASSES = ("road", "sky")


def generation(version: int, **scores: float | None) -> Generation:
    return Generation(version, scores, dict.fromkeys(scores, 4), CLASSES)


LINE = Matrix(
    "mean_iou",
    (
        generation(1, day=0.6),
        generation(4, day=0.7, night=0.5),
        generation(6, day=0.55, night=0.52, rain=0.4),
    ),
)


def test_figures_of_three_generations_worked_by_hand():
    assert LINE.deliveries == ("day", "night", "rain")
    assert LINE.curve("night") == [(2, 0.5), (3, 0.52)]
    assert LINE.forgetting("day") == pytest.approx(0.15)  # from the 0.7 of the second, not the 0.6 of the first
    assert LINE.forgetting("night") == pytest.approx(-0.02)
    assert LINE.forgetting("rain") is None
    assert LINE.backward_transfer == pytest.approx((-0.05 + 0.02) / 2)
    assert LINE.plasticity == pytest.approx((0.5 + 0.4) / 2)


def test_a_model_that_never_was_updated_has_forgotten_nothing():
    alone = Matrix("accuracy", (generation(1, first=0.9),))
    assert (alone.backward_transfer, alone.plasticity, alone.forgetting("first")) == (None, None, None)


def test_a_delivery_without_a_score_or_taken_out_again_is_left_out_of_the_figures():
    line = Matrix("mean_iou", (generation(1, day=0.6, fog=None), generation(2, day=0.5)))
    assert line.forgetting("fog") is None
    assert line.backward_transfer == pytest.approx(-0.1)
    gone = Matrix("mean_iou", (generation(1, day=0.6), generation(2, night=0.5)))
    assert gone.forgetting("day") is None
    assert gone.backward_transfer is None


FALLEN = Matrix(
    "mean_iou",
    (
        Generation(1, {"day": 0.6}, {"day": 4}, ("road", "sky"), {"day": {"road": 0.8, "sky": 0.4}}),
        Generation(4, {"day": 0.7}, {"day": 4}, ("road", "sky"), {"day": {"road": 0.9, "sky": 0.5}}),
        Generation(
            6,
            {"day": 0.5, "night": 0.5},
            {"day": 4, "night": 4},
            ("road", "sky", "tram"),
            {"day": {"road": 0.7, "sky": 0.45, "tram": None}, "night": {"road": 0.5, "sky": 0.5, "tram": 0.5}},
        ),
    ),
)


def test_the_falls_of_classes_are_counted_from_their_own_best_and_the_largest_comes_first():
    first, second = FALLEN.class_falls()  # nothing of night, which is new, and nothing of tram
    assert first == ClassFall("road", "day", 4, 0.9, 0.7)
    assert second == ClassFall("sky", "day", 4, 0.5, 0.45)
    assert first.forgotten == pytest.approx(0.2)
    assert LINE.class_falls() == []  # scores by class were not kept apart


def test_the_page_shows_what_each_class_lost_and_since_when(tmp_path, capsys):
    text = write_page(FALLEN, "one", tmp_path / "page.html").read_text("utf-8")
    section = text[text.index("Forgetting by class") :]
    assert [name for name in ("road", "sky", "tram") if f'<td class="name">{name}</td>' in section] == ["road", "sky"]
    assert "+20.0<small>90.0% (4) → 70.0%</small>" in section
    assert '<th class="num">day</th></tr>' in section
    assert "Forgetting by class" not in write_page(LINE, "one", tmp_path / "page.html").read_text("utf-8")
    print_matrix(FALLEN)
    assert "forgotten of class road on day: 0.2000 (IoU 0.9000 in version 4, 0.7000 now)" in capsys.readouterr().out


def test_the_page_shows_every_score_and_marks_where_a_delivery_was_learnt(tmp_path):
    text = write_page(LINE, "graft-segmentation, 3 generations", tmp_path / "reports/page.html").read_text("utf-8")
    for score in ("60.0%", "70.0%", "55.0%", "50.0%", "52.0%", "40.0%"):
        assert score in text
    assert text.count('"cell learnt"') == 3
    assert "+15.0" in text
    assert "<svg" in text
    single = write_page(Matrix("accuracy", (generation(1, first=0.9),)), "one", tmp_path / "one.html")
    assert "<svg" not in single.read_text("utf-8")


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("scratch", None),
        ({"name": "package", "package": "weights"}, None),
        ({"name": "registry", "model_uri": "models:/graft-segmentation/3", "sha256": "0"}, 3),
        ({"name": "registry", "model_uri": "models:/others/3", "sha256": "0"}, None),
    ],
)
def test_the_parent_is_the_registered_version_that_the_weights_came_from(source, number):
    record = Record.from_content({"stage": "pretrain-load", "params": {"pretrain_load": {"source": source}}})
    assert parent_of(RecordChain({"pretrain-load": record}), "graft-segmentation") == number
