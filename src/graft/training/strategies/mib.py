"""Modelling the background: what is background in one step is another class in the next, and both losses know it."""

from __future__ import annotations

from functools import partial
from typing import Any

from graft.training.losses import WeightedSum
from graft.training.strategies.distilled import Distilled, Temperature, Weight
from graft.training.strategies.parent import grown_background
from graft.training.strategies.shared_options import moving_as_supervised


@moving_as_supervised
def mib(
    loss: WeightedSum,
    *,
    weight: Weight = 1.0,
    temperature: Temperature = 1.0,
    background: str | None = None,
    **movement: Any,
) -> Distilled:
    """Modelling the background: new classes are learnt from masks in which all that the parent knows is background.

    For new classes whose delivery labels nothing else: old classes lie unlabelled in it, and new ones lay unlabelled in
    what the parent saw (Cermelli et al. 2020, "Modeling the Background for Incremental Learning in Semantic
    Segmentation"). With p the softmax, b the background, O the classes of the parent and N the new ones,

    * a pixel labelled background costs -log Σ_{c in O} p_c (b is one of O), any other -log p of its class (equation 5);
    * the parent's answers are distilled with p_b + Σ_{c in N} p_c in the place of p_b (equation 8);
    * new rows of the class layer begin as equal shares of the background (equations 9 and 10).

    Other losses of `fine_tune.losses` see the same folded logits. Where the new masks label old classes too, these
    pixels count as what they are, but background still may be anything the parent knows. Images of a memory
    (`augment.memory`) come from deliveries that each labelled classes of their own: there background costs
    -log (p_b + Σ p_c), with c in all classes, old or new, that no remembered image of the same delivery shows, and
    -log p_b, as ever, where it shows all. Where no class is new, or none is background, use `lwf`; `weight: 0` leaves
    the first and the third part.

    Args:
        loss: Loss to be minimised.
        weight: Factor of the distillation, λ. The paper's code has 10, and divides by the number of classes of the
            parent, which this, as its equation 7, does not.
        temperature: Temperature of both softmaxes of the distillation; the paper has 1.
        background: Name of the class that stands for all that is no class of its own; the one called background if it
            is not given.

    Raises:
        GraftError: The parent knows none of the classes or all of them, no class is background, or options that make
            no sense together.
    """
    return Distilled(partial(grown_background, "mib", background), temperature, "mib", loss, weight, movement)
