"""Supervised training that keeps the parent's answers, with all that background may mean where classes are new."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from graft.data.views.view import BatchSource, Views
from graft.foundation.choices import Choice
from graft.foundation.class_map import IGNORE_INDEX
from graft.foundation.errors import GraftError
from graft.models.architectures import Model, WithAuxiliary
from graft.training.context import TrainingContext
from graft.training.forward import Forward
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.strategies.balanced_rows import balance_rows
from graft.training.strategies.distillation import distillation, fold, fold_where, fold_where_background
from graft.training.strategies.marked_views import MarkedViews
from graft.training.strategies.parent import WHERE, FromParent, channels, logits_of

Weight = Annotated[float, Field(ge=0)]
Temperature = Annotated[float, Field(gt=0)]
SMOOTHING = "label_smoothing"


class Distilled(FromParent):
    """Adds to the loss of the labels the divergence from the parent's answers to the same images.

    Args:
        background: Function that gives the id of the background that new classes came out of; None where there is none,
            so that labels and answers are taken as they are.
        temperature: Temperature of both softmaxes.
        others: Arguments of `FromParent`.
    """

    def __init__(self, background: Callable[[TrainingContext], int | None], temperature: float, *others: Any) -> None:
        super().__init__(*others)
        self.find_background, self.temperature = background, temperature
        self.background: int | None = None
        self.hidden: dict[int, tuple[int, ...]] = {}

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Keeps the parent; new classes begin as shares of the background, where there is one."""
        super().begin(model, context)
        self.background = self.find_background(context)
        if self.background is not None:
            refuse_smoothing(self.name, self.loss.terms)
            balance_rows(model, self.background, context.new)

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Gives background other ids in the masks of remembered images, where it hides other classes.

        Raises:
            GraftError: More ids are needed than a mask has.
        """
        prepared, passing = super().prepare(model, views, forward)
        if self.background is None or not isinstance(prepared, Views) or not prepared.remembered:
            return prepared, passing
        samples = samples_by_hidden(prepared, self.background)
        first = len(self.context.class_names)
        refuse_too_many_marks(self.name, first, len(samples))
        self.hidden = dict(enumerate(samples, first))
        if self.target_weights is not None:
            of_marks = self.target_weights[self.background].expand(len(samples))
            self.target_weights = torch.cat([self.target_weights, of_marks])
        return MarkedViews(prepared, self.background, dict(enumerate(samples.values(), first))), passing

    def step(
        self, forward: Callable[[Any], Tensor | WithAuxiliary], images: Any, targets: Tensor | MixedTargets
    ) -> dict[str, Tensor]:
        """`loss`, and as a part of it `distillation`; without a weight the parent is not asked."""
        output = forward(images)
        loss = self.loss(self.unbiased(output, targets), self.labels(targets))
        if not self.weight:
            return self.in_all(loss)
        answers = logits_of(output)
        if self.background is not None:
            answers = fold(answers, self.background, self.context.new)
        kept = distillation(channels(answers, self.context.known), self.ask_parent(images), self.temperature)
        return self.in_all(loss, distillation=self.weight * kept)

    def labels(self, targets: Tensor | MixedTargets) -> Tensor | MixedTargets:
        """The targets without the marks of remembered images."""
        if not self.hidden or self.background is None:
            return targets
        assert isinstance(targets, Tensor)  # masks are never mixed from two
        marks = torch.tensor([*self.hidden], device=targets.device)
        return targets.masked_fill(torch.isin(targets, marks), self.background)

    def unbiased(self, output: Tensor | WithAuxiliary, targets: Tensor | MixedTargets) -> Tensor | WithAuxiliary:
        """The output in which background stands for all that it hides where the target is background.

        In a new delivery these are the classes the parent knows. In images of a memory they are the classes, known or
        new, that no remembered image of the same delivery shows: nobody may have labelled them there.
        """
        if self.background is None:
            return output
        assert isinstance(targets, Tensor)  # masks are never mixed from two
        if isinstance(output, Tensor):
            return self._folded(output, targets)
        logits, auxiliary = (self._folded(each, targets) for each in (output.logits, output.auxiliary))
        return output._replace(logits=logits, auxiliary=auxiliary)

    def _folded(self, logits: Tensor, targets: Tensor) -> Tensor:
        assert self.background is not None
        folded = fold_where_background(logits, targets, self.background, self.context.known)
        for mark, hidden in self.hidden.items():
            folded = fold_where(targets == mark, folded, self.background, hidden)
        return folded


def samples_by_hidden(views: Views, background: int) -> dict[tuple[int, ...], np.ndarray]:
    """The numbers of the remembered samples, by the ids of the classes that background may hide in their masks.

    These are the classes that no remembered sample of the same delivery shows.
    """
    found: dict[tuple[int, ...], list[np.ndarray]] = {}
    for _, numbers in sorted(views.remembered.items()):
        unseen = np.flatnonzero(views.class_counts[numbers].sum(axis=0) == 0).tolist()
        found.setdefault(tuple(number for number in unseen if number != background), []).append(numbers)
    return {hidden: np.concatenate(numbers) for hidden, numbers in found.items()}


def refuse_too_many_marks(name: str, num_classes: int, num_marks: int) -> None:
    """Refuses a memory whose deliveries need more ids for their background than a mask has beside its classes.

    Raises:
        GraftError: It needs more.
    """
    if num_classes + num_marks > IGNORE_INDEX:
        raise GraftError(
            f"the strategy {name} with {num_classes} classes and a memory of {num_marks} deliveries, each with "
            "classes of its own",
            where=WHERE,
            rule=f"the background of each has an id of its own in the masks, which have {IGNORE_INDEX} in all",
            remedy="keep no memory (augment.memory, num_images: 0), or set fine_tune.strategy: lwf",
        )


def refuse_smoothing(name: str, terms: Iterable[tuple[float, Choice]]) -> None:
    """Refuses losses that give every class a share of the target, beside a background that is several classes.

    Raises:
        GraftError: One of them does.
    """
    if any(term.options.get(SMOOTHING) for _, term in terms):
        raise GraftError(
            f"the strategy {name} with {SMOOTHING}",
            where=WHERE,
            rule="where background may be any class the parent knows, no class is false enough to get a share",
            remedy=f"leave {SMOOTHING} out of fine_tune.losses",
        )
