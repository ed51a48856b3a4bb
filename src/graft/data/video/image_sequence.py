"""A folder of images as a clip, one frame an image, in natural order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from graft.data.images.codec import decode_image
from graft.data.resize import resize_image
from graft.data.video.clip import Frame
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts names as people count: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


class ImageSequence:
    """Images of one folder as a clip of constant rate.

    Args:
        folder: Folder, for its name.
        files: Images in it.
        rate: Frames per second, which images do not say.
        max_pixels: Limit of the pixels of an image.
    """

    def __init__(self, folder: Path, files: Sequence[Path], rate: Fraction, max_pixels: int) -> None:
        self.name, self.rate, self.time_base = str(folder), rate, 1 / rate
        self.num_frames: int | None = len(files)
        self.is_live, self.pixel_aspect = False, Fraction(1)
        self._files, self._max_pixels = sorted(files, key=natural_key), max_pixels
        self._num_resized = 0
        self._broken: list[str] = []

    def frames(self) -> Iterator[Frame]:
        """Yields an image after the other, in the size of the first; one that cannot be read is left out.

        Raises:
            GraftError: None can be read.
        """
        size: tuple[int, int] | None = None
        for number, file in enumerate(self._files):
            try:
                image = decode_image(file.read_bytes(), where=file, max_pixels=self._max_pixels)
            except (GraftError, OSError) as error:
                self._broken.append(str(error))
                continue
            size = size or (image.shape[0], image.shape[1])
            if image.shape[:2] != size:
                image, self._num_resized = resize_image(image, size), self._num_resized + 1
            yield Frame(number, image, number, 1)
        if size is None:
            raise GraftError.of_all(f"{self.name}: no image of the sequence can be read", self._broken[:3])

    def notes(self) -> list[str]:
        """Sentences on what was noticed, complete after the last frame."""
        broken = f"{counted(len(self._broken), 'image')} left out, as unreadable: {'; '.join(self._broken[:3])}"
        resized = f"{counted(self._num_resized, 'image')} of another size resized to the first's"
        return [line for line, holds in ((broken, self._broken), (resized, self._num_resized)) if holds]
