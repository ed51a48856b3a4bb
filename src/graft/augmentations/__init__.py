"""What happens to a training image: policies chosen by name, seeded by content, keeping every mask value.

Each entry is `(*, options) -> Steps`; `build` makes the policy of a size out of its steps.
"""

from __future__ import annotations

from collections.abc import Callable

from graft.augmentations.geometric import geometric
from graft.augmentations.light import light
from graft.augmentations.photometric import photometric
from graft.augmentations.policy import Policy, apply, carrying, num_carried, serialise
from graft.augmentations.steps import Steps, build, seeks_rare_classes
from graft.augmentations.street import street

POLICIES: dict[str, Callable[..., Steps]] = {
    "geometric": geometric,
    "light": light,
    "photometric": photometric,
    "street": street,
}

__all__ = ["POLICIES", "Policy", "apply", "build", "carrying", "num_carried", "seeks_rare_classes", "serialise"]
