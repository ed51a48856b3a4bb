"""Options of a strategy that contradict each other, refused by name before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graft.foundation.errors import GraftError
from graft.models.architectures import Model
from graft.training.freezing import LayerGroup, Movement, apply
from graft.training.strategies.re_estimation import trained_norms

WHERE = "fine_tune.strategy"
# Options that say how the backbone moves, each with its neutral value.
OF_A_MOVING_BACKBONE = {"unfreeze": "none", "backbone_rate_factor": 1.0, "layer_decay": 1.0, "l2_sp_alpha": 0.0}
# Options that say how long an unfreezing takes, each with its neutral value and the `unfreeze` it belongs to.
OF_AN_UNFREEZING = {"head_epochs": (1, "head_first"), "unfreeze_every_epochs": (1, "gradual")}


def refusals(options: Mapping[str, Any], *, epochs: int | None = None, model: Model | None = None) -> list[GraftError]:
    """The contradictions in the options of `supervised`, which others share, each an error with rule and remedy.

    Args:
        options: All options, defaults included, as `choices.resolve` gives them.
        epochs: Value of `fine_tune.epochs`; None skips the checks that need it.
        model: Model to be trained, whose `requires_grad` is set anew; None skips the checks that need it.
    """
    found = [*_of_a_resting_backbone(options), *_of_no_unfreezing(options), *_of_reuse(options)]
    if options["l2_sp_beta"] and not options["l2_sp_alpha"]:
        found.append(
            GraftError(
                f"l2_sp_beta is {options['l2_sp_beta']} without l2_sp_alpha",
                where=WHERE,
                rule="L2-SP pulls the backbone to its start (alpha), and only beside that the head to zero (beta)",
                remedy="set l2_sp_alpha, for example 0.1, or use the weight_decay of the optimizer",
            )
        )
    if options.get("statistics") and options["normalisation"] == "re_estimated":
        found.append(
            GraftError(
                f"statistics: {options['statistics']} with normalisation: re_estimated",
                where=WHERE,
                rule="statistics are mixed with those of training, and measured anew these are gone",
                remedy="set normalisation: trained, or statistics: 0",
            )
        )
    if found:
        return found
    movement = movement_of(options)
    if options["normalisation"] == "re_estimated":
        found += _of_re_estimation(movement, model)
    if epochs is not None and (movement.unfreeze == "head_first" or model is not None):
        parts = [LayerGroup("the backbone", [], first_epoch=movement.head_epochs)]
        if model is not None:
            parts = movement.parts(model)
        found += filter(None, [movement.too_late(parts, epochs)])
    return found


def movement_of(options: Mapping[str, Any]) -> Movement:
    """The movement of the model that the options describe."""
    return Movement(**{name: options[name] for name in Movement.__dataclass_fields__})


def _of_a_resting_backbone(options: Mapping[str, Any]) -> Iterator[GraftError]:
    train = options["train"]
    for name, neutral in OF_A_MOVING_BACKBONE.items() if train != "all" else ():
        if options[name] != neutral:
            yield GraftError(
                f"{name}: {options[name]} with train: {train}",
                where=WHERE,
                rule=f"{name} says how the backbone moves, and train: {train} never moves it",
                remedy=f"set train: all, or leave {name} out",
            )


def _of_no_unfreezing(options: Mapping[str, Any]) -> Iterator[GraftError]:
    for name, (neutral, way) in OF_AN_UNFREEZING.items():
        if options[name] != neutral and options["unfreeze"] != way:
            yield GraftError(
                f"{name}: {options[name]} with unfreeze: {options['unfreeze']}",
                where=WHERE,
                rule=f"{name} belongs to unfreeze: {way}",
                remedy=f"set unfreeze: {way}, or leave {name} out",
            )


def _of_reuse(options: Mapping[str, Any]) -> Iterator[GraftError]:
    if options.get("reuse_features") and options["train"] == "all":
        yield GraftError(
            "reuse_features with train: all",
            where=WHERE,
            rule="features stay what they are only while the backbone does",
            remedy="set train: frozen_backbone or train: head, or leave reuse_features out",
        )


def _of_re_estimation(movement: Movement, model: Model | None) -> Iterator[GraftError]:
    rule = "re_estimated measures the statistics of batch normalisation where it trains"
    remedy = "set normalisation: trained"
    if movement.train == "head":
        what = "normalisation: re_estimated with train: head, which trains class layers only"
        yield GraftError(what, where=WHERE, rule=rule, remedy=f"set train: frozen_backbone or all, or {remedy}")
    elif model is not None:
        apply(model, movement.train, movement.normalisation)
        if not trained_norms(model):
            what = "normalisation: re_estimated, and what trains of this model has no batch normalisation"
            yield GraftError(what, where=WHERE, rule=rule, remedy=remedy)
