"""Apply a policy so that its result depends on nothing but image, mask and seed; write a policy down."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from graft.foundation.class_map import IGNORE_INDEX, RGB
from graft.foundation.errors import GraftError
from graft.foundation.value_counts import value_counts


class Policy(Protocol):
    """A composition of transforms, `albumentations.Compose`."""

    def __call__(self, *, image: np.ndarray, **targets: np.ndarray) -> dict[str, Any]: ...

    def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None: ...

    def to_dict(self) -> dict[str, Any]: ...


def library() -> ModuleType:
    """The albumentations module, imported when a policy is built: it takes 4 s, and reading options needs none.

    The library asks its server for a newer version when it is imported, unless it is told not to.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return albumentations


def carry_channels(policy: Policy, num_channels: int) -> Policy:
    """The policy, so that what moves pixels moves as many more channels along; what changes colours lets them be."""
    names = {_name(number): "image" for number in range(num_channels)}
    for transform in _leaves(policy) if names else ():
        if not isinstance(transform, library().ImageOnlyTransform):
            transform.add_targets(names)
    return policy


def num_carried(channels: Sequence[str]) -> int:
    """Number of channels that are measurements, which only move: those behind red, green and blue, or all."""
    return len(channels) - len(RGB) if _begins_with_colours(channels) else len(channels)


def apply(
    policy: Policy, image: np.ndarray, mask: np.ndarray | None, seed: int, channels: Sequence[str] = RGB
) -> tuple[np.ndarray, np.ndarray | None]:
    """Applies a policy; the result is a pure function of the arguments, whatever was applied before.

    Changes of colour reach channels named red, green, blue that come first; all others only move, each on its own.

    Args:
        policy: From `build`; made for more than three channels by `carry_channels`.
        image: uint8 [H, W, C].
        mask: uint8 [H, W] of class ids, 255 ignored; None for classification.
        seed: Any integer; its low 32 bits are used.
        channels: The C names of the channels.

    Returns:
        Image uint8 [crop height, crop width, C] and mask uint8 of the same height and width (or None). The arguments
        stay as they were. Where the view reaches beyond the image, the mask is 255.

    Raises:
        GraftError: The mask gained a value other than 255 that it did not have.
    """
    _seed(policy, seed & 0xFFFFFFFF)
    if num_carried(channels):
        return _apply_to_stack(policy, image, mask, _begins_with_colours(channels))
    if mask is None:
        return np.ascontiguousarray(policy(image=image)["image"]), None
    result = policy(image=image, mask=mask)
    _refuse_gained(mask, result["mask"])
    return np.ascontiguousarray(result["image"]), np.ascontiguousarray(result["mask"])


def _seed(policy: Policy, seed: int) -> None:
    """Lets all transforms draw from the same two generators, one after the other.

    `set_random_seed` of albumentations 2.0.8, and the option `seed` of its Compose, give each transform generators of
    its own that begin with that seed: all draw the same numbers, and what is as likely comes together or not at all.
    """
    policy.set_random_state(np.random.default_rng(seed), random.Random(seed))


def _apply_to_stack(
    policy: Policy, image: np.ndarray, mask: np.ndarray | None, has_colours: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Transforms want three channels: without red, green and blue they see the first, thrice, and it is thrown away."""
    seen = np.ascontiguousarray(image[..., :3] if has_colours else image[..., [0, 0, 0]])
    carried = np.ascontiguousarray(np.moveaxis(image[..., 3:] if has_colours else image, 2, 0))
    planes = {_name(number): plane for number, plane in enumerate(carried)}
    result = policy(image=seen, **planes, **({} if mask is None else {"mask": mask}))
    moved = np.stack([result[name] for name in planes], axis=-1)
    moved = np.concatenate([result["image"], moved], axis=-1) if has_colours else moved
    if mask is None:
        return moved, None
    _refuse_gained(mask, result["mask"])
    return moved, np.ascontiguousarray(result["mask"])


def _begins_with_colours(channels: Sequence[str]) -> bool:
    return tuple(channels[:3]) == RGB


def _name(number: int) -> str:
    return f"channel_{number}"


def _leaves(transform: Any) -> Iterator[Any]:
    """The transforms inside a composition, however deep."""
    if isinstance(transform, library().BaseCompose):
        for inner in transform.transforms:
            yield from _leaves(inner)
    else:
        yield transform


def _refuse_gained(before: np.ndarray, after: np.ndarray) -> None:
    gained = values_gained(before, after)
    if gained:
        raise GraftError(
            f"the mask of a view has values its sample's mask has not: {gained}",
            rule=f"augmentation moves pixels; only {IGNORE_INDEX} may be added, where a view reaches beyond the image",
            remedy="use nearest-neighbour interpolation for masks in every transform of the policy",
        )


def values_gained(before: np.ndarray, after: np.ndarray) -> list[int]:
    """Values of `after` that are neither in `before` nor 255 (both uint8 [H, W])."""
    had = value_counts(before) > 0
    had[IGNORE_INDEX] = True
    return np.flatnonzero((value_counts(after) > 0) & ~had).tolist()


def serialise(policy: Policy) -> dict[str, Any]:
    """Every transform of a policy with every argument, as JSON can hold it; no seed (each view brings its own)."""
    return _plain(policy.to_dict())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
