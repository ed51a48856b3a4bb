"""Augmentation policies of training images: chosen by name, seeded by content, keeping every mask value.

Each entry is `(*, options) -> Steps`; `build` makes the policy of a size out of its steps.
"""

from __future__ import annotations

from collections.abc import Callable

from graft.data.augmentations.affine import affine
from graft.data.augmentations.blur_noise import blur_noise
from graft.data.augmentations.compose import compose
from graft.data.augmentations.crop import crop
from graft.data.augmentations.elastic import elastic
from graft.data.augmentations.flip import flip
from graft.data.augmentations.geometric import geometric
from graft.data.augmentations.light import light
from graft.data.augmentations.perspective import perspective
from graft.data.augmentations.photometric import photometric
from graft.data.augmentations.policy import Policy, apply, carry_channels, num_carried, serialise
from graft.data.augmentations.rand_augment import rand_augment
from graft.data.augmentations.rotation import rotation
from graft.data.augmentations.steps import Steps, build, contradictions, seeks_rare_classes, weakened
from graft.data.augmentations.street import street
from graft.data.augmentations.weather import weather

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
    "carry_channels",
    "contradictions",
    "num_carried",
    "seeks_rare_classes",
    "serialise",
    "weakened",
]
