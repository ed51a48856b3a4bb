"""Learning without forgetting: new labels are learnt while the answers of the parent are kept."""

from __future__ import annotations

from typing import Any

from graft.training.losses import WeightedSum
from graft.training.strategies.distilled import Distilled, Temperature, Weight
from graft.training.strategies.shared_options import moving_as_supervised


@moving_as_supervised
def lwf(loss: WeightedSum, *, weight: Weight = 1.0, temperature: Temperature = 2.0, **movement: Any) -> Distilled:
    """Learning without forgetting: new labels are learnt while the parent's answers to the same images are kept.

    For a model that grows out of a registered one on new images alone: a new domain, more of the same classes, or new
    classes, for images and for pixels (Li & Hoiem 2016, "Learning without Forgetting", equations 2 to 4). The loss is

    L + weight · 1/N Σ_i Σ_c p_ic log(p_ic / q_ic),

    where p and q are the softmax, over the classes the parent knows, of its logits and of the new ones, both divided
    by the temperature; the classes are matched by name. It needs no old image. It helps as far as the parent answers
    the new images sensibly: what it gets wrong at night is kept as well, and classes that no new image resembles are
    not protected at all. Where new classes were background before, `mib` says so to both halves of the loss, and this
    does not. With `weight: 0` it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        weight: Factor of the distillation, λ_o; the paper has 1.
        temperature: Temperature of both softmaxes; the paper has 2.

    Raises:
        GraftError: The pretrained weights know none of the classes, or options that make no sense together.
    """
    return Distilled(lambda _: None, temperature, "lwf", loss, weight, movement)
