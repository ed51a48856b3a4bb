"""The matrix of scores after each generation on the test images of each delivery, and what is said of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Generation:
    """A version, scored on the test images of each delivery it knows.

    Attributes:
        version: Number of the version.
        scores: Headline score by delivery; None where it is undefined.
        num_images: Number of test images by delivery.
        class_names: Names of the classes it knows.
        class_scores: Score of each class by delivery; none where they were not kept apart by delivery.
    """

    version: int
    scores: Mapping[str, float | None]
    num_images: Mapping[str, int]
    class_names: tuple[str, ...]
    class_scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    def score(self, delivery: str, class_name: str | None = None) -> float | None:
        """The score on a delivery, of one class if it is named; None where there is none."""
        if class_name is None:
            return self.scores.get(delivery)
        return self.class_scores.get(delivery, {}).get(class_name)


@dataclass(frozen=True)
class ClassFall:
    """The fall of a class on a delivery.

    Attributes:
        class_name: Name of the class.
        delivery: Name of the delivery.
        version: Number of the version that had the best score before the last.
        best: That score.
        last: Score of the last version.
    """

    class_name: str
    delivery: str
    version: int
    best: float
    last: float

    @property
    def forgotten(self) -> float:
        """The fall; below 0 where the last is the best."""
        return self.best - self.last


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

    def curve(self, delivery: str, class_name: str | None = None) -> list[tuple[int, float]]:
        """The score on a delivery after each generation that knows it: number of the generation from 1, and score."""
        scored = ((place, one.score(delivery, class_name)) for place, one in enumerate(self.generations, 1))
        return [(place, score) for place, score in scored if score is not None]

    def forgetting(self, delivery: str) -> float | None:
        """The fall from the best score of an earlier generation to that of the last.

        Chaudhry et al. 2018, "Riemannian walk for incremental learning", equation 3: below 0 where the last is the
        best. None where no generation before the last knows the delivery.
        """
        ends = self._best_and_last(delivery)
        return None if ends is None else ends[0][1] - ends[1]

    def class_falls(self) -> list[ClassFall]:
        """The fall of every class on every delivery as `forgetting` has it, the largest first."""
        found = []
        for delivery in self.deliveries:
            for name in self.generations[-1].class_names if self.generations else ():
                if ends := self._best_and_last(delivery, name):
                    (place, best), last = ends
                    found.append(ClassFall(name, delivery, self.generations[place - 1].version, best, last))
        return sorted(found, key=lambda fall: -fall.forgotten)

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

    def _best_and_last(self, delivery: str, class_name: str | None = None) -> tuple[tuple[int, float], float] | None:
        """The generation with the best score before the last, that score, and the last's; None without either."""
        *before, last = self.curve(delivery, class_name) or [(0, 0.0)]
        if not before or last[0] != len(self.generations):
            return None
        return max(before, key=lambda scored: scored[1]), last[1]

    def _earlier_curves(self) -> list[list[tuple[int, float]]]:
        """The curves of deliveries that were learnt before the last generation, which knows them still."""
        last = len(self.generations)
        curves = [curve for curve in map(self.curve, self.deliveries) if curve]
        return [curve for curve in curves if curve[0][0] < last == curve[-1][0]]
