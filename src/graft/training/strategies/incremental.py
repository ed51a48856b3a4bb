"""The strategy of updates: unbiased distillation where classes are new, learning without forgetting where not."""

from __future__ import annotations

from functools import partial
from typing import Any

from graft.training.context import TrainingContext
from graft.training.losses import WeightedSum
from graft.training.strategies.distilled import Distilled, Temperature, Weight
from graft.training.strategies.parent import background_of
from graft.training.strategies.shared_options import moving_as_supervised


@moving_as_supervised
def incremental(
    loss: WeightedSum,
    *,
    weight: Weight = 1.0,
    temperature: Temperature = 2.0,
    background: str | None = None,
    **movement: Any,
) -> Distilled:
    """The strategy of updates: `mib` where new classes came out of the background, `lwf` where not.

    For a registered model that shall learn a delivery and keep what it knows, whatever the delivery holds: more of the
    same classes, another domain, or new classes. It looks at the classes that the parent knows by name. If there are
    new ones beside a background the parent knows, it is `mib`: both losses know that background hides classes (Cermelli
    et al. 2020), in a memory those that its delivery does not show. Else it is `lwf` (Li & Hoiem 2016): the same
    classes, images that each have one, or masks without a background, where pixels that are not labelled count in the
    distillation alone. Use one of the two itself where the choice is to be fixed, and `supervised` on all images
    together where old ones may be kept and time is no matter.

    Args:
        loss: Loss to be minimised.
        weight: Factor of the distillation.
        temperature: Temperature of both softmaxes of the distillation, as in `lwf`; `mib` alone has 1.
        background: Name of the class that stands for all that is no class of its own; the one called background if it
            is not given.

    Raises:
        GraftError: The pretrained weights know none of the classes, or options that make no sense together.
    """
    return Distilled(partial(_background_of_new, background), temperature, "incremental", loss, weight, movement)


def _background_of_new(wanted: str | None, context: TrainingContext) -> int | None:
    if context.task != "segmentation" or not context.new:
        return None
    found = background_of(context.class_names, wanted)
    return found if found in context.known else None
