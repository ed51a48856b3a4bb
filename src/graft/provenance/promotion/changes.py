"""The change from champion to candidate, overall, by class, domain and delivery, each with an interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graft.metrics.bootstrap import interval, resample
from graft.metrics.confusion import Marginals, json_number
from graft.metrics.summaries import places, select, total

if TYPE_CHECKING:
    from graft.params.sections import Params


@dataclass(frozen=True)
class Change:
    """A score of both models.

    Attributes:
        kind: Kind of what was scored: `all`, `class`, `domain` or `delivery`.
        name: Name of the class, domain or delivery.
        before: Score of the champion; None where it is undefined.
        after: Score of the candidate.
        interval: Lower and upper end of the 95% interval of the difference, over draws of images that are the same for
            both; None where no draw has a value.
    """

    kind: str
    name: str
    before: float | None
    after: float | None
    interval: list[float] | None

    @property
    def difference(self) -> float | None:
        """The candidate's score less the champion's; None where either is undefined."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def is_certain(self) -> bool:
        """Whether the interval does not hold zero."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def find_changes(
    candidate: Marginals,
    champion: Marginals,
    class_names: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    attributes: tuple[str, str],
    params: Params,
) -> tuple[Change, ...]:
    """Compares two models on the same images.

    Args:
        candidate: Counts of each image for the candidate, arrays [N, K].
        champion: Counts of the same images, in the same order, for the champion.
        class_names: Names of the K classes.
        groups: By kind, `domain` or `delivery`, the name of each of the N images.
        attributes: Names of the headline score and of the score of a class, attributes of `Marginals`.
        params: Params, with the number of draws and the seed.
    """
    headline, of_class = attributes
    everything = list(range(len(candidate.truth)))

    def compare(rows: Sequence[int], attribute: str) -> Iterator[tuple[float | None, float | None, list[float] | None]]:
        pair = [select(one, rows) for one in (champion, candidate)]
        values = [np.atleast_1d(getattr(total(one), attribute)) for one in pair]
        draws = [getattr(resample(one, params.promotion.bootstrap_samples, params.seed), attribute) for one in pair]
        differences = (draws[1] - draws[0]).reshape(len(draws[0]), -1)
        for before, after, column in zip(*values, differences.T, strict=True):
            yield json_number(before), json_number(after), interval(column)

    (whole,) = compare(everything, headline)
    by_class = zip(class_names, compare(everything, of_class), strict=True)
    by_group = [
        (kind, name, next(compare(rows, headline)))
        for kind, of_images in groups.items()
        for name, rows in places(of_images).items()
    ]
    return (
        Change("all", "all images", *whole),
        *(Change("class", name, *found) for name, found in by_class),
        *(Change(kind, name, *found) for kind, name, found in by_group),
    )
