"""Scores candidates on the training data of the target, without fine-tuning, and recommends one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.foundation.choices import Choice, check_task, resolve
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.inference.runtime import use_runtime
from graft.models.architectures import build
from graft.models.widths import narrow
from graft.provenance.stages import INTERIM
from graft.selection.candidate_features import CACHE, LoadedCandidate, PointFeatures, extract_features, load_candidate
from graft.selection.candidates import Candidate
from graft.selection.cost import Cost, cost_of
from graft.selection.missing_weights import absence, published_score
from graft.selection.points import Points, sample_points
from graft.selection.ranking import RankedCandidate, agreements, common_scores, rank, recommendation
from graft.selection.transferability import READS, SCORES
from graft.selection.transferability import TASKS as SCORE_TASKS

if TYPE_CHECKING:
    from graft.models.pins import Downloader
    from graft.params.sections import Params


@dataclass
class Selection:
    """Result of a selection.

    Attributes:
        ordered: The scored candidates, best first.
        unusable: Reasons why others were not scored, by name; most often a file that is missing.
        scores: Names of the scores.
        facts: Facts on the data they were computed on.
        agreements: Weighted Kendall correlations with fine-tuning, by score; empty before `verify`.
        trained: Sentence on how the best were fine-tuned; empty before `verify`.
    """

    ordered: list[RankedCandidate]
    unusable: dict[str, str]
    scores: list[str]
    facts: dict[str, Any]
    agreements: dict[str, float | None] = field(default_factory=dict)
    trained: str = ""

    @property
    def recommendation(self) -> str:
        """The candidate to take and the reason, in words."""
        return recommendation(self.ordered, self.scores)

    def compare(self, trained: str) -> None:
        """Records how far the scores agree with the verified candidates, and how these were trained."""
        self.trained = trained
        self.agreements = agreements(self.ordered, self.scores)


def resolve_scores(names: Sequence[str], task: str) -> list[Choice]:
    """Resolves the scores of these names; without names, all that serve the task.

    Raises:
        GraftError: There is no such score, or it is not for the task.
    """
    chosen = [resolve(SCORES, name, where="--scores") for name in (names or SCORES)]
    if names:
        for score in chosen:
            check_task(score, SCORE_TASKS, task, where="--scores")
    return [score for score in chosen if task in SCORE_TASKS[score.name]]


def select(
    candidates: Sequence[Candidate],
    scores: Sequence[Choice],
    params: Params,
    download: Downloader,
    *,
    interim: Path = Path(INTERIM),
    cache: Path = CACHE,
    num_images: int = 512,
    pixels_per_class: int | None = None,
) -> Selection:
    """Scores every candidate whose weights are on this machine.

    Args:
        candidates: Pairs of architecture and weights.
        scores: Scores, as `resolve_scores` returns them.
        params: Params of the project, for task, seed, resize rule and runtime.
        download: Function that brings the files of a registered model here.
        interim: Folder that ingest wrote.
        cache: Folder that keeps features.
        num_images: Largest number of training images to look at.
        pixels_per_class: Number of pixels drawn of each class in each image, for segmentation; by default as many as
            make 8,000 in all.

    Raises:
        GraftError: There is no data yet, or the weights of every candidate are missing.
    """
    classes = _classes(interim)
    use_runtime(params.runtime)
    unusable = {candidate.name: why for candidate in candidates if (why := _unusable(candidate)) is not None}
    present = [candidate for candidate in candidates if candidate.name not in unusable]
    if not present:
        raise _nothing_to_score(unusable)
    points = sample_points(interim / "train", classes, params, num_images=num_images, pixels_per_class=pixels_per_class)
    found = _score(present, scores, points, params, download, cache, unusable)
    names = [score.name for score in scores]
    if not found:
        raise _nothing_to_score(unusable)
    _check_common(found, names)
    return Selection(rank(found, names), unusable, names, _facts(points, params))


def _score(
    present: Sequence[Candidate],
    scores: Sequence[Choice],
    points: Points,
    params: Params,
    download: Downloader,
    cache: Path,
    unusable: dict[str, str],
) -> list[RankedCandidate]:
    """Scores and costs of every candidate that can be loaded; reasons why others cannot are added to `unusable`."""
    found: list[RankedCandidate] = []
    costs: dict[str, Cost] = {}
    for candidate in progress(present, "Scoring candidates", unit="candidate"):
        try:
            loaded = load_candidate(candidate, points, download)
        except GraftError as error:
            unusable[candidate.name] = f"cannot be used: {error}"
            continue
        architecture = str(candidate.model.as_dict())
        if architecture not in costs:  # measured once for all of its weights, so that noise does not separate them
            costs[architecture] = _cost(loaded, points, params)
        known = extract_features(loaded, points, candidate.name, params.runtime, cache=cache)
        values = _scores(known, points, scores, candidate.name)
        found.append(RankedCandidate(candidate, costs[architecture], published_score(candidate), values))
    return found


def _classes(interim: Path) -> ClassMap:
    if not (interim / "class_map.json").is_file() or not (interim / "train").is_dir():
        raise GraftError(
            "there are no training images yet",
            where=interim / "train",
            rule="candidates are scored on your own training data",
            remedy="run dvc repro validate (or dvc repro augment, which --verify needs)",
        )
    return ClassMap.read(interim / "class_map.json")


def _scores(known: PointFeatures, points: Points, scores: Sequence[Choice], name: str) -> dict[str, float]:
    """Computes each score whose input the candidate has."""
    read = {score.name: getattr(known, READS[score.name]) for score in scores}
    return {
        score.name: score(read[score.name], points.labels)
        for score in progress(scores, f"Scores of {name}", unit="score")
        if read[score.name] is not None
    }


def _check_common(found: Sequence[RankedCandidate], names: Sequence[str]) -> None:
    """Refuses scores none of which all candidates have: nothing would order these."""
    if not common_scores(found, names):
        lacking = [one.candidate.name for one in found if not set(names) <= set(one.scores)]
        raise GraftError(
            f"not every candidate has one of these scores: {', '.join(lacking)} come without the head that they read",
            rule="candidates are ordered by the scores that all of them have",
            remedy="add a score that reads features, for example --scores leep,logme",
        )


def _nothing_to_score(unusable: dict[str, str]) -> GraftError:
    return GraftError.of_all(
        "no candidate can be scored",
        [f"{name}: {why}" for name, why in unusable.items()],
        remedy="put one of these files in its place, or run make zoo, which pretrains candidates here",
    )


def _unusable(candidate: Candidate) -> str | None:
    try:
        return absence(candidate)
    except GraftError as error:
        return f"cannot be used: {error}"


def _cost(loaded: LoadedCandidate, points: Points, params: Params) -> Cost:
    """Cost of the architecture with the classes of the target; the weights make no difference."""
    classes = points.classes
    model = build(classes.task, loaded.spec.model, classes.num_classes, len(classes.channels))
    narrow(model, loaded.spec.widths).eval()
    image = next(points.images())
    spec = replace(loaded.spec, num_classes=classes.num_classes, class_names=classes.names)
    return cost_of(model, spec, image, params.runtime.device)


def _facts(points: Points, params: Params) -> dict[str, Any]:
    height, width = next(points.images()).shape[:2]
    has_several = points.labels.ndim == 2
    counts = points.labels.sum(0) if has_several else np.bincount(points.labels, minlength=points.classes.num_classes)
    return {
        "task": params.task,
        "num_images": len(points.rows),
        "num_points": len(points.labels),
        "points_by_class": dict(zip(points.classes.names, counts.tolist(), strict=True)),
        "height_px": height,
        "width_px": width,
        "device": params.runtime.device,
        "num_threads": params.runtime.num_threads,
        "points": points.digest,
    }
