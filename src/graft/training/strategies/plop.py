"""PLOP: the parent's features are kept in every part of the image, and its certain answers label the background."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from graft.data.views.view import BatchSource
from graft.foundation.class_map import ignored_target
from graft.foundation.errors import GraftError
from graft.models.architectures import Model
from graft.training.context import TrainingContext
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.strategies.balanced_rows import balance_rows
from graft.training.strategies.certain_labels import median_entropies, relabel
from graft.training.strategies.local_pooling import ForwardWithFeatures, local_distance, pool_all, pool_locally
from graft.training.strategies.parent import WHERE, FromParent, channels, grown_background, logits_of
from graft.training.strategies.shared_options import moving_as_supervised

Weight = Annotated[float, Field(ge=0)]
BATCH_SIZE = 8  # of the pass that measures the medians; a mask is no more memory than its batch


class PooledDistillation(FromParent):
    """Adds the distance of locally pooled features and logits from the parent's; background gets labels where it can.

    Args:
        logits_weight: Factor of the distance of the logits, as `weight` is of the features.
        background: Name of the background; None for the class of that name.
        others: Arguments of `FromParent`.
    """

    def __init__(self, logits_weight: float, background: str | None, *others: Any) -> None:
        super().__init__(*others)
        self.logits_weight, self.wanted_background = logits_weight, background
        self.background: int | None = None

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Keeps the parent; new classes begin as shares of the background."""
        super().begin(model, context)
        if context.new:
            self.background = grown_background(self.name, self.wanted_background, context)
            balance_rows(model, self.background, context.new)
        grown = math.sqrt(len(context.class_names) / len(context.new)) if context.new else 1.0
        self.weights = (self.weight * grown, self.logits_weight * grown)

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Makes forward passes that tell features too, and where classes are new finds when the parent is certain."""
        if forward.is_compiled:
            raise compiled_features(self.name)
        views, _ = super().prepare(model, views, forward)
        device = next(model.parameters()).device
        self.known = torch.tensor(self.context.known, device=device)
        if self.background is not None:
            batches = views.batches(np.arange(views.num_samples), 0, BATCH_SIZE, device)
            self.thresholds = median_entropies(batches, self.ask_parent, self.background)
        self.parent_with_features = ForwardWithFeatures(forward.of(self.parent), pool_all)
        return views, ForwardWithFeatures(forward, pool_all)

    def step(self, forward: Callable[[Any], Any], images: Any, targets: Tensor | MixedTargets) -> dict[str, Tensor]:
        """`loss`, and as parts of it `features` and `logits`; the parent is asked only for what has a weight."""
        output, pooled = forward(images)
        if self.background is None and not any(self.weights):
            return self.in_all(self.loss(output, targets))
        with torch.no_grad():
            answer, pooled_of_parent = self.parent_with_features(images)
        old = channels(logits_of(answer), self.context.known)
        loss = self._of_labels(output, targets, old)
        parts, (of_features, of_logits) = {}, (weight / (len(pooled) + 1) for weight in self.weights)
        if of_features:
            distances = map(local_distance, pooled, pooled_of_parent)
            parts["features"] = of_features * torch.stack([*distances]).sum()
        if of_logits:
            parts["logits"] = of_logits * self._logits_distance(logits_of(output), old)
        return self.in_all(loss, **parts)

    def _of_labels(self, output: Any, targets: Tensor | MixedTargets, old: Tensor) -> Tensor:
        if self.background is None:
            return self.loss(output, targets)
        assert isinstance(targets, Tensor)  # masks are never mixed from two
        ignored = ignored_target(logits_of(output).shape[1])
        labels, share = relabel(targets, old, self.thresholds, self.known, self.background, ignored)
        return share * self.loss(output, labels)

    def _logits_distance(self, logits: Tensor, old: Tensor) -> Tensor:
        """The distance of the logits of the classes the parent knows, the new ones added to the background's."""
        if self.background is not None:
            new = channels(logits, self.context.new).sum(1, keepdim=True)
            place = torch.tensor([self.background], device=logits.device)
            logits = logits.index_add(1, place, new)
        return local_distance(pool_locally(channels(logits, self.context.known)), pool_locally(old))


def compiled_features(name: str) -> GraftError:
    """The error of a strategy that looks into a model which is compiled as a whole."""
    return GraftError(
        f"runtime.compile is true, and the strategy {name} keeps the features of each stage",
        where=WHERE,
        rule="a compiled model answers with its logits alone",
        remedy="set runtime.compile: false, or another strategy",
    )


@moving_as_supervised
def plop(
    loss: WeightedSum,
    *,
    weight: Weight = 0.01,
    logits_weight: Weight = 0.0005,
    background: str | None = None,
    **movement: Any,
) -> PooledDistillation:
    """PLOP: the parent's features are kept in every part of the image, and its certain answers label the background.

    For new classes or a new domain in masks, where features should move little and places matter (Douillard et al.
    2021, "PLOP: Learning without Forgetting for Continual Semantic Segmentation"). With K classes, n of them new,

    * features that the backbone hands on, and logits with the new classes added to the background, are squared and
      averaged along rows and columns of the image, its quarters and its sixteenths; the loss gets, for each, weight ·
      √(K / n) · the distance from the parent's, and their mean over features and logits (equations 2 to 5; √1 where no
      class is new);
    * where classes are new, background becomes the class that the parent sees in it, if the entropy of its answer lies
      below the median of this class over the training images, and is ignored elsewhere; the loss of the labels is
      multiplied by the share that was certain (equations 6 to 8; here of the batch, in its code of each image);
    * new rows of the class layer begin as equal shares of the background, as in `mib`.

    It asks more memory and time than `mib`: the features of both networks. Its weights are the paper's for ResNet-101
    with 512 × 512 pixels; the distance grows with the number of channels and pixels, so search them anew. Where the
    parent errs in the background, its errors become labels. With both weights 0 and no new class it is `supervised`,
    to the bit.

    Args:
        loss: Loss to be minimised.
        weight: Factor of the distance of the features, λ.
        logits_weight: Factor of the distance of the logits.
        background: Name of the class that stands for all that is no class of its own; the one called background if it
            is not given. Needed only where classes are new.

    Raises:
        GraftError: The pretrained weights know none of the classes, no class is background where some are new, the
            model is compiled, or options that make no sense together.
    """
    return PooledDistillation(logits_weight, background, "plop", loss, weight, movement)
