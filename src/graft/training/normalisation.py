"""Mean and deviation by which the channels of an image are normalised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graft.foundation.class_map import RGB, ClassMap


def are_all_known(classes: ClassMap, card: Mapping[str, Any]) -> bool:
    """Whether pretrained weights say by what to normalise every channel of the images.

    Args:
        classes: Class map, for the channels.
        card: Card of the weights, of whose numbers `channels` names the channels; without it they are of red, green and
            blue, or of as many other channels as there are numbers.
    """
    channels, named = classes.channels, card.get("channels")
    if named is not None:
        return tuple(named) == channels
    return len(card["mean"]) == len(channels) and (len(channels) != len(RGB) or channels == RGB)


def normalisation_of(
    classes: ClassMap, card: Mapping[str, Any], statistics: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, in 0..1.

    Those the pretrained weights expect where these have as many channels; else theirs for red, green and blue, and
    for every other channel those of the training images (a channel that never changes gets a deviation of one level).
    """
    channels, (mean, std) = classes.channels, (card["mean"], card["std"])
    if are_all_known(classes, card):
        return tuple(mean), tuple(std)
    known = dict(zip(RGB, zip(mean, std, strict=True), strict=True)) if len(mean) == len(RGB) else {}
    seen = zip(statistics["mean"], [max(value, 1 / 255) for value in statistics["std"]], strict=True)
    chosen = [known.get(name, of_training) for name, of_training in zip(channels, seen, strict=True)]
    return tuple(value for value, _ in chosen), tuple(value for _, value in chosen)
