"""The policy of bad weather and low sun."""

from __future__ import annotations

from graft.data.augmentations.shared_options import Probability, Strength
from graft.data.augmentations.steps import Steps


def weather(
    *,
    rain_probability: Probability = 0.2,
    fog_probability: Probability = 0.2,
    shadow_probability: Probability = 0.3,
    strength: Strength = 1.0,
) -> Steps:
    """Cast shadows, fog and rain, each drawn by itself: for cameras that work outdoors and data of fine days.

    They are drawings, not physics: fog is a veil of one grey that changes from top to bottom, whatever the distance;
    rain is bright streaks of one slant over a duller image; a shadow is a dark polygon with soft edges. Masks stay as
    they are. Three of our own, since the fog of the library takes thirty times as long.

    Args:
        rain_probability: Probability of rain.
        fog_probability: Probability of fog.
        shadow_probability: Probability of a shadow.
        strength: Strength of all three (number of streaks, thickness of fog, darkness of shadow); 0 for none.
    """
    if not strength:
        return Steps()
    from graft.data.augmentations.transforms import Haze
    from graft.data.augmentations.weather_transforms import Rain, Shadow

    s = float(strength)
    fog = Haze(min(0.6 * s, 0.9), p=fog_probability)
    return Steps(looks=[Shadow(min(0.55 * s, 0.9), p=shadow_probability), fog, Rain(s, p=rain_probability)])
