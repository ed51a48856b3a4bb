"""The attempts for people: a table, and a page with score against latency."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from graft.commands.shrink.goal import Goal, Outcome, frontier
from graft.commands.shrink.origin import Origin
from graft.commands.shrink.shrink import Course
from graft.deployment.export.exported_model import ONNX_FILE
from graft.evaluation.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Line, line_chart
from graft.evaluation.report.report_page import WORDS, open_templates
from graft.foundation.content import replace_file
from graft.models.saved_model import MODEL_COLOURS

FOLDER = Path("reports/shrink")
HEADINGS = ("attempt", "score", "drop", "latency_ms", "times_as_fast", "bytes", "missed", "on_frontier")
START = "the model it began from"


def start_of(outcomes: Sequence[Outcome], origin: Origin) -> Outcome:
    """The model that was shrunk as an outcome of its own; its latency is the median of those beside each attempt."""
    milliseconds = statistics.median(one.origin_ms for one in outcomes)
    score, num_bytes = outcomes[0].origin_score, (origin.folder / ONNX_FILE).stat().st_size
    return Outcome(START, origin.digest, score, milliseconds, score, milliseconds, num_bytes)


def rows_of(outcomes: Sequence[Outcome], origin: Origin, goal: Goal) -> list[dict[str, str]]:
    """The table: the model that was shrunk, then the attempts in order, with the limits that each misses."""
    start = start_of(outcomes, origin)
    best = frontier([start, *outcomes])
    rows = []
    for one in (start, *outcomes):
        numbers = (
            f"{one.score:.4f}",
            f"{one.drop:+.4f}",
            f"{one.latency_ms:.2f}",
            f"{one.speed:.2f}",
            str(one.num_bytes),
        )
        texts = (one.name, *numbers, " ".join(goal.misses(one)), "yes" if one in best else "")
        rows.append(dict(zip(HEADINGS, texts, strict=True)))
    return rows


def write_page(course: Course, origin: Origin, goal: Goal, headline: str, folder: Path = FOLDER) -> Path:
    """Writes `shrink.csv` and `shrink.html`, each in one step; returns the page.

    Args:
        course: Fate of the attempts; at least one ended well.
        origin: Model that was shrunk.
        goal: Limits to reach.
        headline: Name of the score.
        folder: Folder to write to.
    """
    rows, winner = rows_of(course.outcomes, origin, goal), goal.winner(course.outcomes)
    with replace_file(folder / "shrink.csv") as pending, pending.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADINGS)
        writer.writeheader()
        writer.writerows(rows)
    text = (
        open_templates(Path(__file__).parent)
        .get_template("shrink.html.j2")
        .render(
            origin=origin.said,
            headline=WORDS[headline],
            rows=rows,
            winner=winner,
            nearest=goal.nearest(course.outcomes),
            problems=course.problems,
            left=course.left,
            chart=draw(course.outcomes, origin, winner, WORDS[headline]),
            colours=MODEL_COLOURS,
        )
    )
    page = folder / "shrink.html"
    with replace_file(page) as pending:
        pending.write_text(text, encoding="utf-8")
    return page


def draw(outcomes: Sequence[Outcome], origin: Origin, winner: Outcome | None, score: str) -> Markup:
    """Draws score against latency: the frontier as a line, attempts as dots with the number of their row."""
    start = start_of(outcomes, origin)
    both = [start, *outcomes]
    lines = [Line("", "guide", [(one.latency_ms, one.score) for one in frontier(both)])]
    lines += [Line("", "ours" if one == winner else "other", [(one.latency_ms, one.score)]) for one in both]
    x = Axis.over("milliseconds an image", [0.0, *(one.latency_ms for one in both)])
    y = Axis.over(score, [one.score for one in both], percent=True)
    chart = line_chart(lines, x, y, f"{score} on val against latency, of each attempt")
    return chart.removesuffix("</svg>") + _numbers(both, x, y) + Markup("</svg>")


def _numbers(both: Sequence[Outcome], x: Axis, y: Axis) -> Markup:
    """The number of each dot; from left to right above and below in turn, so that neighbours keep apart."""
    parts = Markup("")
    ordered = sorted(enumerate(both), key=lambda each: each[1].latency_ms)
    for turn, (number, one) in enumerate(ordered):
        across = LEFT + x.share(one.latency_ms) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y.share(one.score) * (HEIGHT - TOP - BOTTOM) + (17 if turn % 2 else -9)
        text = Markup('<text class="name" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
        parts += text.format(across, down, number or "start")
    return parts
