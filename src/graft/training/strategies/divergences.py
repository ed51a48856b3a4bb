"""Divergences of a student's answers from its teachers': of classes, of places, and of the right class and the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from graft.training.strategies.distillation import FAR_BELOW, mean_divergence

Kind = Literal["kl", "channel_wise", "decoupled"]
# The tasks that each serves: places are a question of masks; of images, one class is the right one.
TASKS = {
    "kl": ("segmentation", "classification"),
    "channel_wise": ("segmentation",),
    "decoupled": ("classification",),
}

# The temperature of each where none is said: of a pixel's classes that of Liu et al. 2019, "Structured Knowledge
# Distillation for Semantic Segmentation"; of the others that of their papers.
TEMPERATURES = {"kl": 1.0, "channel_wise": 4.0, "decoupled": 4.0}


@dataclass(frozen=True)
class Divergence:
    """A divergence, times the square of its temperature: the gradients of softer answers are that much smaller.

    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2, for the square.

    Attributes:
        kind: Name of the divergence.
        temperature: Temperature T of both softmaxes.
        right_weight: Factor of the right class in `decoupled`, the paper's alpha.
        others_weight: Factor of the other classes in `decoupled`, the paper's beta.
    """

    kind: Kind = "kl"
    temperature: float = 4.0
    right_weight: float = 1.0
    others_weight: float = 8.0

    def soften(self, logits: Tensor, inside: Tensor | None = None) -> Tensor:
        """The log-probabilities that are compared: over the classes, for `channel_wise` over the places of each class.

        Args:
            logits: [B, K] or [B, K, H, W], float.
            inside: bool [B] or [B, H, W], whether a place is in the image; one beyond it has no share in
                `channel_wise`. None where all are.

        Returns:
            [B, K], [B, K, H, W], or for `channel_wise` [B, HW, K], whose axis 1 sums up to one.
        """
        if self.kind == "channel_wise":
            logits = logits.flatten(2).transpose(1, 2)
        logits = logits / self.temperature
        if self.kind == "channel_wise" and inside is not None:
            logits = logits.masked_fill(~inside.flatten(1).unsqueeze(2), FAR_BELOW)
        return F.log_softmax(logits, dim=1)

    def combine(self, teachers: Sequence[Tensor], inside: Tensor | None = None) -> Tensor:
        """The log of the teachers' mean probabilities, out of what `soften` made of the logits of each."""
        softened = [self.soften(logits, inside) for logits in teachers]
        if len(softened) == 1:
            return softened[0]
        return torch.stack(softened).logsumexp(0) - math.log(len(softened))

    def __call__(
        self, logits: Tensor, answers: Tensor, targets: Tensor | None = None, inside: Tensor | None = None
    ) -> Tensor:
        """The divergence of logits from the teachers' answers, a scalar.

        * `kl`: T² · 1/N Σ_i Σ_c p_ic log(p_ic / q_ic), over all pixels or images i;
        * `channel_wise`: T² · 1/(B K) Σ_c Σ_i φ_ic log(φ_ic / ψ_ic), φ and ψ the softmax of a class over the places i
          of an image (Shu et al. 2021, "Channel-wise Knowledge Distillation for Dense Prediction", section 3.2);
        * `decoupled`: T² · (α KL(b) + β KL(r)), b whether an image is of the right class and r which of the others it
          is, if not (Zhao et al. 2022, "Decoupled Knowledge Distillation", equation 7).

        Args:
            logits: [B, K] or [B, K, H, W], float.
            answers: Result of `combine` for the teachers' logits.
            targets: Long [B], the right classes; None for what the teachers think likeliest. Only `decoupled` asks.
            inside: As `combine` was given it; what is beyond the images does not count.
        """
        softened = self.soften(logits, inside)
        if self.kind == "kl":
            return self.temperature**2 * mean_divergence(softened, answers, inside)
        if self.kind == "channel_wise":
            return self.temperature**2 * mean_divergence(softened, answers)
        right = answers.argmax(1) if targets is None else targets
        ours, theirs = (split_right(each, right) for each in (softened, answers))
        of_right, of_others = map(mean_divergence, ours, theirs)
        return self.temperature**2 * (self.right_weight * of_right + self.others_weight * of_others)


def split_right(log_probabilities: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Splits log-probabilities [B, K] into those of the right class and not, [B, 2], and of the others alone, [B, K].

    Of the others the right class has none; where there are two classes, the one other is certain.
    """
    place = right.unsqueeze(1)
    others = log_probabilities.scatter(1, place, FAR_BELOW)
    both = [log_probabilities.gather(1, place), others.logsumexp(1, keepdim=True)]
    return torch.cat(both, dim=1), F.log_softmax(others, dim=1)
