"""The policy of a worse camera."""

from __future__ import annotations

from graft.data.augmentations.policy import library
from graft.data.augmentations.shared_options import Probability, Strength, blur, jpeg_compression
from graft.data.augmentations.steps import Steps


def blur_noise(
    *,
    blur_probability: Probability = 0.3,
    noise_probability: Probability = 0.3,
    compression_probability: Probability = 0.2,
    strength: Strength = 1.0,
) -> Steps:
    """Blur (out of focus or moved), noise of the sensor and JPEG blocks, each drawn by itself; colours stay.

    Helps where the images in use come from worse cameras, lower light or tighter compression than those for training;
    it costs accuracy on fine detail where they do not.

    Args:
        blur_probability: Probability of one of the two blurs.
        noise_probability: Probability of noise, the same for all colours or one for each.
        compression_probability: Probability of JPEG compression, of a quality down to 75 - 15 x strength.
        strength: Strength of all three; 0 for none.
    """
    if not strength:
        return Steps()
    A, s = library(), float(strength)
    spread = (0.01, min(0.01 + 0.05 * s, 0.2))
    each, all_alike = (A.GaussNoise(std_range=spread, per_channel=per_channel) for per_channel in (True, False))
    noise = A.OneOf([each, all_alike], p=noise_probability)
    return Steps(looks=[blur(s, blur_probability), noise, jpeg_compression(s, compression_probability)])
