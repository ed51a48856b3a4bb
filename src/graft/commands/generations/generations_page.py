"""`generations.html`: the matrix of a line of models as one page that needs no other file."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from markupsafe import Markup

from graft.commands.generations.matrix import ClassFall, Matrix
from graft.evaluation.report.charts import Axis, Line, line_chart
from graft.evaluation.report.report_page import WORDS, open_templates
from graft.foundation.content import replace_file
from graft.models.saved_model import MODEL_COLOURS
from graft.provenance.tracking.pipeline_run import SHOWN_BY_CLASS

PAGE = Path("reports/generations.html")
MOST_CLASSES = 24  # that fit on a screen


def write_page(matrix: Matrix, title: str, path: Path = PAGE) -> Path:
    """Writes the page.

    Args:
        matrix: Matrix of the scores.
        title: Models that are compared, in words.
        path: Path of the page.
    """
    page, fallen = open_templates(Path(__file__).parent).get_template("generations.html.j2"), class_rows(matrix)
    text = page.render(
        title=title,
        matrix=matrix,
        headline=WORDS[matrix.headline],
        class_score=WORDS[SHOWN_BY_CLASS[matrix.headline]],
        fallen=fallen,
        compared=[name for name in matrix.deliveries if any(name in falls for falls in fallen.values())],
        chart=draw_curves(matrix) if len(matrix.generations) > 1 else None,
        colours=MODEL_COLOURS,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as pending:
        pending.write_text(text, encoding="utf-8")
    return path


def class_rows(matrix: Matrix) -> dict[str, dict[str, ClassFall]]:
    """The falls of each class by delivery, the class that fell furthest first; no more than `MOST_CLASSES`."""
    rows: dict[str, dict[str, ClassFall]] = {}
    for fall in matrix.class_falls():
        rows.setdefault(fall.class_name, {})[fall.delivery] = fall
    return dict(islice(rows.items(), MOST_CLASSES))


def draw_curves(matrix: Matrix) -> Markup:
    """Draws the score on each delivery after each generation; the newest delivery stands out."""
    *_, newest = matrix.deliveries
    lines = []
    for name in matrix.deliveries:
        points = [(float(place), score) for place, score in matrix.curve(name)]
        if points:
            lines.append(Line(name, "ours" if name == newest else "other", points, [0]))
    x = Axis.over("generation", [1.0, float(len(matrix.generations))], whole=True)
    y = Axis.over(WORDS[matrix.headline], [score for line in lines for _, score in line.points], percent=True)
    return line_chart(lines, x, y, f"{WORDS[matrix.headline]} on each delivery after each generation")
