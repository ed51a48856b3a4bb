"""The impression that an image makes on the model that a memory is chosen by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError

How = Literal["random", "herding", "loss"]
NO_PARENT = "none"


@dataclass(frozen=True)
class Impression:
    """An image as a model sees it.

    Attributes:
        features: Pooled features of its backbone, float32 [D].
        loss: Mean cross-entropy of its answers over the labelled pixels (or the label); 0 where it knows none of them.
    """

    features: np.ndarray
    loss: float


# Takes numbers of rows of the train shards, gives the impression of each.
Look = Callable[[Set[int]], Mapping[int, Impression]]


def parent_problem(memory: Choice, parent: str) -> GraftError | None:
    """The error of a memory that needs a model to choose by, or of a model that chooses nothing.

    Args:
        memory: Resolved value of `augment.memory`.
        parent: Value of `augment.parent`.
    """
    how = memory.options.get("choice", "random")
    if (how == "random") == (parent == NO_PARENT):
        return None
    chosen = f"choice: {how}" if "choice" in memory.options else f"memory: {memory.name}"
    return GraftError(
        f"augment.parent is {parent}, with {chosen}",
        where="augment.parent",
        rule="herding and loss look at images with the pretrained weights, and nothing else in augment reads these",
        remedy="set augment.parent: none, or choice: herding or loss"
        if how == "random"
        else "set augment.parent: pretrained, or choice: random",
    )
