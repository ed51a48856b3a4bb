"""The content of metrics.json, and the tables and plots that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.evaluation.report.plots import plot_classes, plot_confusion
from graft.evaluation.report.tables import write_classes, write_confusion, write_label_counts
from graft.evaluation.scores import Contender, Tally
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.foundation.errors import GraftError
from graft.metrics.confusion import HEADLINES
from graft.metrics.summaries import CLASS_SCORES, GAINS, gain_over, stack, summarise

if TYPE_CHECKING:
    from graft.params.sections import Evaluate

# The score by class that plots show: for classification recall, the accuracy on the images of that class.
CLASS_SCORE_SHOWN = {"segmentation": "iou", "classification": "recall", "multilabel": "average_precision"}
TITLES = {"iou": "IoU", "recall": "Recall", "average_precision": "Average precision"}


def compute_metrics(
    tally: Tally, contenders: Mapping[str, Contender], classes: ClassMap, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """The scores of the fine-tuned model; those of each other under its name, the difference under its key of `GAINS`.

    Raises:
        GraftError: Not one pixel of the split is labelled.
    """
    if not tally.confusion["fine_tuned"].any():
        raise GraftError(
            f"no pixel of the {evaluate.split} split is labelled",
            rule="scores need labelled pixels",
            remedy="check the classes of ingest.source: every value of the masks became 'ignored'",
        )
    images = {name: stack(of_images) for name, of_images in tally.images.items()}
    draws: dict[str, Any] = {"task": classes.task, "num_samples": evaluate.bootstrap_samples, "seed": seed}
    found = {
        name: summarise(images[name], tally.domains, tally.deliveries, names=classes.names, **draws)
        | contender.findings()
        | {"num_images": len(tally.domains)}
        for name, contender in contenders.items()
    }
    metrics = found["fine_tuned"] | {
        "split": evaluate.split,
        "selected_on_this_split": evaluate.split == "val",
        "test_time": evaluate.test_time.model_dump(),
        "synthetic": classes.synthetic,
    }
    for name, gain in GAINS.items():
        if name in found:
            metrics |= {name: found[name], gain: gain_over(images["fine_tuned"], images[name], **draws)}
    return metrics


def flatten_headlines(metrics: Mapping[str, Any], task: str) -> dict[str, float]:
    """The headline scores as one flat dict: `mean_iou`, `baseline_mean_iou`, `gain_mean_iou` and so on."""
    flat: dict[str, float] = {}
    others = {f"{key}_": metrics[key] for pair in GAINS.items() for key in pair if key in metrics}
    for prefix, part in {"": metrics, **others}.items():
        for name in (*HEADLINES[task], "mean_boundary_iou", "calibration_error"):
            value = part.get(name)
            flat |= {} if value is None else {prefix + name: value}
    return flat


def write_headline(path: Path, metrics: Mapping[str, Any], task: str) -> None:
    """Writes the few scores that `dvc metrics` and `dvc exp show` compare: headlines, other models, gains."""
    first, *others = HEADLINES[task]
    flat = flatten_headlines(metrics, task)
    names = (first, *(f"{key}_{first}" for pair in GAINS.items() for key in pair), *others)
    write_json(path, {name: flat[name] for name in names if name in flat})


def write_tables(out: Path, tally: Tally, metrics: Mapping[str, Any], classes: ClassMap) -> None:
    """Writes confusion.csv and classes.csv, and the same as PNG; of several labels an image no confusion.png.

    In classes.csv `score` and `baseline_score` are the score that plots show, whatever the task.
    """
    shown, baseline = CLASS_SCORE_SHOWN[classes.task], metrics.get("baseline")
    columns = {"score": metrics[shown]} | ({"baseline_score": baseline[shown]} if baseline else {})
    names = classes.names
    scores = {score: metrics[score] for score in CLASS_SCORES[classes.task]}
    write_classes(out / "classes.csv", columns | scores, names)
    if classes.task == "multilabel":
        write_label_counts(out / "confusion.csv", tally.confusion["fine_tuned"], names)
    else:
        write_confusion(out / "confusion.csv", tally.confusion["fine_tuned"], names)
        plot_confusion(out / "confusion.png", tally.confusion["fine_tuned"], names)
    by_run = {"fine_tuned": metrics[shown]} | ({"baseline": baseline[shown]} if baseline else {})
    bars = {run: [by_class[name] for name in names] for run, by_class in by_run.items()}
    plot_classes(out / "classes.png", TITLES[shown], names, bars)
