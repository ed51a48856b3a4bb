"""The worth of labelling an image: how little a model is sure of it, times how far it lies from what is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR_DUPLICATE_BITS = 3  # of 64 of two perceptual hashes, as `validate.near_duplicate_bits` has it in params.yaml
ROWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Pick:
    """An image that was chosen.

    Attributes:
        number: Position among the images.
        uncertainty: One minus the mean confidence.
        nearest: Position of the nearest labelled image; None where none is known.
        distance: Cosine distance to that image, 0 to 2; None where there is none.
    """

    number: int
    uncertainty: float
    nearest: int | None
    distance: float | None


def choose(
    features: np.ndarray, uncertainty: np.ndarray, hashes: np.ndarray, labelled: np.ndarray, num: int
) -> list[Pick]:
    """The images most worth labelling, the most first: the same input gives the same answer.

    One after the other, the image i with the largest u(i) · min d(i, j) is taken, over all j that are labelled or taken
    already: the greedy k-centre of Sener & Savarese 2018, "Active Learning for Convolutional Neural Networks: A
    Core-Set Approach", algorithm 1, each distance weighted by the uncertainty u. Without labelled images the first is
    the most uncertain. Near duplicates of one that was taken are passed over, so that there may be fewer than `num`.

    Args:
        features: Embeddings, float32 [N, D].
        uncertainty: One minus the mean confidence, float [N].
        hashes: Perceptual hashes, uint64 [N].
        labelled: Embeddings of the labelled images, float32 [M, D]; M may be 0.
        num: Number of images to choose.
    """
    points, known = _unit(features), _unit(labelled)
    nearest, distance = _nearest(points, known)
    gap = distance if len(known) else np.ones(len(points))
    is_free = np.ones(len(points), bool)
    picks: list[Pick] = []
    while len(picks) < num and is_free.any():
        number = int(np.where(is_free, uncertainty * gap, -1.0).argmax())
        found = (int(nearest[number]), float(distance[number])) if len(known) else (None, None)
        picks.append(Pick(number, float(uncertainty[number]), *found))
        is_free &= np.bitwise_count(hashes ^ hashes[number]) > NEAR_DUPLICATE_BITS
        gap = np.minimum(gap, 1 - points @ points[number])
    return picks


def _nearest(points: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of the nearest known point, and the distance to it, for each point; zeros where nothing is known."""
    if not len(known):
        return np.zeros(len(points), np.intp), np.zeros(len(points))
    parts = [points[start : start + ROWS_AT_A_TIME] @ known.T for start in range(0, len(points), ROWS_AT_A_TIME)]
    likeness = [(part.argmax(axis=1), 1 - part.max(axis=1)) for part in parts]
    nearest, distance = zip(*likeness, strict=True)
    return np.concatenate(nearest), np.concatenate(distance)


def _unit(features: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    return features / np.maximum(length, 1e-12)
