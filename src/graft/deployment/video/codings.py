"""How the pictures of a written video are coded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from graft.foundation.errors import GraftError

# The first plays in every browser; the others stand in where a build of FFmpeg lacks the ones before. All take the time
# base of any video, as MPEG-4 part 2 does not: its field for it has 16 bits, and MPEG-TS counts 90 000 ticks a second.
CODECS_TO_SHOW: Mapping[str, Mapping[str, str]] = {
    "libx264": {"preset": "veryfast", "crf": "21"},
    "libopenh264": {},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0"},
}
BT709 = 1


@dataclass(frozen=True)
class Coding:
    """A way of coding pictures.

    Attributes:
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the encoder.
        pixels: FFmpeg's name of the pixel format that is coded.
        array: FFmpeg's name of the pixel format that the arrays have.
        options: Options of encoder and container.
        multiple: Number that divides the sides of the pictures; others are padded at the right and the bottom.
    """

    container: str
    codec: str
    pixels: str
    array: str
    options: Mapping[str, str] = field(default_factory=dict)
    multiple: int = 1

    @property
    def is_shown(self) -> bool:
        """Whether it is meant for the eye, in the colours of BT.709."""
        return self.pixels == "yuv420p"


def coding_to_show() -> Coding:
    """MP4 that browsers play, H.264 in yuv420p where this build of FFmpeg has it; its index stands at the beginning.

    Raises:
        GraftError: None of the encoders is there.
    """
    import av
    from av.codec.codec import UnknownCodecError

    for codec, options in CODECS_TO_SHOW.items():
        try:
            av.codec.Codec(codec, "w")
        except UnknownCodecError:
            continue
        return Coding("mp4", codec, "yuv420p", "rgb24", {**options, "movflags": "+faststart"}, multiple=2)
    raise GraftError(
        "this build of FFmpeg encodes no video that a browser plays",
        rule=f"one of {', '.join(CODECS_TO_SHOW)} is needed",
        remedy="install PyAV from its wheel: pip install --force-reinstall av",
    )


def lossless_coding(values: np.ndarray) -> Coding:
    """FFV1 (RFC 9043) in Matroska, each frame coded by itself, for masks in the values of a source.

    Args:
        values: uint8 [H, W], uint16 [H, W], or uint8 [H, W, 3] RGB.
    """
    wide = values.dtype == np.uint16
    pixels, array = ("bgr0", "rgb24") if values.ndim == 3 else ("gray16le",) * 2 if wide else ("gray",) * 2
    return Coding("matroska", "ffv1", pixels, array, {"level": "3", "g": "1"})
