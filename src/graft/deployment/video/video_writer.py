"""A video file, written picture by picture with the time stamps of the clip it comes from."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from graft.data.video.clip import Clip, Frame
from graft.deployment.video.codings import BT709, Coding

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

BROADCAST_RANGE = 1


class VideoWriter:
    """Encodes pictures of one size.

    Args:
        path: File to write; its name does not matter to its form.
        coding: Way of coding.
        clip: Clip whose time stamps and pixel aspect the file keeps.
        size: Height and width of the pictures.

    Raises:
        OSError: The file cannot be opened; so do the other methods where it cannot be written.
    """

    def __init__(self, path: Path, coding: Coding, clip: Clip, size: tuple[int, int]) -> None:
        import av

        self._coding, self._time_base = coding, clip.time_base
        self._pad = tuple(-side % coding.multiple for side in size)
        self._container: OutputContainer = av.open(str(path.absolute()), "w", format=coding.container)
        added = self._container.add_stream(coding.codec, rate=clip.rate, options=dict(coding.options))
        self._stream = stream = cast("VideoStream", added)
        stream.height, stream.width = (side + more for side, more in zip(size, self._pad, strict=True))
        stream.pix_fmt = coding.pixels
        context = stream.codec_context
        context.time_base = clip.time_base
        context.sample_aspect_ratio = clip.pixel_aspect
        if coding.is_shown:
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = BROADCAST_RANGE

    def write(self, picture: np.ndarray, frame: Frame) -> None:
        """Adds a picture at the time of a frame: RGB, or the values of a mask."""
        import av

        if any(self._pad):
            picture = cv2.copyMakeBorder(picture, 0, self._pad[0], 0, self._pad[1], cv2.BORDER_REPLICATE)
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=self._coding.array)
        if self._coding.is_shown:  # the encoder itself would take BT.601, whatever the file says
            image = image.reformat(format=self._coding.pixels, dst_colorspace="ITU709", dst_color_range="MPEG")
        image.pts, image.duration, image.time_base = frame.ticks, frame.num_ticks, self._time_base
        self._container.mux(self._stream.encode(image))

    def close(self) -> None:
        """Writes what the encoder still holds, and the index, without which the file does not play."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Closes a file that nobody wants."""
        import av

        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.close()
