"""Times of frames that grow from frame to frame, whatever time stamps a video has."""

from __future__ import annotations

# A decoder gives frames in the order they are shown, H.264 and H.265 reorder at most 16 (MaxDpbFrames in ITU-T H.264):
# time stamps that are wrong by no more are disorder, and a clock that goes back farther was set back.
MOST_REORDERED = 16


class Clock:
    """Ticks since the first frame of a clip.

    Args:
        usual: Ticks from a frame to the next, on average.

    Attributes:
        num_mended: Number of time stamps that did not grow and were moved by as little as possible.
        num_set_back: Number of times that time stamps began again, as where files were put together; what follows goes
            on one usual interval after the last frame.
    """

    def __init__(self, usual: int) -> None:
        self.num_mended = self.num_set_back = 0
        self._usual, self._zero = usual, 0
        self._last: int | None = None

    def place(self, stamp: int | None) -> int:
        """The ticks of the next frame.

        Args:
            stamp: Its time stamp; None where it has none.
        """
        if self._last is None:
            self._zero, self._last = stamp or 0, 0
            return 0
        ticks = self._last + self._usual if stamp is None else stamp - self._zero
        if ticks < self._last - MOST_REORDERED * self._usual and stamp is not None:
            ticks, self.num_set_back = self._last + self._usual, self.num_set_back + 1
            self._zero = stamp - ticks
        elif ticks <= self._last:
            ticks, self.num_mended = self._last + 1, self.num_mended + 1
        self._last = ticks
        return ticks
