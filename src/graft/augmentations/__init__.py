"""What happens to a training image: policies chosen by name, seeded by content, keeping every mask value.

Each entry is `(*, options) -> Steps`; `build` makes the policy of a size out of its steps.
"""

from __future__ import annotations

from collections.abc import Callable

from graft.augmentations.affine import affine
from graft.augmentations.blur_noise import blur_noise
from graft.augmentations.compose import compose
from graft.augmentations.crop import crop
from graft.augmentations.elastic import elastic
from graft.augmentations.flip import flip
from graft.augmentations.geometric import geometric
from graft.augmentations.light import light
from graft.augmentations.perspective import perspective
from graft.augmentations.photometric import photometric
from graft.augmentations.policy import Policy, apply, carrying, num_carried, serialise
from graft.augmentations.rand_augment import rand_augment
from graft.augmentations.rotation import rotation
from graft.augmentations.steps import Steps, build, contradictions, seeks_rare_classes
from graft.augmentations.street import street
from graft.augmentations.weather import weather

POLICIES: dict[str, Callable[..., Steps]] = {
    "affine": affine,
    "blur_noise": blur_noise,
    "compose": compose,
    "crop": crop,
    "elastic": elastic,
    "flip": flip,
    "geometric": geometric,
    "light": light,
    "perspective": perspective,
    "photometric": photometric,
    "rand_augment": rand_augment,
    "rotation": rotation,
    "street": street,
    "weather": weather,
}

__all__ = [
    "POLICIES",
    "Policy",
    "apply",
    "build",
    "carrying",
    "contradictions",
    "num_carried",
    "seeks_rare_classes",
    "serialise",
]
