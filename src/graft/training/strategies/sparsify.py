"""Unstructured pruning: the smallest weights become zero and stay zero while the others learn on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from graft.data.views.view import BatchSource
from graft.models.architectures import Model
from graft.training.context import TrainingContext
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.plan import Plan
from graft.training.state import Trainee
from graft.training.strategies.shared_options import completed, moving_as_supervised
from graft.training.strategies.supervised import Supervised

Sparsity = Annotated[float, Field(ge=0, lt=1)]


class Sparsified(Supervised):
    """Sets the smallest weights to zero when training begins, and holds them there.

    No gradient reaches them, so that none counts where gradients are clipped or gathered. Most optimizers then leave
    them alone; those that move a matrix as a whole, as muon, do not, and so they are set back after each step, before
    an average of the weights sees them. A checkpoint holds no masks: they follow from the weights that are loaded.

    Args:
        loss: Loss to be minimised.
        sparsity: Share of the weights that become zero.
        movement: Options of `supervised` on movement.
    """

    def __init__(self, loss: WeightedSum, sparsity: float, movement: dict[str, Any]) -> None:
        super().__init__(loss, completed(movement))
        self.sparsity, self.counts = sparsity, {"weights": 0, "zeros": 0}
        self.masked: list[tuple[Tensor, Tensor]] = []
        self.optimizer: torch.optim.Optimizer | None = None

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Finds the smallest weights of all layers together, and holds them at zero."""
        if not self.sparsity:
            return
        weights = prunable_weights(model)
        self.masked = [*zip(weights, smallest_left_out(weights, self.sparsity), strict=True)]
        for weight, mask in self.masked:
            weight.register_hook(mask.mul)
        self._set_to_zero()
        self.counts = count_zeros(weights)

    def begin_batch(self, trainee: Trainee, batch: int) -> None:
        """Sees to it that every step of the optimizer ends with the zeros."""
        super().begin_batch(trainee, batch)
        if self.optimizer is not trainee.optimizer:
            self.optimizer = trainee.optimizer
            self.optimizer.register_step_post_hook(self._set_to_zero)

    def finish(self, model: Model, views: BatchSource, forward: Forward, plan: Plan) -> None:
        """Counts the zeros of the weights that are kept."""
        super().finish(model, views, forward, plan)
        self.counts = count_zeros(prunable_weights(model))

    @torch.no_grad()
    def _set_to_zero(self, *_: Any) -> None:
        for weight, mask in self.masked:
            weight.mul_(mask)

    def facts(self) -> dict[str, Any]:
        """The number of weights of convolutions and linear layers, and how many of them are zero."""
        return {"sparse": self.counts} if self.sparsity else {}


def prunable_weights(model: Model) -> list[Tensor]:
    """The weights of convolutions and linear layers, but for class layers."""
    kept = set(model.class_layers)
    layers = [layer for name, layer in model.named_modules() if name not in kept]
    return [layer.weight for layer in layers if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear)]


def count_zeros(weights: Sequence[Tensor]) -> dict[str, int]:
    """The number of `weights`, and of `zeros` among them."""
    return {
        "weights": sum(weight.numel() for weight in weights),
        "zeros": sum(int((weight == 0).sum()) for weight in weights),
    }


@torch.no_grad()
def smallest_left_out(weights: Sequence[Tensor], sparsity: float) -> list[Tensor]:
    """Masks of the shapes of the weights: 0 at the `sparsity` smallest magnitudes of all together, 1 elsewhere.

    Args:
        weights: Weights of any shape.
        sparsity: Share of zeros, rounded down to whole weights; of equal magnitudes the first go.
    """
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    mask = torch.ones_like(magnitudes)
    mask[magnitudes.argsort(stable=True)[: int(sparsity * len(magnitudes))]] = 0
    parts = mask.split([weight.numel() for weight in weights])
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]


@moving_as_supervised
def sparsify(loss: WeightedSum, *, sparsity: Sparsity, **movement: Any) -> Sparsified:
    """Unstructured pruning: the smallest weights become zero and stay zero while the others learn on.

    For those who compress files or have a runtime for sparse weights (Han et al. 2015, "Learning both Weights and
    Connections for Efficient Neural Networks", in one go): all shapes stay, so that no usual runtime gets faster, but
    zeros compress well. For fewer operations there is `prune`. Start from a *trained* model, a registered one, in
    `pretrain_load.source`. Weights of all convolutions and linear layers are ranked together; class layers keep
    theirs. With `sparsity: 0` it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        sparsity: Share of those weights that become zero; 0.5 often costs nothing, 0.9 a little (Gale et al. 2019, "The
            State of Sparsity in Deep Neural Networks").
    """
    return Sparsified(loss, sparsity, movement)
