"""The parent of a model: the network it grows out of, kept as it was, so that its answers can be kept too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graft.data.views.view import BatchSource
from graft.foundation.errors import GraftError
from graft.models.architectures import Model, WithAuxiliary
from graft.training.context import TrainingContext
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.strategies.shared_options import completed
from graft.training.strategies.supervised import Supervised

WHERE = "fine_tune.strategy"
BACKGROUND = "background"


class FromParent(Supervised):
    """Supervised training of a model that is not to forget how its pretrained weights answered.

    The parent is those weights as they were loaded, in evaluation mode: it is taken when training begins, also where a
    training resumes, since it resumes on a model that was loaded anew.

    Args:
        name: Name of the strategy.
        loss: Loss of the labels.
        weight: Factor of what keeps the parent's answers.
        movement: Options of `supervised` on movement; others are at their defaults.
    """

    context: TrainingContext
    parent: Model

    def __init__(self, name: str, loss: WeightedSum, weight: float, movement: dict[str, Any]) -> None:
        super().__init__(loss, completed(movement))
        self.name, self.weight = name, weight

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Keeps the parent; refuses weights that know none of the classes."""
        refuse_unknown_parent(self.name, context)
        self.context, self.parent = context, copy.deepcopy(model).eval().requires_grad_(False)

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Gives the parent a forward pass of its own."""
        self.of_parent: Callable[[Any], Any] = forward.of(self.parent)
        return super().prepare(model, views, forward)

    @torch.no_grad()
    def ask_parent(self, images: Tensor) -> Tensor:
        """The parent's logits [B, P, …] of the classes it knows, in order of id."""
        return channels(logits_of(self.of_parent(images)), self.context.known)


def logits_of(output: Tensor | WithAuxiliary) -> Tensor:
    """The logits of a forward pass, without the auxiliary ones."""
    return output.logits if isinstance(output, WithAuxiliary) else output


def channels(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """The channels of these classes, in this order, out of logits [B, K, …]."""
    if list(ids) == list(range(logits.shape[1])):
        return logits
    return logits.index_select(1, torch.tensor(ids, device=logits.device))


def refuse_unknown_parent(name: str, context: TrainingContext) -> None:
    """Refuses pretrained weights that know none of the classes, so that there is nothing to keep.

    Raises:
        GraftError: They know none.
    """
    if context.known_classes:
        return
    names = context.class_names
    raise GraftError(
        f"the strategy {name} needs a parent, and the pretrained weights know none of the {len(names)} classes "
        f"({shortened(names)})",
        where=WHERE,
        rule="a parent is a model whose class layer knows at least one of the classes by name: its answers are kept",
        remedy="set pretrain_load.source to a model that Graft registered or exported, and part: all, or "
        "fine_tune.strategy: supervised",
    )


def shortened(names: Sequence[str], most: int = 12) -> str:
    """The names, with commas; of many, the first."""
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])


def background_of(class_names: Sequence[str], wanted: str | None) -> int | None:
    """The id of the class that stands for all that is no class of its own.

    Args:
        class_names: Names of the classes, in order of id.
        wanted: Its name; None for the class called background, and None is the answer if there is none.

    Raises:
        GraftError: There is no class of the wanted name.
    """
    if wanted is None:
        return next((number for number, name in enumerate(class_names) if name.casefold() == BACKGROUND), None)
    if wanted not in class_names:
        raise GraftError(
            f"no class is called {wanted!r}",
            where=f"{WHERE}.background",
            rule=f"it is one of the classes: {shortened(class_names, 40)}",
            remedy="name the class that stands for all that is no class of its own",
        )
    return list(class_names).index(wanted)


def grown_background(name: str, wanted: str | None, context: TrainingContext) -> int:
    """The id of the background that new classes came out of.

    Args:
        name: Name of the strategy.
        wanted: Name of the background; None for the class of that name.
        context: Facts of the training's start.

    Raises:
        GraftError: No class is new, or none that the parent knows is the background.
    """
    if not context.new:
        raise GraftError(
            f"the strategy {name} learns new classes, and the parent knows all of them",
            where=WHERE,
            rule="only where classes are new does background mean one thing to the parent and another to the labels",
            remedy="set fine_tune.strategy: lwf, or incremental, which chooses between the two",
        )
    found = background_of(context.class_names, wanted)
    if found is None or found in context.new:
        raise GraftError(
            f"the strategy {name} needs a background, and no class that the parent knows is called "
            f"{wanted or BACKGROUND}",
            where=WHERE,
            rule="new classes were background to the parent, and its classes may be background in the new masks; "
            f"it knows {shortened(context.known_classes, 40)}",
            remedy=f"name the class that is: {{name: {name}, background: NAME}}; where there is none, strategy: lwf",
        )
    return found
