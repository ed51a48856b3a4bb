"""`report.html`: one page that needs no other file, with every figure that the decision to ship a model rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from graft.evaluation.report.charts import Axis, Line, line_chart
from graft.evaluation.report.examples import Examples
from graft.evaluation.report.results import CLASS_SCORE_SHOWN
from graft.evaluation.report.tables import shares_of_truth
from graft.evaluation.report.training_history import (
    STYLES,
    TARGET_SCORE,
    loss_chart,
    read_curves,
    read_groups,
    read_rungs,
    score_chart,
)
from graft.evaluation.scores import Contender, Tally
from graft.foundation.class_map import ClassMap
from graft.metrics.bootstrap import LEVEL_PERCENT
from graft.metrics.confusion import HEADLINES, json_number
from graft.models.saved_model import MODEL_COLOURS, MODEL_NAMES

if TYPE_CHECKING:
    from graft.params.sections import Evaluate

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
    "mean_average_precision": "Mean average precision",
    "average_precision": "Average precision",
    "micro_f1": "Micro F1",
    "calibration_error": "Calibration error",
    "mean_boundary_iou": "Mean boundary IoU",
    "boundary_iou": "Boundary IoU",
}
MAX_CLASSES_IN_MATRIX = 40
MAX_CLASSES_WITH_NUMBERS = 20


@dataclass(frozen=True)
class ReportContent:
    """The content of the report.

    Attributes:
        metrics: The content of metrics.json.
        class_map: The classes.
        contenders: The models by name, `fine_tuned` and those it is compared with, their calibration counted.
        tally: The counts of the split.
        examples: The best and the worst images of the split.
        settings: The section `evaluate` of params.yaml.
        inputs: Dicts of `file`, `sha256` and `num_bytes`, one for each file that was read.
    """

    metrics: Mapping[str, Any]
    class_map: ClassMap
    contenders: Mapping[str, Contender]
    tally: Tally
    examples: Examples
    settings: Evaluate
    inputs: Sequence[Mapping[str, Any]]

    @property
    def task(self) -> str:
        """Task of the models: `segmentation` or `classification`."""
        return self.class_map.task


def write_report(
    path: Path, content: ReportContent, curves: Path, validation: Mapping[str, Any], statistics: Mapping[str, Any]
) -> None:
    """Writes the page.

    Args:
        path: Path of the page.
        content: Content of the report.
        curves: The folder with `curves.csv` and `parameter_groups.csv` of fine-tune.
        validation: The content of `validation.json` of validate.
        statistics: The content of `statistics.json` of augment.
    """
    values = _found(content) | _learned(content, curves)
    values |= {"validation": validation, "statistics": statistics, "shares": _shares(content, statistics)}
    text = (
        open_templates()
        .get_template("report.html.j2")
        .render(content=content, colours=MODEL_COLOURS, words=WORDS, **values)
    )
    path.write_text(text, encoding="utf-8")


def _found(content: ReportContent) -> dict[str, Any]:
    """Values of the page about the scores."""
    headline, *others = HEADLINES[content.task]
    best, worst = content.examples.best_and_worst()
    return {
        "metrics": content.metrics,
        "baseline": content.metrics.get("baseline"),
        "gain": content.metrics.get("gain"),
        "headline": headline,
        "others": others,
        "level": LEVEL_PERCENT,
        "model": _model_name(content),
        "is_segmentation": content.task == "segmentation",
        "has_labels": content.task == "multilabel",
        "thresholds": content.contenders["fine_tuned"].spec.thresholds,
        "classes": _classes(content),
        "class_score": CLASS_SCORE_SHOWN[content.task],
        "matrix": _matrix(content),
        "reliability": _reliability(content),
        "best": best,
        "worst": worst,
    }


def _learned(content: ReportContent, curves: Path) -> dict[str, Any]:
    """Values of the page about the trainings."""
    rows = read_curves(curves)
    scores = score_chart(rows, WORDS[next(iter(HEADLINES[content.task]))])
    learned = {"losses": loss_chart(rows), "scores": scores, "groups": read_groups(curves)}
    return learned | {"rungs": read_rungs(rows), "by_target": any(row.get(TARGET_SCORE) for row in rows)}


def open_templates(*folders: Path) -> Environment:
    """The templates of the report and of other folders, with the filters that they use."""
    pages = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    pages.filters |= {"percent": percent, "points": points, "count": "{:,}".format, "size": size, "sentence": sentence}
    pages.filters["channels"] = channels
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


def channels(colour: str) -> str:
    """#0f766e as `15 118 110`, red, green and blue as CSS takes them."""
    return " ".join(map(str, bytes.fromhex(colour.removeprefix("#"))))


def sentence(text: str) -> str:
    """A phrase with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def size(num_bytes: int) -> str:
    """A number of bytes for a person."""
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.1f} kB"


def _model_name(content: ReportContent) -> str:
    options = dict(content.contenders["fine_tuned"].spec.model)
    name = options.pop("name")
    detail = ", ".join(str(value) for value in options.values() if isinstance(value, str))
    return f"{name} ({detail})" if detail else name


def _classes(content: ReportContent) -> list[dict[str, Any]]:
    """A row for each class: colour, scores of both models, how much of the truth it is."""
    truth = _true_counts(content)
    whole = content.metrics["num_images"] if content.task == "multilabel" else truth.sum()
    baseline = content.metrics.get("baseline")
    shown = CLASS_SCORE_SHOWN[content.task]
    known = ("iou", "boundary_iou", "average_precision", "recall", "precision", "dice", "f1")
    columns = [name for name in known if name in content.metrics]
    return [
        {
            "name": name,
            "color": "rgb({}, {}, {})".format(*color),
            "score": content.metrics[shown][name],
            "baseline": baseline[shown][name] if baseline else None,
            "columns": {column: content.metrics[column][name] for column in columns if column != shown},
            "share": float(truth[place] / whole),
        }
        for place, (name, color) in enumerate(zip(content.class_map.names, content.class_map.colors, strict=True))
    ]


def _true_counts(content: ReportContent) -> np.ndarray:
    """How many pixels, or images, are truly of each class, [K]."""
    counts = content.tally.confusion["fine_tuned"]
    return counts[:, 1].sum(axis=1) if content.task == "multilabel" else counts.sum(axis=1)


def _matrix(content: ReportContent) -> dict[str, Any] | None:
    """Shares of each actual class, for a table of squares.

    None where there are too many classes to be read, or an image may have several, so that none is taken for another.
    """
    names = content.class_map.names
    if len(names) > MAX_CLASSES_IN_MATRIX or content.task == "multilabel":
        return None
    rows = [[json_number(share) for share in row] for row in shares_of_truth(content.tally.confusion["fine_tuned"])]
    return {
        "names": names,
        "rows": list(zip(names, rows, strict=True)),
        "numbers": len(names) <= MAX_CLASSES_WITH_NUMBERS,
    }


def _reliability(content: ReportContent) -> Markup:
    lines = [Line("perfect", "guide", [(0.0, 0.0), (1.0, 1.0)])]
    for name, style in reversed(STYLES.items()):
        contender = content.contenders.get(name)
        bins = contender.calibration.bins() if contender and contender.calibration else []
        placed = [(one["confidence"], one["accuracy"]) for one in bins]
        lines += [Line(MODEL_NAMES[name], style, placed, range(len(placed)))] if placed else []
    x, y = (Axis.over(title, [0.0, 1.0], percent=True) for title in ("confidence", "share that is right"))
    return line_chart(lines, x, y, "Share of predictions that are right, by confidence")


def _shares(content: ReportContent, statistics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each class: its share of the training data before and after augmentation, and of this split."""
    before, after = (_fractions(statistics[f"class_pixels_{when}"]) for when in ("before", "after"))
    here = _fractions(_true_counts(content).tolist())
    largest = max(*before, *after, *here, 1e-9)
    return [
        {
            "name": row["name"],
            "color": row["color"],
            "shares": [{"value": value, "width": 100 * value / largest} for value in values],
        }
        for row, values in zip(_classes(content), zip(before, after, here, strict=True), strict=True)
    ]


def _fractions(counts: Sequence[int]) -> list[float]:
    whole = max(1, sum(counts))
    return [count / whole for count in counts]
