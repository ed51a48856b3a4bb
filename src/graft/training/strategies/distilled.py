"""Supervised training that keeps the parent's answers, with all that background may mean where classes are new."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError
from graft.models.architectures import Model, WithAuxiliary
from graft.training.context import TrainingContext
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.strategies.balanced_rows import balance_rows
from graft.training.strategies.distillation import distillation, fold, fold_where_background
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

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Keeps the parent; new classes begin as shares of the background, where there is one."""
        super().begin(model, context)
        self.background = self.find_background(context)
        if self.background is not None:
            refuse_smoothing(self.name, self.loss.terms)
            balance_rows(model, self.background, context.new)

    def step(
        self, forward: Callable[[Any], Tensor | WithAuxiliary], images: Any, targets: Tensor | MixedTargets
    ) -> dict[str, Tensor]:
        """`loss`, and as a part of it `distillation`; without a weight the parent is not asked."""
        output = forward(images)
        loss = self.loss(self.unbiased(output, targets), targets)
        if not self.weight:
            return self.in_all(loss)
        answers = logits_of(output)
        if self.background is not None:
            answers = fold(answers, self.background, self.context.new)
        kept = distillation(channels(answers, self.context.known), self.ask_parent(images), self.temperature)
        return self.in_all(loss, distillation=self.weight * kept)

    def unbiased(self, output: Tensor | WithAuxiliary, targets: Tensor | MixedTargets) -> Tensor | WithAuxiliary:
        """The output in which background stands for every class the parent knows where the target is background."""
        if self.background is None:
            return output
        assert isinstance(targets, Tensor)  # masks are never mixed from two
        known = self.context.known
        if isinstance(output, Tensor):
            return fold_where_background(output, targets, self.background, known)
        logits, auxiliary = (
            fold_where_background(each, targets, self.background, known) for each in (output.logits, output.auxiliary)
        )
        return output._replace(logits=logits, auxiliary=auxiliary)


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
