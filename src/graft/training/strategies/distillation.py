"""Distillation of the parent's answers, also where classes joined that were background to the parent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# A logit whose probability is zero in float32, and whose gradients are finite, which those of -inf are not.
FAR_BELOW = -1e4


def distillation(logits: Tensor, of_parent: Tensor, temperature: float = 1.0) -> Tensor:
    """The mean divergence of the answers from the parent's: 1/N sum_i sum_c p_ic log(p_ic / q_ic).

    p and q are the softmax of the parent's logits and of the logits, both over the temperature. The gradient is that of
    the cross-entropy -sum_c p_c log q_c, in which Li & Hoiem 2016 ("Learning without Forgetting", equation 2) state it;
    unlike that, it is zero where nothing is forgotten.

    Args:
        logits: [B, P] or [B, P, H, W], float.
        of_parent: The same shape; no gradient is needed.
        temperature: Larger ones make the classes count that are unlikely.

    Returns:
        A scalar: the mean over all pixels (or images), those without a label included.
    """
    return mean_divergence(*(F.log_softmax(each / temperature, dim=1) for each in (logits, of_parent)))


def mean_divergence(found: Tensor, wanted: Tensor, inside: Tensor | None = None) -> Tensor:
    """1/N sum_i sum_c p_ic log(p_ic / q_ic), a scalar, of log-probabilities log q and log p whose axis 1 is c.

    Args:
        found: log q, [B, C, …].
        wanted: log p, the same shape.
        inside: bool [B, …], the N of the i that count, zero where there are none; all count where it is None.
    """
    divergences = F.kl_div(found, wanted, reduction="none", log_target=True).sum(1)
    return divergences.mean() if inside is None else (divergences * inside).sum() / inside.sum().clamp_min(1)


def fold(logits: Tensor, into: int, others: Sequence[int]) -> Tensor:
    """Logits in which one class stands for several: its probability is the sum of theirs, and theirs is zero.

    z_into becomes log sum_c exp(z_c) over `into` and `others`, so that the softmax of the rest stays what it was.

    Args:
        logits: [B, K, H, W], float.
        into: Id of the class that stands for the others too.
        others: Ids of the others.
    """
    if not others:
        return logits
    hidden = torch.tensor(others, device=logits.device)
    both = torch.cat([logits[:, into : into + 1], logits.index_select(1, hidden)], dim=1)
    place = torch.tensor([into], device=logits.device)
    return logits.index_fill(1, hidden, FAR_BELOW).index_copy(1, place, both.logsumexp(1, keepdim=True))


def fold_where_background(logits: Tensor, targets: Tensor, background: int, known: Sequence[int]) -> Tensor:
    """Logits for a loss whose background may be any class that the parent knows.

    Where the target is background its probability becomes that of background or a known class, elsewhere nothing
    changes: the cross-entropy of these logits is the unbiased one of Cermelli et al. 2020, "Modeling the Background for
    Incremental Learning in Semantic Segmentation", equations 5 and 6.

    Args:
        logits: [B, K, H, W], float.
        targets: Long [B, H, W].
        background: Id of the background.
        known: Ids of the classes that the parent knows, the background among them or not.
    """
    return fold_where(targets == background, logits, background, [each for each in known if each != background])


def fold_where(places: Tensor, logits: Tensor, into: int, others: Sequence[int]) -> Tensor:
    """The logits of `fold` where `places`, bool [B, H, W], say so; elsewhere as they are."""
    return torch.where(places.unsqueeze(1), fold(logits, into, others), logits)
