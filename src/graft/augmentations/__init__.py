"""What happens to a training image: policies chosen by name, seeded by content, keeping every mask value."""

from __future__ import annotations

from collections.abc import Callable

from graft.augmentations.geometric import geometric
from graft.augmentations.light import light
from graft.augmentations.photometric import photometric
from graft.augmentations.policy import Policy, apply, carrying, num_carried, serialise
from graft.augmentations.street import street

POLICIES: dict[str, Callable[..., Policy]] = {
    "geometric": geometric,
    "light": light,
    "photometric": photometric,
    "street": street,
}

__all__ = ["POLICIES", "Policy", "apply", "carrying", "num_carried", "serialise"]
