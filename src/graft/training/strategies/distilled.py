"""Supervised training that keeps the parent's answers, with all that background may mean where classes are new."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

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
        self.mark: int | None = None
        self.hidden_in_memory: list[int] = []

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Keeps the parent; new classes begin as shares of the background, where there is one."""
        super().begin(model, context)
        self.background = self.find_background(context)
        if self.background is not None:
            refuse_smoothing(self.name, self.loss.terms)
            balance_rows(model, self.background, context.new)

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Gives background another id in the masks of remembered images, where it hides other classes.

        With 255 classes no id is left for that, and all images count as those of the new delivery.
        """
        prepared, passing = super().prepare(model, views, forward)
        mark = len(self.context.class_names)
        if self.background is None or not isinstance(prepared, Views) or mark >= IGNORE_INDEX:
            return prepared, passing
        if not len(prepared.remembered):
            return prepared, passing
        self.mark, counts = mark, prepared.class_counts[prepared.remembered].sum(axis=0)
        self.hidden_in_memory = [number for number in self.context.new if not counts[number]]
        if self.target_weights is not None:
            self.target_weights = torch.cat([self.target_weights, self.target_weights[self.background, None]])
        return MarkedViews(prepared, self.background, mark), passing

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
        """The targets without the mark of remembered images."""
        if self.mark is None or self.background is None:
            return targets
        assert isinstance(targets, Tensor)  # masks are never mixed from two
        return targets.masked_fill(targets == self.mark, self.background)

    def unbiased(self, output: Tensor | WithAuxiliary, targets: Tensor | MixedTargets) -> Tensor | WithAuxiliary:
        """The output in which background stands for all that it hides where the target is background.

        In a new delivery these are the classes the parent knows. In images of a memory, whose deliveries labelled them,
        they are the new classes that none of these images shows.
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
        if self.mark is None or not self.hidden_in_memory:
            return folded
        return fold_where(targets == self.mark, folded, self.background, self.hidden_in_memory)


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
