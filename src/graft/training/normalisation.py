"""Mean and deviation by which the channels of an image are normalised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graft.foundation.class_map import RGB, ClassMap


def normalisation_of(
    classes: ClassMap, card: Mapping[str, Any], statistics: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, in 0..1.

    Those the pretrained weights expect where these have as many channels; else theirs for red, green and blue, and
    for every other channel those of the training images (a channel that never changes gets a deviation of one level).
    """
    channels, (mean, std) = classes.channels, (card["mean"], card["std"])
    if len(mean) == len(channels) and (len(channels) != len(RGB) or channels == RGB):
        return tuple(mean), tuple(std)
    known = dict(zip(RGB, zip(mean, std, strict=True), strict=True)) if len(mean) == len(RGB) else {}
    seen = zip(statistics["mean"], [max(value, 1 / 255) for value in statistics["std"]], strict=True)
    chosen = [known.get(name, of_training) for name, of_training in zip(channels, seen, strict=True)]
    return tuple(value for value, _ in chosen), tuple(value for _, value in chosen)
