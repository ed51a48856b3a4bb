"""Turns of the deliveries: each gives an image of the class that the memory has met least, and a rule says which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graft.data.memory.impression import Impression


@dataclass(frozen=True)
class EarlierImage:
    """An image of an earlier delivery.

    Attributes:
        number: Number of its row in the split.
        delivery: Name of the delivery.
        classes: Ids of the classes in its mask, or of its label.
        place: Place in an order that depends on nothing but the seed and the id.
    """

    number: int
    delivery: str
    classes: frozenset[int]
    place: int

    def is_of(self, delivery: str, wanted: int | None) -> bool:
        """Whether it belongs to a delivery and shows a class; None is the class of what shows none."""
        return self.delivery == delivery and (wanted in self.classes if self.classes else wanted is None)


# Takes candidates of one delivery in order of place, the class they are wanted for, and the memory so far.
Rule = Callable[[Sequence[EarlierImage], int | None, Sequence[EarlierImage]], EarlierImage]


def take_turns(images: Sequence[EarlierImage], choose: Rule) -> Iterator[int]:
    """The numbers of all images, in the order in which the memory takes them."""
    met: Counter[int] = Counter()
    memory: list[EarlierImage] = []
    left: dict[str, list[EarlierImage]] = {}
    for image in sorted(images, key=lambda image: (image.delivery, image.place)):
        left.setdefault(image.delivery, []).append(image)
    while left:
        for delivery, waiting in [*left.items()]:
            rarest = min(waiting, key=lambda image: min((met[each] for each in image.classes), default=len(images)))
            wanted = min(rarest.classes, key=lambda each: (met[each], each), default=None)
            chosen = choose([image for image in waiting if image.is_of(delivery, wanted)], wanted, memory)
            waiting.remove(chosen)
            memory.append(chosen)
            met.update(chosen.classes)
            if not waiting:
                del left[delivery]
            yield chosen.number


def by_place(candidates: Sequence[EarlierImage], wanted: int | None, memory: Sequence[EarlierImage]) -> EarlierImage:
    """The first candidate, so that chance decides: the rule of `choice: random`."""
    return candidates[0]


def by_loss(impressions: Mapping[int, Impression]) -> Rule:
    """The rule that takes the image with the highest loss, of equal ones the first."""

    def choose(candidates: Sequence[EarlierImage], wanted: int | None, memory: Sequence[EarlierImage]) -> EarlierImage:
        return max(candidates, key=lambda image: impressions[image.number].loss)

    return choose


def by_herding(images: Sequence[EarlierImage], impressions: Mapping[int, Impression]) -> Rule:
    """The rule that brings the mean of what the memory holds of a class closest to the mean of all there is of it.

    With φ the features of an image, divided by their length, and μ the mean over all images of a delivery that show
    the class, the image p_k is the argmin over x of ‖μ - 1/k (φ(x) + Σ_{j<k} φ(p_j))‖, means divided by their length
    too (Rebuffi et al. 2017, "iCaRL: Incremental Classifier and Representation Learning", equation 4 and section 2.1).

    Args:
        images: All images of earlier deliveries.
        impressions: Impression of each, by its number.
    """
    features = {image.number: _unit(np.asarray(impressions[image.number].features, np.float64)) for image in images}
    means: dict[tuple[str, int | None], np.ndarray] = {}

    def choose(candidates: Sequence[EarlierImage], wanted: int | None, memory: Sequence[EarlierImage]) -> EarlierImage:
        delivery = candidates[0].delivery
        if (delivery, wanted) not in means:
            means[delivery, wanted] = _unit(_sum(images, delivery, wanted))
        sums = _sum(memory, delivery, wanted) + np.stack([features[image.number] for image in candidates])
        # Not the scalar product, whose rounding depends on the place of a row: of equal images the first is taken.
        distances = np.square(_unit(sums) - means[delivery, wanted]).sum(axis=1)
        return candidates[int(distances.argmin())]

    def _sum(among: Sequence[EarlierImage], delivery: str, wanted: int | None) -> np.ndarray:
        zero = np.zeros_like(next(iter(features.values())))
        return sum((features[image.number] for image in among if image.is_of(delivery, wanted)), zero)

    return choose


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [D] or [N, D] divided by their length; one without a length stays as it is."""
    lengths = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    return vectors / np.where(lengths > 0, lengths, 1.0)
