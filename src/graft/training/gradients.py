"""The gradients of one optimizer step: gathered from one batch or several, unscaled, clipped, applied and dropped."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gradients:
    """The gradients that `optimizer` steps along.

    A step of several batches goes along sum_b n_b g_b / sum_b n_b, where g_b is the gradient of batch b's loss and n_b
    what its targets count together: their number (images, or pixels that are not ignored), or, where every term of the
    loss is a mean weighted by class, the sum of their classes' weights. That is the gradient of the larger batch, to
    rounding,

    * for every loss that is a mean over the targets, as cross-entropy, however many pixels each batch ignores and
      whatever classes it shows;
    * for every term that does not depend on the batch, as a penalty on weights.

    It is not where a loss or a layer looks at the batch as a whole: Dice and its kin (with class weights also what
    stands beside them in the sum), online hard example mining, batch normalisation (each batch has statistics of its
    own, and the running ones move once a batch), or where something is drawn at random for each batch (dropout,
    mixing).

    Args:
        optimizer: Optimizer whose groups hold all trained parameters.
        precision: Precision of the runtime. With `fp16` losses are scaled up so that small gradients do not vanish, and
            gradients scaled down again before they are clipped; a step whose gradients are not finite is left out and
            the scale halved (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).

    Attributes:
        num_batches: Number of batches gathered since the last step.
        scaler: Scaler of the losses; does nothing unless the precision is fp16.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, precision: str) -> None:
        self.optimizer = optimizer
        self.parameters = [tensor for group in optimizer.param_groups for tensor in group["params"]]
        self.scaler = torch.amp.GradScaler(self.parameters[0].device.type, enabled=precision == "fp16")
        self.num_batches = 0
        self._losses: list[Tensor] = []
        self._weights: list[Tensor] = []

    def add(self, loss: Tensor, weight: Tensor | None) -> None:
        """Adds the gradients of a batch; None as its weight is for a step of this batch alone."""
        self.num_batches += 1
        self.scaler.scale(loss if weight is None else loss * weight).backward()
        self._losses.append(loss.detach())
        if weight is not None:
            self._weights.append(weight)

    def use(self, clip_norm: float | None, clip_value: float | None) -> Tensor:
        """Moves the weights and drops the gradients; returns the mean loss of the batches.

        Args:
            clip_norm: Norm that all gradients together are shrunk to if theirs is larger, or None.
            clip_value: Absolute value that each gradient is first cut to, or None.
        """
        self.scaler.unscale_(self.optimizer)
        loss = self._average()
        if clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, clip_value)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.num_batches = 0
        return loss

    def _average(self) -> Tensor:
        """Divides the gradients by the weights' sum; returns the weighted mean of the losses."""
        losses, weights = self._losses, self._weights
        self._losses, self._weights = [], []
        if not weights:
            return losses[0]
        shares = torch.stack(weights)
        total = shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
        torch._foreach_div_([tensor.grad for tensor in self.parameters if tensor.grad is not None], total)
        return (torch.stack(losses) * shares).sum() / total
