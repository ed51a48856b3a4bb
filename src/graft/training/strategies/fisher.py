"""The diagonal of the Fisher information: how much each parameter matters to what a model answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graft.foundation.content import content_seed
from graft.training.strategies.parent import channels


def diagonal_fisher(
    answer: Callable[[Tensor], Tensor],
    parameters: Sequence[nn.Parameter],
    images: Iterable[Tensor],
    known: Sequence[int],
    seed: int,
) -> list[Tensor]:
    """The Fisher information of each parameter, for one label: E_x E_y (d log p(y | x) / d w)^2.

    The labels y are drawn from the model's own answers, over the classes `known`: with the labels of the data it would
    be the empirical Fisher, which is another thing (Kunstner et al. 2019, "Limitations of the Empirical Fisher
    Approximation"). Every image takes a backward pass of its own, for squares do not add up within a batch. The pixels
    of an image are drawn independently of each other, so that the square of the sum of their gradients is the sum of
    their squares on average; it is divided by their number.

    Args:
        answer: Function from a batch of one image to logits [1, K] or [1, K, H, W].
        parameters: Parameters w.
        images: Batches of one image; at least one.
        known: Ids of the classes that the model tells apart.
        seed: Seed of the drawing.

    Returns:
        For each parameter a tensor of its shape; zero where it does not matter to these images.
    """
    total, number = [torch.zeros_like(parameter) for parameter in parameters], 0
    for image in images:
        log_p = F.log_softmax(channels(answer(image), known), dim=1)
        drawn = _draw(log_p.detach(), content_seed(seed, "fisher", number))
        log_likelihood = log_p.gather(1, drawn.unsqueeze(1)).sum()
        found = torch.autograd.grad(log_likelihood, parameters, allow_unused=True)
        for sums, gradient in zip(total, found, strict=True):
            if gradient is not None:
                sums.addcmul_(gradient, gradient, value=1 / drawn.numel())
        number += 1
    return [sums / number for sums in total]


def _draw(log_p: Tensor, seed: int) -> Tensor:
    """A class for each pixel (or image) out of log-probabilities [1, P, …]; the same on every device to rounding."""
    uniform = torch.rand(log_p.shape[2:], generator=torch.Generator().manual_seed(seed)).to(log_p.device)
    return (log_p.exp().cumsum(1) < uniform).sum(1).clamp_max(log_p.shape[1] - 1)
