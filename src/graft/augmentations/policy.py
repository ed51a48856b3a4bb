"""Apply a policy so that its result depends on nothing but image, mask and seed; write a policy down."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from graft.errors import GraftError
from graft.sample import IGNORE_INDEX


class Policy(Protocol):
    """What albumentations calls a Compose."""

    def __call__(self, *, image: np.ndarray, **targets: np.ndarray) -> dict[str, Any]: ...

    def set_random_seed(self, seed: int | None) -> None: ...

    def to_dict(self) -> dict[str, Any]: ...


def library() -> ModuleType:
    """The albumentations module, imported when a policy is built: it takes 4 s, and reading options needs none.

    The library asks its server for a newer version when it is imported, unless it is told not to.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return albumentations


def compose(transforms: Sequence[Any]) -> Policy:
    """The policy that applies the transforms in order; masks are interpolated by nearest neighbour throughout."""
    return library().Compose(list(transforms), mask_interpolation=0)


def apply(
    policy: Policy, image: np.ndarray, mask: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Applies a policy; the result is a pure function of the arguments, whatever was applied before.

    Args:
        policy: From an entry of `POLICIES`.
        image: uint8 [H, W, 3], RGB.
        mask: uint8 [H, W] of class ids, 255 ignored; None for classification.
        seed: Any integer; its low 32 bits are used.

    Returns:
        Image uint8 [crop height, crop width, 3] and mask uint8 of the same height and width (or None). The arguments
        stay as they were. Where the view reaches beyond the image, the mask is 255.

    Raises:
        GraftError: The mask gained a value other than 255 that it did not have.
    """
    policy.set_random_seed(seed & 0xFFFFFFFF)
    if mask is None:
        return np.ascontiguousarray(policy(image=image)["image"]), None
    result = policy(image=image, mask=mask)
    gained = values_gained(mask, result["mask"])
    if gained:
        raise GraftError(
            f"the mask of a view has values its sample's mask has not: {gained}",
            rule=f"augmentation moves pixels; only {IGNORE_INDEX} may be added, where a view reaches beyond the image",
            remedy="use nearest-neighbour interpolation for masks in every transform of the policy",
        )
    return np.ascontiguousarray(result["image"]), np.ascontiguousarray(result["mask"])


def values_gained(before: np.ndarray, after: np.ndarray) -> list[int]:
    """Values of `after` that are neither in `before` nor 255 (both uint8, any shape)."""
    had = np.bincount(before.ravel(), minlength=256) > 0
    had[IGNORE_INDEX] = True
    return np.flatnonzero((np.bincount(after.ravel(), minlength=256) > 0) & ~had).tolist()


def serialise(policy: Policy) -> dict[str, Any]:
    """Every transform of a policy with every argument, as JSON can hold it; no seed (each view brings its own)."""
    return _plain(policy.to_dict())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
