"""A ladder of steps that a training climbs by itself: each is taken for some epochs, judged, and kept or dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graft.foundation.errors import GraftError
from graft.foundation.progress import say
from graft.training.state import Trainee

WHERE = "fine_tune.strategy"
FIRST = "source"


class Ladder:
    """The rungs, the epochs of each, and which of them hurt.

    The first rung takes no step; each other takes one more than those below it that were kept.

    Args:
        steps: Names of the steps, from the lowest.
        source_share: Share of the epochs that the first rung takes; the others take equal parts of the rest.

    Attributes:
        rungs: Names of the rungs, from the lowest; of the steps, but for the first.
        dropped: Steps that were dropped.
        ends: Number of epochs after which each rung ends.
    """

    def __init__(self, steps: Sequence[str], source_share: float) -> None:
        self.rungs, self.source_share = (FIRST, *steps), source_share
        self.dropped: list[str] = []
        self.ends: list[int] = []

    def begin_epoch(self, epoch: int, epochs: int) -> frozenset[str]:
        """The steps that are taken in an epoch (from 0) of a training of so many.

        Raises:
            GraftError: There are fewer epochs than rungs.
        """
        if problem := too_few_epochs(len(self.rungs), epochs):
            raise problem
        self.ends = ends_of(len(self.rungs), self.source_share, epochs)
        reached = sum(epoch >= end for end in self.ends)
        return frozenset(self.rungs[1 : reached + 1]) - {*self.dropped}

    def begin_of(self, epoch: int) -> int:
        """Number of epochs before the rung that an epoch (from 1) belongs to."""
        return max((end for end in self.ends if end < epoch), default=0)

    def leave_out(self, step: str) -> None:
        """Takes a step off the ladder."""
        self.rungs = tuple(rung for rung in self.rungs if rung != step)

    def drop(self, steps: Iterable[str]) -> None:
        """Drops steps without a judgement, those of rungs that are yet to come too; the rungs keep their epochs."""
        self.dropped += [rung for rung in self.rungs if rung in steps and rung not in self.dropped]

    def judge(self, trainee: Trainee) -> bool:
        """Says at the end of a rung whether it is kept; if not, goes back to the best weights, which are older.

        It stays where its last epoch was not validated. One that was dropped before its end has taken no step.

        Returns:
            Whether the rung was dropped now.
        """
        if trainee.epoch not in self.ends[1:] or trainee.history[-1].worth is None:
            return False
        begin, rung = self.begin_of(trainee.epoch), self.rungs[self.ends.index(trainee.epoch)]
        if rung in self.dropped:
            return False
        kept = trainee.best_report.epoch > begin
        trainee.history[-1].measures["rung_kept"] = float(kept)
        found, before = (
            max((one.worth for one in reports if one.worth is not None), default=0.0)
            for reports in (trainee.history[begin:], trainee.history[:begin])
        )
        told = f"ladder, epoch {trainee.epoch}: {rung} is worth {found:.3f}, and it was {before:.3f} without it"
        if kept:
            say(f"{told}: it stays")
            return False
        self.dropped.append(rung)
        best = trainee.return_to_best()
        assert best is not None
        say(f"{told}: dropped, and back to the weights of epoch {best.epoch}")
        return True


def ends_of(num_rungs: int, source_share: float, epochs: int) -> list[int]:
    """Number of epochs after which each rung ends; each has one at least.

    Args:
        num_rungs: Number of rungs.
        source_share: Share of the epochs that the first takes; the others take equal parts of the rest.
        epochs: Number of epochs, at least that of rungs.
    """
    ends: list[int] = []
    for number in range(num_rungs):
        share = source_share + (1 - source_share) * number / max(num_rungs - 1, 1)
        room = epochs - (num_rungs - 1 - number)  # one for each rung above
        ends.append(min(max(round(share * epochs), number + 1, (ends or [0])[-1] + 1), room))
    return ends


def too_few_epochs(num_rungs: int, epochs: int) -> GraftError | None:
    """The error of a training that is shorter than its ladder."""
    if epochs >= num_rungs:
        return None
    return GraftError(
        f"a ladder of {num_rungs} rungs in {epochs} epochs",
        where=WHERE,
        rule="the first rung and each step take an epoch at least, and are judged after it",
        remedy=f"set fine_tune.epochs: {num_rungs} or more, or turn steps off",
    )


def judged_too_seldom(validate_every_epochs: int, early_stopping_epochs: int | None) -> Iterator[GraftError]:
    """The errors of settings by which a rung may end without a judgement."""
    if validate_every_epochs > 1:
        yield GraftError(
            f"ladder: auto with validate_every_epochs: {validate_every_epochs}",
            where=WHERE,
            rule="each rung is judged by the epochs that it has",
            remedy="set fine_tune.validate_every_epochs: 1",
        )
    if early_stopping_epochs is not None:
        yield GraftError(
            f"ladder: auto with early_stopping_epochs: {early_stopping_epochs}",
            where=WHERE,
            rule="a rung that hurts ends that rung and not the training",
            remedy="set fine_tune.early_stopping_epochs: null",
        )
