"""Freezing: which parameters of a model train, from which epoch on, and at which rate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from graft.foundation.errors import GraftError
from graft.models.architectures import Model

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# As torchvision and timm name them: position embeddings, tables and networks, tokens, scales of residual branches.
POSITION = re.compile(
    r"pos(ition)?(al)?_?(embed|enc)|rel(ative)?_(pos|coords)|(cls|class|dist|reg|register|mask)_tokens?$"
    r"|cpb_mlp|layer_?scale|logit_scale"
)


def is_normalisation(module: nn.Module) -> bool:
    """Whether a module normalises its input: torch's layers, their subclasses, and layers of a library's own.

    A library's own is a module without children whose class name says norm, such as timm's `RmsNorm`.
    """
    if isinstance(module, NORMALISATIONS):
        return True
    return "norm" in type(module).__name__.lower() and not any(True for _ in module.children())


def exempt_from_decay(model: nn.Module) -> set[str]:
    """Names of the parameters that weight decay should not shrink towards zero, where nothing is gained by it.

    * normalisation, and whatever has at most one dimension, so all biases (He et al. 2019, "Bag of Tricks",
      section 3.1);
    * position embeddings and tables, class and register tokens, layer and logit scales, which have more dimensions
      than that in torchvision's and timm's transformers, and are therefore known by name;
    * what a part of the model names itself in `no_weight_decay()`, as timm's models do.
    """
    exempt = set()
    for prefix, module in model.named_modules():
        names = {name for name, _ in module.named_parameters()} if is_normalisation(module) else set()
        if callable(say := getattr(module, "no_weight_decay", None)):
            names |= set(say())
        exempt |= {f"{prefix}.{name}" if prefix else name for name in names}
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim <= 1 or name in exempt or POSITION.search(name)
    }


Train = Literal["all", "head", "frozen_backbone"]
Unfreeze = Literal["none", "head_first", "gradual"]
Normalisation = Literal["trained", "frozen", "re_estimated"]


@dataclass(frozen=True)
class LayerGroup:
    """Parameters that begin to train in the same epoch and share a learning rate.

    Attributes:
        name: Name of the part of the model: `backbone`, `head`, or a stage.
        parameters: Parameters of the part, trainable or not.
        rate_factor: Factor of the learning rate.
        first_epoch: First epoch in which they train, from 0.
    """

    name: str
    parameters: list[nn.Parameter]
    rate_factor: float = 1.0
    first_epoch: int = 0


def apply(model: Model, train: Train, normalisation: Normalisation = "trained") -> None:
    """Makes the parameters that `train` names trainable, and freezes the others, normalisation statistics included.

    * `all`: everything.
    * `frozen_backbone`: all that is not backbone, that is decoder and class layers.
    * `head`: the class layers only, a linear probe on fixed features.

    With `frozen` normalisation the backbone's normalisation layers rest too, whatever trains around them. A part
    without trainable parameters stays in evaluation mode even after `model.train()`, so that its statistics keep every
    bit. The model comes back in training mode.
    """
    _let_train(model, train, normalisation)
    model.train()


def _let_train(model: Model, train: Train, normalisation: Normalisation) -> None:
    model.requires_grad_(train in ("all", "frozen_backbone"))
    if train == "frozen_backbone":
        model.backbone.requires_grad_(False)
    for name in model.class_layers if train == "head" else ():
        model.get_submodule(name).requires_grad_(True)
    for module in model.backbone.modules() if normalisation == "frozen" else ():
        if is_normalisation(module):
            module.requires_grad_(False)


def halves(model: Model) -> list[tuple[str, list[nn.Parameter]]]:
    """The backbone's parameters and all the others."""
    backbone = list(model.backbone.parameters())
    inside = set(map(id, backbone))
    return [("backbone", backbone), ("head", [p for p in model.parameters() if id(p) not in inside])]


@dataclass(frozen=True)
class Movement:
    """Which parameters of a model train, from when, and how fast; the options are those of `supervised`."""

    train: Train = "all"
    unfreeze: Unfreeze = "none"
    head_epochs: int = 1
    unfreeze_every_epochs: int = 1
    backbone_rate_factor: float = 1.0
    layer_decay: float = 1.0
    normalisation: Normalisation = "trained"

    def parts(self, model: Model) -> list[LayerGroup]:
        """The parts of the model from input to output: its stages if depth matters, else backbone and head."""
        by_stage = self.unfreeze == "gradual" or self.layer_decay != 1
        named = model.stages() if by_stage else halves(model)
        depths = range(len(named) - 1, -1, -1)  # distance from the head, which is last
        return [
            LayerGroup(name, parameters, self._rate_factor(depth), self._first_epoch(depth))
            for (name, parameters), depth in zip(named, depths, strict=True)
        ]

    def parameter_groups(self, model: Model, *, decay: bool = True) -> list[dict[str, Any]]:
        """Groups of all parameters that will ever train; all others are frozen from now on."""
        apply(model, self.train, self.normalisation)
        return parameter_groups(model, self.parts(model), decay=decay)

    def begin_epoch(self, model: Model, epoch: int, epochs: int) -> None:
        """Freezes what does not train yet in an epoch (from 0) and lets the rest move; a pure function of `epoch`.

        It takes hold with the next `model.train()`.

        Raises:
            GraftError: Something would never begin to train.
        """
        if self.unfreeze == "none":
            return
        parts = self.parts(model)
        if problem := self.too_late(parts, epochs):
            raise problem
        _let_train(model, self.train, self.normalisation)
        for part in parts:
            for parameter in part.parameters if epoch < part.first_epoch else ():
                parameter.requires_grad_(False)

    def too_late(self, parts: Sequence[LayerGroup], epochs: int) -> GraftError | None:
        """The error if a part would begin to train only after the last epoch."""
        last = max(parts, key=lambda part: part.first_epoch)
        if last.first_epoch < epochs:
            return None
        key = "head_epochs" if self.unfreeze == "head_first" else "unfreeze_every_epochs"
        return GraftError(
            f"{last.name} would begin to train in epoch {last.first_epoch + 1}, training ends after {epochs}",
            where=f"fine_tune.strategy.{key}",
            rule="all that is unfrozen trains for at least one epoch",
            remedy=f"set fine_tune.epochs to at least {last.first_epoch + 1}, lower {key}, or train: frozen_backbone",
        )

    def _rate_factor(self, depth: int) -> float:
        return self.layer_decay**depth * (self.backbone_rate_factor if depth else 1.0)

    def _first_epoch(self, depth: int) -> int:
        if self.unfreeze == "gradual":
            return depth * self.unfreeze_every_epochs
        return self.head_epochs if self.unfreeze == "head_first" and depth else 0


def parameter_groups(
    model: Model, parts: Sequence[LayerGroup] | None = None, *, decay: bool = True
) -> list[dict[str, Any]]:
    """Trainable parameters as groups for an optimizer, none of them empty.

    Args:
        model: Model whose parameters train if their `requires_grad` is set.
        parts: Parts of the model that move together; backbone and head by default.
        decay: Whether any parameter decays.

    Returns:
        Dicts of `name` (for example `backbone, decaying`), `params`, `rate_factor`, `trains_from_epoch` (from 1), and
        `weight_decay` zero where nothing decays, see `exempt_from_decay`; the others leave it to the optimizer.
    """
    exempt = exempt_from_decay(model)
    decaying = {id(p) for name, p in model.named_parameters() if decay and name not in exempt}
    groups = []
    for part in parts or [LayerGroup(*half) for half in halves(model)]:
        for decays in (True, False):
            params = [p for p in part.parameters if p.requires_grad and (id(p) in decaying) == decays]
            group = {
                "name": f"{part.name}, {'decaying' if decays else 'not decaying'}",
                "params": params,
                "rate_factor": part.rate_factor,
                "trains_from_epoch": part.first_epoch + 1,
                **({} if decays else {"weight_decay": 0.0}),
            }
            groups += [group] if params else []
    return groups


def rate_of(group: Mapping[str, Any], learning_rate: float) -> float:
    """The learning rate of a parameter group: that of the step, times the group's own `rate_factor` if it has one."""
    return learning_rate * group.get("rate_factor", 1.0)


def group_table(groups: Sequence[dict[str, Any]], learning_rate: float) -> list[dict[str, Any]]:
    """A row for each parameter group of an optimizer.

    Args:
        groups: Groups that `parameter_groups` made; an optimizer has filled in their weight decay.
        learning_rate: Learning rate before schedule and rate factors.

    Returns:
        Dicts of `name`, `num_tensors`, `num_parameters`, `trains_from_epoch` (from 1), `rate_factor`, and the
        group's `learning_rate` (before the schedule) and `weight_decay` (None: the optimizer has not said).
    """
    return [
        {
            "name": group["name"],
            "num_tensors": len(group["params"]),
            "num_parameters": sum(parameter.numel() for parameter in group["params"]),
            "trains_from_epoch": group["trains_from_epoch"],
            "rate_factor": group["rate_factor"],
            "learning_rate": rate_of(group, learning_rate),
            "weight_decay": group.get("weight_decay"),
        }
        for group in groups
    ]


def frozen_table(model: Model, groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for the parameters of backbone and head in no group: `name`, `num_tensors`, `num_parameters`."""
    held = {id(parameter) for group in groups for parameter in group["params"]}
    rows = []
    for name, parameters in halves(model):
        rest = [parameter for parameter in parameters if id(parameter) not in held]
        row = {"name": f"{name}, frozen", "num_tensors": len(rest), "num_parameters": sum(p.numel() for p in rest)}
        rows += [row] if rest else []
    return rows
