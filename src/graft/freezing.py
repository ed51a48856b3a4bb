"""What of a model is trained, and which of it decays."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from graft.models import Model

Train = Literal["all", "head", "frozen_backbone"]


def apply(model: Model, train: Train) -> None:
    """Lets gradients reach only what `train` names, and rests the remainder, normalisation statistics included.

    * `all`: everything.
    * `frozen_backbone`: all that is not backbone, that is decoder and class layers.
    * `head`: the class layers only, a linear probe on fixed features.

    A part without trainable parameters stays in evaluation mode even after `model.train()`, so that its statistics keep
    every bit. The model comes back in training mode.
    """
    model.requires_grad_(train == "all")
    trained = {"all": (), "frozen_backbone": ("head",), "head": model.class_layers}[train]
    for name in trained:
        model.get_submodule(name).requires_grad_(True)
    model.train()


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Trainable parameters as groups for an optimizer, none of them empty.

    Normalisation layers and biases (whatever has at most one dimension) never decay: shrinking them towards zero
    regularises nothing (He et al. 2019, "Bag of Tricks", section 3.1).

    Args:
        model: Its parameters' first name, `backbone` or `head`, splits the groups further.

    Returns:
        Dicts of `name` (for example `backbone, decaying`), `params`, and `weight_decay` zero where nothing decays; the
        others leave it to the optimizer.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = parameter.ndim > 1
        key = f"{name.split('.')[0]}, {'decaying' if decays else 'not decaying'}"
        group = groups.setdefault(key, {"name": key, "params": [], **({} if decays else {"weight_decay": 0.0})})
        group["params"].append(parameter)
    return list(groups.values())


def group_table(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each group: `name`, `num_tensors`, `num_parameters`."""
    return [
        {
            "name": group["name"],
            "num_tensors": len(group["params"]),
            "num_parameters": sum(parameter.numel() for parameter in group["params"]),
        }
        for group in groups
    ]
