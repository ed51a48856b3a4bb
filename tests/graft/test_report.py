"""The report: complete, self-contained, and readable whatever the names are."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from graft.evaluation.report.charts import HEIGHT, WIDTH, Axis, Line, line_chart
from graft.evaluation.report.report_page import percent, points, size
from graft.evaluation.report.training_history import loss_chart, score_chart
from graft.foundation.content import read_json
from graft.models.saved_model import MODEL_COLOURS
from tests.evaluable import run_evaluate, write_inputs

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Balance(HTMLParser):
    """Follows the tags, and fails where one closes what is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module", params=["segmentation", "classification"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    root = tmp_path_factory.mktemp("report")
    write_inputs(root, request.param)
    run_evaluate(root, request.param)
    folder = root / "reports/evaluation"
    return (folder / "report.html").read_text(encoding="utf-8"), read_json(folder / "metrics.json")


def test_the_page_needs_nothing_else(report: tuple[str, dict]) -> None:
    page, _ = report
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", page)
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert "url(" not in page


def test_the_page_draws_the_models_in_the_colours_of_every_chart(report: tuple[str, dict]) -> None:
    ours, other = MODEL_COLOURS["fine_tuned"], MODEL_COLOURS["baseline"]
    rgb = " ".join(str(int(ours[place : place + 2], 16)) for place in (1, 3, 5))
    assert report[0].count(f"--ours: {ours}; --ours-rgb: {rgb}; --other: {other};") == 2  # by day and in print


def test_the_page_is_well_formed_and_escaped(report: tuple[str, dict]) -> None:
    page, _ = report
    balance = Balance()
    balance.feed(page)
    assert not balance.open
    assert "clip/&lt;b&gt;&amp;1.png" in page
    assert "clip/<b>" not in page


def test_the_page_says_what_it_must(report: tuple[str, dict]) -> None:
    page, metrics = report
    headline = metrics.get("mean_iou", metrics.get("accuracy"))
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", "", page, flags=re.S))
    assert f"{100 * headline:.1f}%" in text
    for said in ("Synthetic images.", "Gain over training from scratch", "Learning curves", "Class by class", "Worst"):
        assert said in text
    for said in (
        "By domain",
        "sides have at least 64 pixels",
        "allowed for clip/*: thumbnails",
        "fine_tuned/model.safetensors",
    ):
        assert said in text
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_every_picture_is_inside(report: tuple[str, dict]) -> None:
    page, metrics = report
    num_pictures = 3 * (4 if "mean_iou" in metrics else 1)
    assert page.count('src="data:image/jpeg;base64,') == num_pictures


@pytest.mark.parametrize("values", [[0.0], [0.0, 1.0], [0.31, 0.34], [3.0, 900.0], [0.0, 1e-9]])
def test_an_axis_holds_its_values_with_few_round_ticks(values: list[float]) -> None:
    axis = Axis.over("loss", values)
    assert axis.low <= min(values)
    assert axis.high >= max(values)
    assert axis.high > axis.low
    assert 2 <= len(axis.ticks) <= 7


def test_epochs_are_whole() -> None:
    assert list(Axis.over("epoch", [1, 2], whole=True).ticks) == [1, 2]
    assert all(tick == int(tick) for tick in Axis.over("epoch", [1, 16], whole=True).ticks)


@pytest.mark.parametrize("values", [[0.3, 1750.0], [1e-9, 1e9], [10.0, 10.0]])
def test_powers_of_ten_hold_all_values_in_few_ticks(values: list[float]) -> None:
    axis = Axis.over_powers("loss", values)
    assert 0 <= axis.share(min(values)) <= axis.share(max(values)) <= 1
    assert (axis.share(axis.low), axis.share(axis.high)) == (0, 1)
    assert 2 <= len(axis.ticks) <= 8


def test_a_loss_that_falls_by_much_goes_up_in_powers_of_ten() -> None:
    rows = [
        {"run": run, "epoch": str(epoch), "train_loss": "", "val_loss": loss, "val_score": ""}
        for run, losses in (("fine_tuned", ("0.9", "0.7")), ("baseline", ("1750", "2.5")))
        for epoch, loss in enumerate(losses, 1)
    ]
    assert ">1,000</text>" in loss_chart(rows)
    assert ">1,000</text>" not in loss_chart(rows[:2])


def test_the_dot_is_on_the_epoch_that_was_kept() -> None:
    """The best on val (the second), but of an adapted model the best mean of val and target (the third)."""
    heights = []
    for targets in (("", "", ""), ("0.1", "0.2", "0.5")):
        scores = zip(("0.3", "0.6", "0.5"), targets, strict=True)
        rows = [
            {"run": "fine_tuned", "epoch": str(epoch), "val_score": val, "target_score": target}
            for epoch, (val, target) in enumerate(scores, 1)
        ]
        chart = score_chart(rows, "Mean IoU")
        places = re.findall(r"[\d.]+,([\d.]+)", re.findall(r'points="([^"]+)"', chart)[0])
        heights.append(places.index(re.findall(r'<circle[^>]+cy="([\d.]+)"', chart)[0]))
    assert heights == [1, 2]


def test_a_line_of_one_point_is_a_dot() -> None:
    axis = Axis.over("x", [0, 1])
    assert "<circle" in line_chart([Line("alone", "ours", [(0, 0.5)])], axis, axis, "a point")
    assert "<circle" not in line_chart([Line("line", "ours", [(0, 0.5), (1, 1)])], axis, axis, "a line")


def test_a_label_is_marked_right_or_wrong(report: tuple[str, dict]) -> None:
    page, metrics = report
    marks = re.findall(r'<span class="(up|down)">([✓✗]) \w+ \d+%</span>', page)
    assert bool(marks) == ("accuracy" in metrics)
    assert set(marks) <= {("up", "✓"), ("down", "✗")}


def test_names_of_lines_do_not_overlap_and_stay_inside() -> None:
    lines = [Line(f"line {i}", "ours", [(0, 0), (1, 0.001 * i)]) for i in range(6)]
    svg = line_chart(lines, Axis.over("x", [0, 1]), Axis.over("y", [0, 1]), "six lines & more")
    heights = sorted(float(found) for found in re.findall(r'class="name ours" x="[\d.]+" y="([\d.]+)"', svg))
    assert min(b - a for a, b in pairwise(heights)) >= 14.9
    assert heights[0] > 0
    assert heights[-1] <= HEIGHT
    assert "six lines &amp; more" in svg
    assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in svg


def test_numbers_for_people() -> None:
    assert percent(0.1234) == "12.3%"
    assert percent(None) == "–"
    assert points(-0.05) == "−5.0"
    assert points(0.123) == "+12.3"
    assert points(-0.0001) == "0.0"
    assert size(5_300_000) == "5.3 MB"
    assert size(1200) == "1.2 kB"
