"""Measurement of candidate and champion by the same code, on the same images and the same machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.data.images.stacks import decode
from graft.data.shards import num_rows, read_rows
from graft.deployment.export.exported_model import ONNX_FILE, ExportedModel, onnx_class_ids, open_exported, session
from graft.deployment.export.latency import time_in_turns
from graft.evaluation.scores import Contender, ScoredImage, Tally, score_rows
from graft.foundation.progress import progress
from graft.inference.image_to_logits import prepare
from graft.metrics.bootstrap import resample
from graft.metrics.confusion import HEADLINES, Marginals, json_number
from graft.metrics.summaries import places, select, stack, total
from graft.models.address import CANDIDATE, CHAMPION
from graft.provenance.promotion.changes import Change, find_changes

if TYPE_CHECKING:
    from graft.params.sections import Params
    from graft.provenance.promotion.frozen_images import FrozenImages

CLASS_SCORE = {
    "segmentation": ("IoU", "iou"),
    "classification": ("recall", "recall"),
    "multilabel": ("average precision", "average_precision"),
}


@dataclass(frozen=True)
class Measured:
    """Scores, size and speed of one model on the test split.

    Attributes:
        score: Headline score, mean IoU, accuracy or mean average precision; None where it is undefined.
        by_class: IoU, recall or average precision by class; None for a class that is in neither truth nor prediction,
            or that only one of two compared models has.
        by_domain: Headline score on the images of each domain.
        num_bytes: Size of the ONNX file with its weights.
        latency_ms: Median time of one image on one thread.
        by_delivery: Headline score on the images of each delivery.
    """

    score: float | None
    by_class: dict[str, float | None]
    by_domain: dict[str, float | None]
    num_bytes: int
    latency_ms: float
    by_delivery: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion side by side.

    Attributes:
        headline: Name of the headline score.
        class_score: Name of the score of a single class.
        num_images: Number of images that were scored.
        class_names: Names of the classes that were scored.
        models: Measurements by `candidate` and `champion`; the latter only if there is one that can be compared.
        lower_bound: Lower end of the confidence interval of `difference`; None if there is nothing to compare.
        difference: Score of the candidate minus that of the champion; None if either is missing.
        not_comparable: Reason why the champion cannot be scored on these images; empty if it can, or there is none.
        changes: Differences by class and by domain, with intervals; none where there is nothing to compare.
    """

    headline: str
    class_score: str
    num_images: int
    class_names: tuple[str, ...]
    models: dict[str, Measured]
    lower_bound: float | None
    difference: float | None
    not_comparable: str
    changes: tuple[Change, ...] = ()


def compare(
    candidate: Path,
    champion: Path | None,
    images: FrozenImages,
    params: Params,
    watch: Callable[[ScoredImage], None] = lambda scored: None,
) -> Comparison:
    """Scores and times both models, on the classes that both have.

    Args:
        candidate: Folder of the exported candidate.
        champion: Folder of the exported champion; None where there is no champion.
        images: Images of the test set.
        params: Params, with how to score and the confidence to reach.
        watch: Function that is shown each image with the predictions of both.

    Raises:
        GraftError: A model or an image cannot be read.
    """
    opened, folders, reason = _open(candidate, champion, params.runtime.num_threads)
    names = [name for name in images.class_names if all(name in model.class_map.names for model in opened.values())]
    tally = _score_both({name: _restrict(model, names) for name, model in opened.items()}, names, images, params, watch)
    times = _time_both(opened, folders, images, params.predict.max_pixels)
    marginals = {name: stack(counted) for name, counted in tally.images.items()}
    models = {name: _measure(marginals[name], tally, names, params.task, folders[name], times[name]) for name in opened}
    headline, class_score = next(iter(HEADLINES[params.task])), CLASS_SCORE[params.task][0]
    found = Comparison(headline, class_score, len(tally.domains), tuple(names), models, None, None, reason)
    return _compare_scores(found, marginals, tally, params) if CHAMPION in models else found


def _open(
    candidate: Path, champion: Path | None, num_threads: int
) -> tuple[dict[str, ExportedModel], dict[str, Path], str]:
    """Opens both models; returns them and their folders by name, and the reason why the champion is left out."""
    opened, folders = {CANDIDATE: open_exported(candidate, num_threads=num_threads)}, {CANDIDATE: candidate}
    if champion is None:
        return opened, folders, ""
    other = open_exported(champion, num_threads=num_threads)
    reason = _difference(opened[CANDIDATE], other)
    if reason:
        return opened, folders, reason
    return opened | {CHAMPION: other}, folders | {CHAMPION: champion}, ""


def _compare_scores(found: Comparison, marginals: Mapping[str, Marginals], tally: Tally, params: Params) -> Comparison:
    """Adds what only two models have: the difference of their scores, its bound, and what changed where."""
    both, attribute = (marginals[CANDIDATE], marginals[CHAMPION]), HEADLINES[params.task][found.headline]
    scores = [found.models[name].score for name in (CANDIDATE, CHAMPION)]
    attributes = (attribute, CLASS_SCORE[params.task][1])
    groups = {"domain": tally.domains} | ({"delivery": tally.deliveries} if len(set(tally.deliveries)) > 1 else {})
    return replace(
        found,
        lower_bound=lower_bound(*both, attribute, params),
        difference=None if None in scores else scores[0] - scores[1],  # type: ignore[operator]
        changes=find_changes(*both, found.class_names, groups, attributes, params),
    )


def score_classes(
    exported: Path, shards: Path, params: Params, class_names: Collection[str]
) -> dict[str, float | None]:
    """Scores an exported model on its own test split; returns the score of each of these classes.

    Raises:
        GraftError: The model, or an image, cannot be read.
    """
    model = open_exported(exported, num_threads=params.runtime.num_threads)
    contenders = {CANDIDATE: _restrict(model, model.class_map.names)}
    tally = Tally(contenders)
    rows = progress(read_rows(shards), "Scoring the new classes", total=num_rows(shards), unit="image")
    for scored in score_rows(rows, contenders, params.evaluate.batch_size, params.predict):
        tally.add(scored)
    values = getattr(total(stack(tally.images[CANDIDATE])), CLASS_SCORE[params.task][1])
    found = dict(zip(model.class_map.names, map(json_number, values), strict=True))
    return {name: found[name] for name in class_names}


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
    if one.spec.task != other.spec.task:
        return "the champion has another task"
    if lost := [name for name in other.class_map.names if name not in one.class_map.names]:
        return f"the champion has other classes: {', '.join(lost)}"
    if list(one.spec.channels) != list(other.spec.channels) or one.spec.max_value != other.spec.max_value:
        return "the champion reads other channels"
    return ""


def _restrict(model: ExportedModel, names: Sequence[str]) -> Contender:
    """The model as a contender that knows these classes alone, in this order: its other logits are left out."""
    if list(model.class_map.names) == list(names):
        return Contender(model.runner, model.spec)  # type: ignore[arg-type]
    places = [model.class_map.names.index(name) for name in names]
    known = model.spec.thresholds
    thresholds = tuple(known[place] for place in places) if known else ()
    spec: Any = SimpleNamespace(**vars(model.spec) | {"num_classes": len(names), "thresholds": thresholds})
    return Contender(lambda batch: model.runner(batch)[:, places], spec)


def _score_both(
    contenders: Mapping[str, Contender],
    names: Sequence[str],
    images: FrozenImages,
    params: Params,
    watch: Callable[[ScoredImage], None],
) -> Tally:
    tally = Tally(contenders)
    rows = progress(images.rows(names), "Scoring candidate and champion", total=len(images), unit="image")
    for scored in score_rows(rows, contenders, params.evaluate.batch_size, params.predict):
        tally.add(scored)
        watch(scored)
    return tally


def _measure(
    images: Marginals, tally: Tally, names: Sequence[str], task: str, folder: Path, latency_ms: float
) -> Measured:
    whole, attribute = total(images), next(iter(HEADLINES[task].values()))

    def by(groups: Sequence[str]) -> dict[str, float | None]:
        rows = places(groups)
        return {name: json_number(getattr(total(select(images, at)), attribute)) for name, at in rows.items()}

    return Measured(
        score=json_number(getattr(whole, attribute)),
        by_class=dict(zip(names, map(json_number, getattr(whole, CLASS_SCORE[task][1])), strict=True)),
        by_domain=by(tally.domains),
        by_delivery=by(tally.deliveries),
        num_bytes=sum(file.stat().st_size for file in folder.glob(f"{ONNX_FILE}*")),
        latency_ms=latency_ms,
    )


def _time_both(
    opened: Mapping[str, ExportedModel], folders: Mapping[str, Path], images: FrozenImages, max_pixels: int
) -> dict[str, float]:
    """Median milliseconds of each model; their runs alternate, so that a busy moment strikes both."""
    first = next(images.rows())
    ready = {
        name: (
            session(folders[name] / ONNX_FILE, 1),
            prepare(decode(first.image, model.spec), model.spec, max_pixels=max_pixels)[None],
        )
        for name, model in opened.items()
    }
    ways = {name: partial(onnx_class_ids, *both) for name, both in ready.items()}
    return time_in_turns(ways, "Timing candidate and champion")
