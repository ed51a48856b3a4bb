"""Measurement of candidate and champion by the same code, on the same images and the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.data.shards import num_rows, read_rows
from graft.deployment.export.exported_model import ONNX_FILE, ExportedModel, onnx_class_ids, open_exported, session
from graft.deployment.export.latency import NUM_RUNS, NUM_WARM_UPS, first_image
from graft.evaluation.scores import Contender, Tally, score_rows
from graft.foundation.progress import progress
from graft.metrics.bootstrap import resample
from graft.metrics.confusion import HEADLINES, Marginals, json_number
from graft.metrics.summaries import select, stack, total
from graft.models.address import CANDIDATE, CHAMPION

if TYPE_CHECKING:
    from graft.params.sections import Params

CLASS_SCORE = {"segmentation": ("IoU", "iou"), "classification": ("recall", "recall")}


@dataclass(frozen=True)
class Measured:
    """Scores, size and speed of one model on the test split.

    Attributes:
        score: Headline score, mean IoU or accuracy; None where it is undefined.
        by_class: IoU or recall by class; None for a class that is in neither truth nor prediction.
        by_domain: Headline score on the images of each domain.
        num_bytes: Size of the ONNX file with its weights.
        latency_ms: Median time of one image on one thread.
    """

    score: float | None
    by_class: dict[str, float | None]
    by_domain: dict[str, float | None]
    num_bytes: int
    latency_ms: float


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion side by side.

    Attributes:
        headline: Name of the headline score.
        class_score: Name of the score of a single class.
        num_images: Number of images in the split.
        models: Measurements by `candidate` and `champion`; the latter only if there is one that can be compared.
        lower_bound: Lower end of the confidence interval of `difference`; None if there is nothing to compare.
        difference: Score of the candidate minus that of the champion; None if either is missing.
        not_comparable: Reason why the champion cannot be scored on these images; empty if it can, or there is none.
    """

    headline: str
    class_score: str
    num_images: int
    models: dict[str, Measured]
    lower_bound: float | None
    difference: float | None
    not_comparable: str


def compare(candidate: Path, champion: Path | None, images: Path, params: Params) -> Comparison:
    """Scores and times both models.

    Args:
        candidate: Folder of the exported candidate.
        champion: Folder of the exported champion; None where there is no champion.
        images: Shards of the test split.
        params: Params, with how to score and the confidence to reach.

    Raises:
        GraftError: A model or an image cannot be read.
    """
    opened = {CANDIDATE: open_exported(candidate, num_threads=params.runtime.num_threads)}
    folders, reason = {CANDIDATE: candidate}, ""
    if champion is not None:
        other = open_exported(champion, num_threads=params.runtime.num_threads)
        reason = _difference(opened[CANDIDATE], other)
        if not reason:
            opened[CHAMPION], folders[CHAMPION] = other, champion
    tally = _score_both(opened, images, params)
    times = _time_both(opened, folders, images, params.predict.max_pixels)
    headline = next(iter(HEADLINES[params.task]))
    attribute = HEADLINES[params.task][headline]
    marginals = {name: stack(counted) for name, counted in tally.images.items()}
    models = {
        name: _measure(marginals[name], tally, opened[name], attribute, folders[name], times[name]) for name in opened
    }
    lower = lower_bound(marginals[CANDIDATE], marginals[CHAMPION], attribute, params) if CHAMPION in models else None
    scores = [models[name].score for name in models]
    difference = scores[0] - scores[1] if len(scores) == 2 and None not in scores else None  # type: ignore[operator]
    class_score = CLASS_SCORE[params.task][0]
    return Comparison(headline, class_score, len(tally.domains), models, lower, difference, reason)


def lower_bound(candidate: Marginals, champion: Marginals, attribute: str, params: Params) -> float | None:
    """The bound that the difference of two scores exceeds with `promotion.confidence`: a paired bootstrap over images.

    Args:
        candidate: Counts of each image for the candidate, arrays [N, K].
        champion: Counts of the same images, in the same order, for the champion.
        attribute: Name of the score, an attribute of `Marginals`.
        params: Params, with confidence, number of draws and seed.

    Returns:
        The (1 - confidence) quantile of the differences, each over the same draw of images for both models; None where
        no draw has a value.
    """
    asked, seed = params.promotion, params.seed
    draws = [getattr(resample(one, asked.bootstrap_samples, seed), attribute) for one in (candidate, champion)]
    differences = draws[0] - draws[1]
    differences = differences[~np.isnan(differences)]
    return float(np.quantile(differences, 1 - asked.confidence)) if differences.size else None


def _difference(one: ExportedModel, other: ExportedModel) -> str:
    """Says why two models cannot be scored on the same rows; empty where they can."""
    if one.class_map.names != other.class_map.names or one.spec.task != other.spec.task:
        return "the champion has other classes"
    if list(one.spec.channels) != list(other.spec.channels) or one.spec.max_value != other.spec.max_value:
        return "the champion reads other channels"
    return ""


def _score_both(opened: Mapping[str, ExportedModel], images: Path, params: Params) -> Tally:
    contenders: dict[str, Any] = {name: Contender(model.runner, model.spec) for name, model in opened.items()}  # type: ignore[arg-type]
    tally = Tally(contenders)
    rows = progress(read_rows(images), "Scoring candidate and champion", total=num_rows(images), unit="image")
    for scored in score_rows(rows, contenders, params.evaluate.batch_size, params.predict):
        tally.add(scored)
    return tally


def _measure(
    images: Marginals, tally: Tally, model: ExportedModel, attribute: str, folder: Path, latency_ms: float
) -> Measured:
    whole, by_class = total(images), CLASS_SCORE[model.spec.task][1]
    rows = {domain: [i for i, at in enumerate(tally.domains) if at == domain] for domain in sorted(set(tally.domains))}
    return Measured(
        score=json_number(getattr(whole, attribute)),
        by_class=dict(zip(model.class_map.names, map(json_number, getattr(whole, by_class)), strict=True)),
        by_domain={name: json_number(getattr(total(select(images, at)), attribute)) for name, at in rows.items()},
        num_bytes=sum(file.stat().st_size for file in folder.glob(f"{ONNX_FILE}*")),
        latency_ms=latency_ms,
    )


def _time_both(
    opened: Mapping[str, ExportedModel], folders: Mapping[str, Path], images: Path, max_pixels: int
) -> dict[str, float]:
    """Median milliseconds of each model; their runs alternate, so that a busy moment strikes both."""
    ready = {
        name: (session(folders[name] / ONNX_FILE, 1), first_image(images, model.spec, max_pixels)[None])  # type: ignore[arg-type]
        for name, model in opened.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in ready}
    for _ in progress(range(NUM_WARM_UPS + NUM_RUNS), "Timing candidate and champion", unit="run"):
        for name, (runner, image) in ready.items():
            start = time.perf_counter()
            onnx_class_ids(runner, image)
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(times[NUM_WARM_UPS:]) for name, times in seconds.items()}
