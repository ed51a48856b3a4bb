"""The best and the worst images of a split, kept while it streams by."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from graft.data.images.codec import overlay
from graft.data.images.stacks import composite
from graft.evaluation.scores import ScoredImage
from graft.foundation.class_map import ClassMap

MAX_WIDTH_PX = 480  # of a picture in the report: four stand side by side
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Picture:
    """A picture of the report: its caption, and the picture as a data URI."""

    caption: str
    uri: str


@dataclass(frozen=True)
class Example:
    """An image with truth and predictions, ready to be shown.

    `verdicts` holds the class that the model and the baseline predict for a labelled image, and how sure in percent.
    """

    id: str
    domain: str
    score: float
    baseline_score: float | None
    pictures: tuple[Picture, ...]
    truth: str | None = None
    verdicts: tuple[tuple[str, str], ...] = ()


@dataclass
class Examples:
    """Keeps the best and worst of the images offered, in bounded memory.

    Attributes:
        class_map: Class map with names and colours.
        num_kept: Number of images kept; half of them the worst (one more if odd), the others the best.
    """

    class_map: ClassMap
    num_kept: int
    worst: list[Example] = field(default_factory=list)
    best: list[Example] = field(default_factory=list)

    def offer(self, scored: ScoredImage) -> None:
        """Keeps the image if it is among the worst or best so far; an image without labelled pixels never is."""
        score = scored.predictions["fine_tuned"].score
        if math.isnan(score):
            return
        rank, num_worst = (score, scored.row.id), math.ceil(self.num_kept / 2)
        num_best = self.num_kept - num_worst
        is_worst = len(self.worst) < num_worst or rank < _rank(self.worst[-1])
        is_best = len(self.best) < num_best or (num_best > 0 and rank > _rank(self.best[-1]))
        if is_worst or is_best:
            example = _example(scored, self.class_map)
            self.worst = sorted([*self.worst, example], key=_rank)[:num_worst]
            self.best = sorted([*self.best, example], key=_rank, reverse=True)[:num_best]

    def best_and_worst(self) -> tuple[list[Example], list[Example]]:
        """The best and the worst images; in a small split no image is in both."""
        worst = {example.id for example in self.worst}
        return [example for example in self.best if example.id not in worst], self.worst


def _rank(example: Example) -> tuple[float, str]:
    return example.score, example.id


def _example(scored: ScoredImage, class_map: ClassMap) -> Example:
    predictions, shown = scored.predictions, composite(scored.image, class_map.channels)
    baseline = predictions.get("baseline")
    said: tuple[tuple[str, str], ...] = ()
    truth = None
    if scored.targets.ndim < 2:
        pictures = show(shown, {}, class_map.colors)
        truth = name_labels(scored.targets, class_map)
        said = tuple(
            (name_labels(p.class_ids, class_map), f"{100 * (p.confidence or 0):.0f}%")
            for p in (predictions["fine_tuned"], baseline)
            if p is not None
        )
    else:
        masks = {"truth": scored.targets, "fine-tuned": predictions["fine_tuned"].class_ids}
        masks |= {"from scratch": baseline.class_ids} if baseline else {}
        pictures = show(shown, masks, class_map.colors)
    baseline_score = None if baseline is None or math.isnan(baseline.score) else baseline.score
    row = scored.row
    return Example(row.id, row.domain, predictions["fine_tuned"].score, baseline_score, pictures, truth, said)


def name_labels(ids: np.ndarray, class_map: ClassMap) -> str:
    """The name of a class [], or those of all classes that are one in a vector [K]."""
    if ids.ndim == 0:
        return class_map.names[int(ids)]
    return ", ".join(class_map.names[number] for number in np.flatnonzero(ids)) or "no label"


def show(
    image: np.ndarray, masks: Mapping[str, np.ndarray], colours: Sequence[tuple[int, int, int]]
) -> tuple[Picture, ...]:
    """Pictures of an image alone and under each mask, at most `MAX_WIDTH_PX` wide.

    Args:
        image: uint8 [H, W, 3] RGB.
        masks: Masks, uint8 [H, W], by caption.
        colours: K RGB triples.
    """
    small = _shrink(image, cv2.INTER_AREA)
    covered = {
        caption: overlay(small, _shrink(mask, cv2.INTER_NEAREST), colours, 0.6) for caption, mask in masks.items()
    }
    return (Picture("image", _uri(small)), *(Picture(caption, _uri(picture)) for caption, picture in covered.items()))


def _shrink(image: np.ndarray, interpolation: int) -> np.ndarray:
    height, width = image.shape[:2]
    if width <= MAX_WIDTH_PX:
        return image
    size = (MAX_WIDTH_PX, max(1, round(height * MAX_WIDTH_PX / width)))
    return cv2.resize(image, size, interpolation=interpolation)


def _uri(image: np.ndarray) -> str:
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
