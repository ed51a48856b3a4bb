"""The content of `metrics.json` on one model, computed from the marginals of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from graft.metrics.bootstrap import interval, resample
from graft.metrics.confusion import BY_CLASS, HEADLINES, Marginals, json_number
from graft.metrics.label_rankings import LabelMarginals, RankedMarginals, average_precision

# Score by class of a report -> the attribute of `Marginals` it is.
CLASS_SCORES = {
    "segmentation": {name: name for name in BY_CLASS},
    "classification": {"precision": "precision", "recall": "recall", "f1": "dice"},
    "multilabel": {
        "average_precision": "average_precision",
        "precision": "precision",
        "recall": "recall",
        "f1": "dice",
    },
}
# Side by side they expose a model that has collapsed to a few classes.
CLASS_SHARES = {"predicted_share": "predicted_share", "true_share": "true_share"}
# The models that the fine-tuned one is compared with, and the key of metrics.json that its gain over each stands under.
GAINS = {"baseline": "gain", "source_only": "gain_over_source_only"}


def stack(images: Sequence[Marginals]) -> Marginals:
    """Marginals of N images, arrays [K] each, as one of the same kind with arrays [N, K]."""
    columns = ([getattr(image, one.name) for image in images] for one in fields(images[0]))
    return type(images[0])(*map(np.stack, columns))


def summarise(
    images: Marginals,
    domains: Sequence[str],
    deliveries: Sequence[str] = (),
    *,
    task: str,
    names: Sequence[str],
    num_samples: int,
    seed: int,
) -> dict[str, Any]:
    """Every score of one model on one split, with intervals, overall, by class, by domain and by delivery.

    Args:
        images: Marginals of each image, arrays [N, K].
        domains: The domain of each image, N.
        deliveries: The delivery of each image, N.
        task: `segmentation`, `classification` or `multilabel`.
        names: The K classes.
        num_samples: Number of splits drawn for an interval.
        seed: Seed of the draws.

    Returns:
        `HEADLINES[task]` as floats (None where undefined), `CLASS_SCORES[task]` as {class: float or None}, the same of
        `predicted_share` and `true_share` of the pixels (or images), `interval` as {score: [low, high] or None},
        `per_domain` as {domain: the same headlines, `interval`, `num_images`}, and of two deliveries or more likewise
        `per_delivery`, there with `CLASS_SCORES[task]` too.
    """
    groups = {"per_domain": domains} | ({"per_delivery": deliveries} if len(set(deliveries)) > 1 else {})
    parts = {
        key: {
            name: _headlines(select(images, rows), task, num_samples, seed) | {"num_images": len(rows)}
            for name, rows in places(of_images).items()
        }
        for key, of_images in groups.items()
    }
    for name, rows in places(deliveries).items() if "per_delivery" in parts else ():
        parts["per_delivery"][name] |= _by_class(select(images, rows), CLASS_SCORES[task], names)
    return (
        _headlines(images, task, num_samples, seed)
        | _by_class(images, CLASS_SCORES[task] | CLASS_SHARES, names)
        | parts
    )


def places(groups: Sequence[str]) -> dict[str, list[int]]:
    """The places of the images of each group (a domain, a delivery), by its name."""
    return {name: [i for i, other in enumerate(groups) if other == name] for name in sorted(set(groups))}


def gain_over(images: Marginals, baseline: Marginals, *, task: str, num_samples: int, seed: int) -> dict[str, Any]:
    """Returns the scores of `images` less those of `baseline`, with intervals over draws that are the same for both."""
    better, worse = total(images), total(baseline)
    drawn, drawn_baseline = resample(images, num_samples, seed), resample(baseline, num_samples, seed)
    gain: dict[str, Any] = {"interval": {}}
    for score, attribute in HEADLINES[task].items():
        gain[score] = json_number(getattr(better, attribute) - getattr(worse, attribute))
        gain["interval"][score] = interval(getattr(drawn, attribute) - getattr(drawn_baseline, attribute))
    return gain


def total(images: Marginals) -> Marginals:
    """The marginals of all images together, arrays [K]."""
    hits, truth, predicted = (getattr(images, name).sum(axis=0) for name in ("hits", "truth", "predicted"))
    if isinstance(images, LabelMarginals):
        precision = average_precision(images.probabilities, images.truth)
        return RankedMarginals(hits, truth, predicted, precision, len(images.truth))
    return Marginals(hits, truth, predicted)


def select(images: Marginals, rows: Sequence[int]) -> Marginals:
    """The marginals of some of the images."""
    return type(images)(*(getattr(images, one.name)[rows] for one in fields(images)))


def _by_class(images: Marginals, scores: Mapping[str, str], names: Sequence[str]) -> dict[str, Any]:
    """The scores of each class on these images, each {class: value}."""
    whole = total(images)
    return {
        score: {name: json_number(value) for name, value in zip(names, getattr(whole, attribute), strict=True)}
        for score, attribute in scores.items()
    }


def _headlines(images: Marginals, task: str, num_samples: int, seed: int) -> dict[str, Any]:
    whole, drawn = total(images), resample(images, num_samples, seed)
    values: dict[str, Any] = {
        name: json_number(getattr(whole, attribute)) for name, attribute in HEADLINES[task].items()
    }
    values["interval"] = {name: interval(getattr(drawn, attribute)) for name, attribute in HEADLINES[task].items()}
    return values
