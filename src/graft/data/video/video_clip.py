"""A video file or a stream as a clip: decoded, turned upright, with its own time stamps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from graft.data.resize import resize_image
from graft.data.video.clip import Frame
from graft.data.video.clock import Clock
from graft.data.video.containers import (
    USUAL_RATE,
    bare_address,
    choose_stream,
    in_words,
    is_cover,
    is_live_address,
    is_stream,
    open_container,
)
from graft.data.video.orientation import Orientation, read_orientation
from graft.data.video.survey import Survey
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from av import VideoFrame

HD_HEIGHT_PX = 720  # a player takes untagged video from this height on for BT.709, and below it for BT.601
UNTAGGED = 2
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


class VideoClip:
    """A file or stream that FFmpeg opens.

    Args:
        address: Path or address.
        known: Survey of a file; None for a stream.

    Attributes:
        broken_off: Reason why a connection ended, in words; None where the clip came to its end.

    Raises:
        GraftError: It cannot be opened, or holds no video.
    """

    def __init__(self, address: str, known: Survey | None = None) -> None:
        self.name, self._known = bare_address(address), known
        self._container = open_container(address)
        self._stream = choose_stream(self._container, self.name)
        self._aspect = Fraction(self._stream.sample_aspect_ratio or 1)
        self._has_sound = bool(self._container.streams.audio)
        self._num_streams = sum(not is_cover(stream) for stream in self._container.streams.video)
        self._stream.thread_type = "AUTO"
        self.time_base = Fraction(self._stream.time_base or 1 / USUAL_RATE)
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or USUAL_RATE)
        self._usual = max(1, round(1 / (self.rate * self.time_base)))
        self._clock = Clock(self._usual)
        self._decoded_at_only = self._container.format.name == "avi" and self._stream.codec_context.has_b_frames
        self._decoding_times: deque[int | None] = deque()
        self.num_frames = known.num_packets if known else None
        self.is_live = is_live_address(address) and self._container.duration is None
        self.broken_off: str | None = None
        self._orientation: Orientation | None = None
        self._transfer = UNTAGGED
        self._num_decoded = self._num_broken = self._num_resized = 0
        self._first_broken = 0.0

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of an upright pixel over its height, known with the first frame."""
        is_transposed = self._orientation is not None and self._orientation.is_transposed
        return 1 / self._aspect if is_transposed else self._aspect

    def frames(self) -> Iterator[Frame]:
        """Yields every frame that can be decoded, in the size of the first.

        Raises:
            GraftError: None can.
        """
        size = (0, 0)
        for number, frame in enumerate(self._decode()):
            image = self._upright(frame)
            if number == 0:
                size = image.shape[0], image.shape[1]
            if image.shape[:2] != size:
                image, self._num_resized = resize_image(image, size), self._num_resized + 1
            self._num_decoded = number + 1
            yield Frame(number, image, self._clock.place(self._stamp(frame)), frame.duration or self._usual)
        self._container.close()
        if not self._num_decoded:
            why = self.broken_off or "the video is empty, or what it holds was damaged"
            raise GraftError(f"not a single frame can be decoded: {why}", where=self.name)

    def notes(self) -> list[str]:
        """Sentences on what was noticed, complete after the last frame."""
        turned, missing = self._orientation, self._known.seconds_missing if self._known else 0.0
        clock, tagged = self._clock, HDR_TRANSFERS.get(self._transfer)
        broken = counted(self._num_broken, "broken frame")
        lines = {
            "frames are turned as the video says": bool(turned),
            "the video asks for a turn that is none of quarters, which is not followed": bool(
                turned is not None and not turned.is_exact
            ),
            "sound is left out": self._has_sound,
            f"of {self._num_streams} video streams the best is taken": self._num_streams > 1,
            f"colours of a high dynamic range ({tagged}) are shown without tone mapping": tagged is not None,
            f"{broken} left out, the first at {self._first_broken:.2f} s": self._num_broken,
            f"the last {missing:.2f} s are missing in the file": missing,
            f"{counted(clock.num_mended, 'time stamp')} moved, so that times grow": clock.num_mended,
            f"{counted(clock.num_set_back, 'new beginning')} of the time stamps; the clip goes on": clock.num_set_back,
            f"{counted(self._num_resized, 'frame')} of another size resized to the first's": self._num_resized,
            f"the connection ended: {self.broken_off}": self.broken_off,
        }
        return [line for line, holds in lines.items() if holds]

    def _decode(self) -> Iterator[VideoFrame]:
        """Frames in the order they are shown; a packet that cannot be decoded is counted and passed over."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                packet = None  # a file that ends within a packet was told of by its survey
                if is_stream(self.name) or not isinstance(error, av.error.InvalidDataError):
                    self.broken_off = in_words(error)
            if packet is not None and packet.size and self._decoded_at_only:
                self._decoding_times.append(packet.dts)
            try:
                decoded = self._stream.codec_context.decode(packet)
            except av.error.EOFError:  # all that it held was given with the last packet
                return
            except av.FFmpegError:
                decoded = []
                self._count_broken(packet.pts if packet else None)
            yield from decoded
            if packet is None:
                return

    def _stamp(self, frame: VideoFrame) -> int | None:
        """When a frame is shown; where only times of decoding are known, the first frame has the first of them."""
        if not self._decoded_at_only:
            return frame.pts
        return self._decoding_times.popleft() if self._decoding_times else None

    def _count_broken(self, ticks: int | None) -> None:
        if not self._num_broken and ticks is not None:
            self._first_broken = float((ticks - (self._stream.start_time or 0)) * self.time_base)
        if self._decoding_times:
            self._decoding_times.pop()
        self._num_broken += 1

    def _upright(self, frame: VideoFrame) -> np.ndarray:
        if self._orientation is None:
            matrix = frame.side_data.get("DISPLAYMATRIX")
            self._orientation = Orientation() if matrix is None else read_orientation(bytes(cast(Any, matrix)))
            self._transfer = int(frame.color_trc)
        is_untagged_hd = int(frame.colorspace) == UNTAGGED and frame.height >= HD_HEIGHT_PX
        image = frame.to_ndarray(format="rgb24", src_colorspace="ITU709" if is_untagged_hd else None)
        return self._orientation.apply(image)
