"""A clip: frames in the order of time, from whatever holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes:
        number: Number of the frame, from 0.
        image: uint8 [H, W, 3] RGB, upright.
        ticks: Time since the first frame, in units of the clip's `time_base`; grows from frame to frame.
        num_ticks: Time that it is shown, as far as the clip says it.
    """

    number: int
    image: np.ndarray
    ticks: int
    num_ticks: int


class Clip(Protocol):
    """Frames that are read once, and what was noticed while reading them."""

    @property
    def name(self) -> str:
        """Name for people: a path or an address."""

    @property
    def time_base(self) -> Fraction:
        """Seconds of a tick."""

    @property
    def rate(self) -> Fraction:
        """Frames per second, on average."""

    @property
    def num_frames(self) -> int | None:
        """Number of frames as far as it is known before they are decoded."""

    @property
    def is_live(self) -> bool:
        """Whether frames come when they come, as from a camera."""

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of an upright pixel over its height."""

    def frames(self) -> Iterator[Frame]:
        """Yields all frames, of one size.

        Raises:
            GraftError: There is none.
        """

    def notes(self) -> list[str]:
        """Sentences for the summary, complete after the last frame: what was left out, mended, turned."""
