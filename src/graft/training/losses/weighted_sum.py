"""`fine_tune.losses` as one loss: a weighted sum of entries of LOSSES."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graft.foundation.choices import Choice, resolve
from graft.foundation.errors import GraftError
from graft.training.mixing.mixed_targets import MixedTargets


@dataclass(frozen=True)
class WeightedSum:
    """sum_i weight_i * loss_i(logits, targets).

    Attributes:
        terms: Each loss with its weight.
        class_weights: [K] on the device of the logits, or None; every term gets them.
        of_labels: Whether targets are sets of labels, [B, K]: weights are then of classes, and not of targets.

    Raises:
        GraftError: There are class weights, and a term takes none.
    """

    terms: tuple[tuple[float, Choice], ...]
    class_weights: Tensor | None = None
    of_labels: bool = False

    def __post_init__(self) -> None:
        if self.class_weights is not None and (problems := class_weight_refusals(loss.name for _, loss in self.terms)):
            remedy = "set fine_tune.class_weights: none, or another loss"
            raise GraftError.of_all("class weights that cannot be used", problems, remedy=remedy)

    def __call__(self, logits: Tensor | tuple[Tensor, Tensor, float], targets: Tensor | MixedTargets) -> Tensor:
        """The loss of logits [B, K, …] against targets [B, …], a scalar.

        Of (logits, auxiliary logits, weight), which a model with an auxiliary head answers in training, it is the loss
        of the logits plus weight times that of the auxiliary ones. Of mixed targets it is `share` times the loss
        against the first plus `1 - share` times that against the second.
        """
        if isinstance(logits, tuple):
            logits, auxiliary, weight = logits
            return self(logits, targets) + weight * self(auxiliary, targets)
        if isinstance(targets, MixedTargets):
            return targets.share * self(logits, targets.first) + (1 - targets.share) * self(logits, targets.second)
        return sum(weight * loss(logits, targets, self.class_weights) for weight, loss in self.terms)

    @property
    def target_weights(self) -> Tensor | None:
        """Weights of targets by class, [K], if every term is a mean over targets weighted so; else None."""
        from graft.training.losses import MEANS_OVER_TARGETS

        if self.of_labels or not all(loss.name in MEANS_OVER_TARGETS for _, loss in self.terms):
            return None
        return self.class_weights

    def to(self, device: torch.device | str) -> WeightedSum:
        """The same loss for logits on `device`."""
        return self if self.class_weights is None else replace(self, class_weights=self.class_weights.to(device))

    def as_list(self) -> list[dict[str, Any]]:
        """The terms as they would stand in `params.yaml`, nothing left to a default."""
        return [{**loss.as_dict(), "weight": weight} for weight, loss in self.terms]


def resolve_losses(
    specs: Sequence[Mapping[str, Any]], *, where: str = "fine_tune.losses"
) -> tuple[tuple[float, Choice], ...]:
    """Binds every `{name, weight, options…}` of a list.

    Raises:
        GraftError: A name, an option or a weight cannot be used.
    """
    from graft.training.losses import LOSSES

    terms = []
    for index, spec in enumerate(specs):
        options = dict(spec)
        weight = options.pop("weight", None)
        if not isinstance(weight, int | float) or isinstance(weight, bool) or weight <= 0:
            raise GraftError(
                f"{where}[{index}].weight is {weight!r}",
                rule="each loss has a positive weight",
                remedy="write, for example, {name: dice, weight: 0.5}",
            )
        terms.append((float(weight), resolve(LOSSES, options, where=f"{where}[{index}]")))
    return tuple(terms)


def class_weight_refusals(names: Iterable[str]) -> list[str]:
    """A sentence for each of these entries of LOSSES that takes no class weights."""
    from graft.training.losses import WITHOUT_CLASS_WEIGHTS

    return [f"the loss {name} takes no class weights" for name in names if name in WITHOUT_CLASS_WEIGHTS]
