"""Videos small enough to encode in a test, and their frames read back by PyAV alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.graft.small_export import flag

MILLISECOND = Fraction(1, 1000)
H264 = ("libx264", "yuv420p", {"crf": "1", "g": "10"})
CODECS = {".mkv": ("ffv1", "bgr0", {"g": "1"}), **dict.fromkeys((".mp4", ".ts", ".avi", ".flv"), H264)}


def waving(num: int, height: int = 90, width: int = 160) -> list[np.ndarray]:
    """The flag of three bands, which moves two pixels to the right from frame to frame."""
    return [np.ascontiguousarray(np.roll(flag(height, width), 2 * number, axis=1)) for number in range(num)]


def write_video(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    times_ms: Sequence[int] | None = None,
    turn: int = 0,
    sound: bool = False,
    pixels: str | None = None,
) -> Path:
    """Encodes RGB images: `.mkv` without loss, others nearly so in H.264; every 40 ms one, if no times are given."""
    codec, usual, options = CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.pix_fmt = pixels or usual
        stream.codec_context.time_base = Fraction(1, 25) if path.suffix == ".avi" else MILLISECOND
        speaker = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        if turn:
            stream.set_display_rotation(turn)
        for number, image in enumerate(images):
            if not number:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = times_ms[number] if times_ms else 40 * number, MILLISECOND
            frame.duration = 40
            container.mux(stream.encode(frame))
            if speaker is not None:
                container.mux(speaker.encode(silence(number)))
        container.mux(stream.encode(None))
        if speaker is not None:
            container.mux(speaker.encode(None))
    return path


def silence(number: int) -> av.AudioFrame:
    """Forty milliseconds of it."""
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.float32), format="fltp", layout="mono")
    frame.rate, frame.pts, frame.time_base = 8000, 320 * number, Fraction(1, 8000)
    return frame


def read_video(path: Path, form: str = "rgb24") -> list[tuple[float, np.ndarray]]:
    """Seconds and pixels of every frame."""
    with av.open(str(path)) as container:
        return [(float(frame.time), frame.to_ndarray(format=form)) for frame in container.decode(video=0)]
