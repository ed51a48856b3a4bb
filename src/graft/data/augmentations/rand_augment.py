"""The policy with two dials."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from graft.data.augmentations.policy import library
from graft.data.augmentations.shared_options import fill_options
from graft.data.augmentations.steps import Steps

MOST = 10.0


def rand_augment(
    *, num_ops: Annotated[int, Field(ge=1, le=14)] = 2, magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
) -> Steps:
    """So many of 14 classic operations, drawn anew for each view, all at one magnitude: two dials and no others.

    Helps a classifier that trains long, and where nobody knows what the images in use will look like; it flips
    nothing, so put `flip` before it. For segmentation a magnitude of 3 to 5 is a milder start. Cubuk 2020,
    "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", section 3; 2 and 9 are its values
    for ResNet-50 on ImageNet. The operations are the paper's: none, contrast stretched, equalised, turn, solarise,
    posterise, colour, contrast, brightness, sharpness, shears and shifts. Colour, contrast, brightness and sharpness go
    either way and all grow with the magnitude, as in torchvision's; an operation may be drawn twice.

    Args:
        num_ops: N, operations a view.
        magnitude: M, from 0 (most do nothing) to 10 (a turn of 30 degrees, shears of 0.3, shifts of 0.45 of the side).
    """
    return Steps([library().RandomOrder([*_colors(magnitude / MOST), *_moves(magnitude / MOST)], num_ops, True, 1.0)])


def _colors(m: float) -> list[Any]:
    from graft.data.augmentations.transforms import Sharpness

    A = library()
    kept = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": (0.0, 0.0), "p": 1.0}
    factors = [(1 - 0.9 * m,) * 2, (1 + 0.9 * m,) * 2]
    return [
        A.NoOp(p=1.0),
        A.AutoContrast(p=1.0),
        A.Equalize(p=1.0),
        A.Solarize(threshold_range=(1 - m, 1 - m), p=1.0),
        A.Posterize(num_bits=min(round(8 - 4 * m), 7), p=1.0),  # it refuses 8, which changes nothing
        *(
            _either(*(A.ColorJitter(**{**kept, name: factor}) for factor in factors))
            for name in ("saturation", "contrast", "brightness")
        ),
        _either(*(Sharpness(factor[0], p=1.0) for factor in factors)),
    ]


def _moves(m: float) -> list[Any]:
    A = library()
    amounts: list[dict[str, float | dict[str, float]]] = [{"rotate": 30 * m}]
    amounts += [{"shear": {axis: 16.7 * m}} for axis in "xy"]  # degrees: a tangent of 0.3
    amounts += [{"translate_percent": {axis: 0.45 * m}} for axis in "xy"]
    return [
        _either(*(A.Affine(**_signed(amount, sign), p=1.0, **fill_options()) for sign in (-1, 1))) for amount in amounts
    ]


def _either(one: Any, other: Any) -> Any:
    return library().OneOf([one, other], p=1.0)


def _signed(amount: dict[str, float | dict[str, float]], sign: int) -> dict[str, Any]:
    """A range of one value for each argument of Affine; the axis that is not named stays."""

    def exact(value: Any) -> Any:
        if isinstance(value, dict):
            return {axis: (sign * value.get(axis, 0.0),) * 2 for axis in "xy"}
        return (sign * value,) * 2

    return {name: exact(value) for name, value in amount.items()}
