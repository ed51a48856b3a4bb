"""Elastic weight consolidation: weights that mattered to the parent are held where they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from graft.data.views.view import BatchSource
from graft.foundation.content import content_seed
from graft.foundation.progress import progress
from graft.models.architectures import Model, WithAuxiliary
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.strategies.fisher import diagonal_fisher
from graft.training.strategies.parent import FromParent, logits_of
from graft.training.strategies.shared_options import moving_as_supervised

Weight = Annotated[float, Field(ge=0)]
NumImages = Annotated[int, Field(gt=0)]


class Consolidated(FromParent):
    """Adds to the loss of the labels weight / 2 · Σ F (w - w0)²; F is measured when training begins.

    Args:
        num_images: Largest number of images on which F is measured.
        others: Arguments of `FromParent`.
    """

    def __init__(self, num_images: int, *others: Any) -> None:
        super().__init__(*others)
        self.num_images = num_images
        self.held: list[tuple[Tensor, Tensor, Tensor]] = []

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Measures which weights matter, in float32 and evaluation mode, on the first view of a sample of images."""
        if self.weight:
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            answer, device = forward.of(model, "float32"), next(model.parameters()).device
            seed = self.context.seed
            order = np.random.default_rng(content_seed(seed, "fisher")).permutation(views.num_samples)
            batches = views.batches(np.sort(order[: self.num_images]), 0, 1, device)
            total = min(views.num_samples, self.num_images)
            images = (image for image, _ in progress(batches, "Measuring what matters", total=total, unit="image"))
            model.eval()
            fisher = diagonal_fisher(lambda x: logits_of(answer(x)), trained, images, self.context.known, seed)
            model.train()
            starts = [parameter.detach().clone() for parameter in trained]
            self.held = list(zip(trained, starts, fisher, strict=True))
        return super().prepare(model, views, forward)

    def step(
        self, forward: Callable[[Any], Tensor | WithAuxiliary], images: Any, targets: Tensor | MixedTargets
    ) -> dict[str, Tensor]:
        """`loss`, and as a part of it `consolidation`."""
        loss = self.loss(forward(images), targets)
        moving = [held for held in self.held if held[0].requires_grad]
        if not moving:
            return self.in_all(loss)
        distances = [(fisher * (w - start).square()).sum() for w, start, fisher in moving]
        return self.in_all(loss, consolidation=self.weight / 2 * torch.stack(distances).sum())


@moving_as_supervised
def ewc(loss: WeightedSum, *, weight: Weight = 100.0, num_images: NumImages = 200, **movement: Any) -> Consolidated:
    """Elastic weight consolidation: each weight is held at its start by as much as it matters to the parent's answers.

    For a model that grows out of a registered one on new images alone, where a step may cost no more than a plain one
    (Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks", equation 3). The loss is

    L + weight / 2 · Σ_j F_j (w_j - w0_j)²,

    where w0 are the parent's weights and F the diagonal of the Fisher information of a label, with labels drawn from
    the parent's own answers. Both terms are means over labels: weight 1 would count the parent's data as much as the
    new ones, were the loss quadratic and F nothing but its diagonal. As neither is so, 1 holds little; search by tens
    from 100 on. The paper measures F on the old images; those are not here, so it is measured on the new ones: a weight
    that matters only to what they do not show is not held. Nor is what a batch normalisation measures:
    `normalisation: frozen` does that. With `weight: 0` it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        weight: Factor of the penalty, λ; larger ones hold faster.
        num_images: Largest number of training images on which F is measured, each by a backward pass of its own.

    Raises:
        GraftError: The pretrained weights know none of the classes, or options that make no sense together.
    """
    return Consolidated(num_images, "ewc", loss, weight, movement)
