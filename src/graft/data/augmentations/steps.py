"""The steps of a policy, and the one composition that is built from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from graft.data.augmentations.policy import Policy, library


@dataclass(frozen=True)
class Crop:
    """Which window of the image a view shows.

    Attributes:
        min_scale: Things appear at least this many times as large as in the image.
        max_scale: And at most this many times.
        max_class_fraction: A window of which one class fills more is drawn again.
        rare_class_pixels: One with fewer pixels of a rare class of the image is drawn again; 0 asks for none.
        rare_class_share: A class is rare that holds less than this share of the labelled training pixels.
    """

    min_scale: float = 1.0
    max_scale: float = 1.0
    max_class_fraction: float = 1.0
    rare_class_pixels: int = 0
    rare_class_share: float = 0.0


@dataclass(frozen=True)
class Steps:
    """A policy before its size is known: what an entry of `POLICIES` returns.

    Attributes:
        moves: Transforms of the whole image that move pixels, image and mask alike.
        crop: The window; None leaves it to others, and shows the image at its own scale where there are none.
        looks: Transforms of the cropped image that move nothing.
    """

    moves: Sequence[Any] = ()
    crop: Crop | None = None
    looks: Sequence[Any] = ()


def build(steps: Steps, height: int, width: int, class_shares: Sequence[float] = ()) -> Policy:
    """The policy that applies moves, crop and looks in this order; masks are interpolated by nearest neighbour.

    Args:
        steps: From an entry of `POLICIES`.
        height: Height of a view, in pixels.
        width: Width of a view, in pixels.
        class_shares: Share of each class in the labelled training pixels; needed only by crops that seek rare classes.
    """
    from graft.data.augmentations.transforms import ScaledCrop

    crop = steps.crop or Crop()
    rare = [k for k, share in enumerate(class_shares) if 0 < share < crop.rare_class_share]
    window = ScaledCrop(
        height,
        width,
        float(crop.min_scale),
        float(crop.max_scale),
        float(crop.max_class_fraction),
        crop.rare_class_pixels,
        tuple(rare) if crop.rare_class_pixels else (),
    )
    policy = library().Compose([*steps.moves, window, *steps.looks], mask_interpolation=0)
    window.warps = _put_off(steps.moves)
    return policy


def _put_off(moves: Sequence[Any]) -> list[Any]:
    """The warps at the end of the moves, told that the crop applies them."""
    from graft.data.augmentations.warps import Affine, Perspective

    warps = [*takewhile(lambda move: isinstance(move, (Affine, Perspective)), reversed(moves))][::-1]
    for warp in warps:
        warp.put_off = True
    return warps


def weakened(steps: Steps) -> Steps:
    """The part of a policy that moves and crops, without a look at classes and without changes of colour."""
    crop = steps.crop or Crop()
    return Steps(steps.moves, Crop(crop.min_scale, crop.max_scale))


def seeks_rare_classes(policy: Mapping[str, Any]) -> bool:
    """Whether a policy, `{"name": …}` with every option, has a crop that must know which classes are rare."""
    return bool(policy.get("rare_class_pixels")) or any(map(seeks_rare_classes, policy.get("parts", ())))


def contradictions(policy: Mapping[str, Any], task: str, where: str = "augment.policy") -> list[str]:
    """Finds contradictions in a policy, `{"name": …}` with every option: a sentence each, naming its place."""
    found = []
    if policy.get("min_scale", 1.0) > policy.get("max_scale", 1.0):
        found.append(f"{where}: min_scale {policy['min_scale']} is larger than max_scale {policy['max_scale']}")
    if policy.get("rare_class_pixels") and task != "segmentation":
        found.append(f"{where}: rare_class_pixels is for segmentation; fine_tune.sampling: balanced serves rare labels")
    for number, part in enumerate(policy.get("parts", ())):
        found += contradictions(part, task, f"{where}.parts[{number}]")
    return found
