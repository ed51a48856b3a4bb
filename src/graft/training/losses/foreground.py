"""Two classes seen as one foreground and what is not it."""

from __future__ import annotations

from torch import Tensor

from graft.foundation.errors import GraftError


def foreground_logit(logits: Tensor, loss: str) -> Tensor:
    """The logit of class 1 against class 0: the sigmoid of it [B, …] is the softmax of logits [B, 2, …].

    Raises:
        GraftError: There are not two classes.
    """
    if logits.shape[1] != 2:
        raise GraftError(
            f"{loss} is for two classes, background (0) and foreground (1); here are {logits.shape[1]}",
            where="fine_tune.losses",
            remedy=f"write {loss.removeprefix('binary_')}, which takes any number",
        )
    return logits[:, 1] - logits[:, 0]
