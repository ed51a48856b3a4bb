"""The matrix of scores after each generation on the test images of each delivery, and what is said of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Generation:
    """A version, scored on the test images of each delivery it knows.

    Attributes:
        version: Number of the version.
        scores: Headline score by delivery; None where it is undefined.
        num_images: Number of test images by delivery.
        class_names: Names of the classes it knows.
    """

    version: int
    scores: Mapping[str, float | None]
    num_images: Mapping[str, int]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """Generations of a model from the first to the last, each grown out of the one before.

    A delivery counts as learnt by the first generation that was scored on it.

    Attributes:
        headline: Name of the score.
        generations: Generations, oldest first.
        notes: Sentences on what cannot be compared or was not found.
    """

    headline: str
    generations: Sequence[Generation]
    notes: tuple[str, ...] = ()

    @property
    def deliveries(self) -> tuple[str, ...]:
        """Names of the deliveries, in the order in which they were learnt."""
        return tuple(dict.fromkeys(name for one in self.generations for name in one.scores))

    def curve(self, delivery: str) -> list[tuple[int, float]]:
        """The score on a delivery after each generation that knows it: number of the generation from 1, and score."""
        scored = ((place, one.scores.get(delivery)) for place, one in enumerate(self.generations, 1))
        return [(place, score) for place, score in scored if score is not None]

    def forgetting(self, delivery: str) -> float | None:
        """The fall from the best score of an earlier generation to that of the last.

        Chaudhry et al. 2018, "Riemannian walk for incremental learning", equation 3: below 0 where the last is the
        best. None where no generation before the last knows the delivery.
        """
        *before, last = self.curve(delivery) or [(0, 0.0)]
        if not before or last[0] != len(self.generations):
            return None
        return max(score for _, score in before) - last[1]

    @property
    def backward_transfer(self) -> float | None:
        """The mean change, since each earlier delivery was learnt, of the score on it.

        Lopez-Paz and Ranzato 2017, "Gradient episodic memory for continual learning", equation 3: below 0 where
        learning on made it forget. None where nothing was learnt before the last generation.
        """
        changes = [curve[-1][1] - curve[0][1] for curve in self._earlier_curves()]
        return statistics.fmean(changes) if changes else None

    @property
    def plasticity(self) -> float | None:
        """The mean score on deliveries that updates brought, just after they were learnt; None without an update."""
        learnt = [curve[0][1] for curve in map(self.curve, self.deliveries) if curve and curve[0][0] > 1]
        return statistics.fmean(learnt) if learnt else None

    def _earlier_curves(self) -> list[list[tuple[int, float]]]:
        """The curves of deliveries that were learnt before the last generation, which knows them still."""
        last = len(self.generations)
        curves = [curve for curve in map(self.curve, self.deliveries) if curve]
        return [curve for curve in curves if curve[0][0] < last == curve[-1][0]]
