"""Asymmetric loss: for images with several labels, of which most are absent."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from graft.foundation.errors import GraftError

Focus = Annotated[float, Field(ge=0)]


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    class_weights: Tensor | None,
    *,
    positive_focus: Focus = 0.0,
    negative_focus: Focus = 4.0,
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.05,
) -> Tensor:
    """Cross-entropy of each label, in which easy absences count little: the mean over images and classes.

    A present class costs -(1 - p) ** g+ log p, an absent one -q ** g- log(1 - q) with q = max(p - m, 0): p is the
    sigmoid of the logit, g+ `positive_focus`, g- `negative_focus` and m `margin`. Where an image has few of many
    classes the absent ones outweigh the others in a plain cross-entropy; here those that are answered well vanish,
    below the margin altogether, and labels that were forgotten do less harm. With all three at zero it is
    `binary_cross_entropy`.

    Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification", equations 5 to 7, and their defaults for
    MS-COCO; the mean over classes where their code has the sum.

    Args:
        logits: [B, K], float.
        targets: [B, K], long: one where the image has the class, else zero.
        class_weights: None; it takes none.
        positive_focus: Exponent that lessens present classes which are found already.
        negative_focus: Exponent that lessens absent classes which are not found.
        margin: Probability below which an absent class costs nothing.

    Returns:
        A scalar.

    Raises:
        GraftError: A target is not a set of labels.
    """
    if targets.shape != logits.shape:
        raise GraftError(
            f"asymmetric is for images with several labels; here the targets are {list(targets.shape)}",
            where="fine_tune.losses",
            remedy="write focal, or set task: multilabel",
        )
    present = targets.to(logits.dtype)
    probabilities, log_complement = logits.sigmoid(), F.logsigmoid(-logits)
    # (1 - p) ** g+ by its logarithm: a power of zero, where p rounds to one, has no finite gradient
    of_present = (positive_focus * log_complement).exp() * F.logsigmoid(logits)
    costs = probabilities > margin
    # what costs nothing has no gradient, and no power of zero
    shifted = torch.where(costs, probabilities - margin, 0.5)
    log_absent = torch.log(torch.sigmoid(-logits) + margin) if margin else log_complement
    of_absent = torch.where(costs, shifted**negative_focus * log_absent, 0.0)
    return -(present * of_present + (1 - present) * of_absent).mean()
