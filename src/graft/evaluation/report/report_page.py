"""`report.html`: one page that needs nothing else, with every figure the decision to ship a model rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from graft.evaluation.report.charts import Axis, Line, line_chart
from graft.evaluation.report.curve_charts import loss_chart, read_curves, score_chart
from graft.evaluation.report.evidence import Evidence
from graft.evaluation.report.group_charts import read_groups
from graft.evaluation.report.results import CLASS_SCORE_SHOWN, MODEL_NAMES
from graft.evaluation.report.tables import shares_of_truth
from graft.metrics.bootstrap import LEVEL_PERCENT
from graft.metrics.confusion import HEADLINES, json_number

WORDS = {
    "mean_iou": "Mean IoU",
    "pixel_accuracy": "Pixel accuracy",
    "frequency_weighted_iou": "Frequency-weighted IoU",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "iou": "IoU",
    "dice": "Dice",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "calibration_error": "Calibration error",
    "mean_boundary_iou": "Mean boundary IoU",
    "boundary_iou": "Boundary IoU",
}
MAX_CLASSES_IN_MATRIX = 40
MAX_CLASSES_WITH_NUMBERS = 20


def write_report(
    path: Path, evidence: Evidence, curves: Path, validation: Mapping[str, Any], statistics: Mapping[str, Any]
) -> None:
    """Writes the page.

    Args:
        path: Of the page.
        evidence: What evaluate found.
        curves: The folder with `curves.csv` and `parameter_groups.csv` of fine-tune.
        validation: `validation.json` of validate.
        statistics: `statistics.json` of augment.
    """
    learning, headline = read_curves(curves), next(iter(HEADLINES[evidence.task]))
    best, worst = evidence.examples.shown()
    text = (
        _pages()
        .get_template("report.html.j2")
        .render(
            evidence=evidence,
            metrics=evidence.metrics,
            baseline=evidence.metrics.get("baseline"),
            gain=evidence.metrics.get("gain"),
            headline=headline,
            others=list(HEADLINES[evidence.task])[1:],
            words=WORDS,
            level=LEVEL_PERCENT,
            model=_model_name(evidence),
            is_segmentation=evidence.task == "segmentation",
            classes=_classes(evidence),
            class_score=CLASS_SCORE_SHOWN[evidence.task],
            matrix=_matrix(evidence),
            losses=loss_chart(learning),
            groups=read_groups(curves),
            scores=score_chart(learning, WORDS[headline]),
            reliability=_reliability(evidence),
            best=best,
            worst=worst,
            validation=validation,
            shares=_shares(evidence, statistics),
            statistics=statistics,
        )
    )
    path.write_text(text, encoding="utf-8")


def _pages() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    pages.filters |= {"percent": percent, "points": points, "count": "{:,}".format, "size": size, "sentence": sentence}
    return pages


def percent(value: float | None, digits: int = 1) -> str:
    """0.5 as 50.0%; a dash where there is no value."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def points(value: float | None) -> str:
    """0.123 as +12.3, in percentage points, with a true minus sign."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f}".replace("-", "−")
    return text[1:] if text[1:] == "0.0" else text


def sentence(text: str) -> str:
    """A phrase with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def size(num_bytes: int) -> str:
    """A number of bytes for a person."""
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.1f} kB"


def _model_name(evidence: Evidence) -> str:
    options = dict(evidence.contenders["fine_tuned"].spec.model)
    name = options.pop("name")
    detail = ", ".join(str(value) for value in options.values() if isinstance(value, str))
    return f"{name} ({detail})" if detail else name


def _classes(evidence: Evidence) -> list[dict[str, Any]]:
    """A row for each class: colour, scores of both models, how much of the truth it is."""
    truth = evidence.tally.confusion["fine_tuned"].sum(axis=1)
    baseline = evidence.metrics.get("baseline")
    shown = CLASS_SCORE_SHOWN[evidence.task]
    known = ("iou", "boundary_iou", "recall", "precision", "dice", "f1")
    columns = [name for name in known if name in evidence.metrics]
    return [
        {
            "name": name,
            "color": "rgb({}, {}, {})".format(*color),
            "score": evidence.metrics[shown][name],
            "baseline": baseline[shown][name] if baseline else None,
            "columns": {column: evidence.metrics[column][name] for column in columns if column != shown},
            "share": float(truth[place] / truth.sum()),
        }
        for place, (name, color) in enumerate(zip(evidence.class_map.names, evidence.class_map.colors, strict=True))
    ]


def _matrix(evidence: Evidence) -> dict[str, Any] | None:
    """Shares of each actual class, for a table of squares; None where there are too many classes to be read."""
    names = evidence.class_map.names
    if len(names) > MAX_CLASSES_IN_MATRIX:
        return None
    rows = [[json_number(share) for share in row] for row in shares_of_truth(evidence.tally.confusion["fine_tuned"])]
    return {
        "names": names,
        "rows": list(zip(names, rows, strict=True)),
        "numbers": len(names) <= MAX_CLASSES_WITH_NUMBERS,
    }


def _reliability(evidence: Evidence) -> Markup:
    lines = [Line("perfect", "guide", [(0.0, 0.0), (1.0, 1.0)])]
    for name, style in (("baseline", "other"), ("fine_tuned", "ours")):
        contender = evidence.contenders.get(name)
        bins = contender.calibration.bins() if contender and contender.calibration else []
        placed = [(one["confidence"], one["accuracy"]) for one in bins]
        lines += [Line(MODEL_NAMES[name], style, placed, range(len(placed)))] if placed else []
    x, y = (Axis.over(title, [0.0, 1.0], percent=True) for title in ("confidence", "share that is right"))
    return line_chart(lines, x, y, "Share of predictions that are right, by confidence")


def _shares(evidence: Evidence, statistics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each class: its share of the training data before and after augmentation, and of this split."""
    before, after = (_fractions(statistics[f"class_pixels_{when}"]) for when in ("before", "after"))
    here = _fractions(evidence.tally.confusion["fine_tuned"].sum(axis=1).tolist())
    largest = max(*before, *after, *here, 1e-9)
    return [
        {
            "name": row["name"],
            "color": row["color"],
            "shares": [{"value": value, "width": 100 * value / largest} for value in values],
        }
        for row, values in zip(_classes(evidence), zip(before, after, here, strict=True), strict=True)
    ]


def _fractions(counts: Sequence[int]) -> list[float]:
    whole = max(1, sum(counts))
    return [count / whole for count in counts]
