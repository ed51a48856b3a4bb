"""Decoded images of any size, read by number from a file without a name, which vanishes with the process."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable

import numpy as np

from graft.foundation.errors import GraftError


class ImageFile:
    """Images uint8 [H, W, C] in one memory-mapped file; they take disk, not memory.

    Args:
        images: At least one image; each is written as it comes.

    Raises:
        GraftError: The disk is full.
    """

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        file = tempfile.TemporaryFile(prefix="graft-images-")  # noqa: SIM115  closed with the object
        weakref.finalize(self, file.close)
        self._places: list[tuple[int, tuple[int, ...]]] = []
        try:
            for image in images:
                self._places.append((file.tell(), image.shape))
                file.write(np.ascontiguousarray(image).data)
            file.flush()
        except OSError as error:
            raise GraftError(
                f"decoded images cannot be written ({error.strerror})",
                where=tempfile.gettempdir(),
                rule="images that are learnt without labels are kept on the disk while they are",
                remedy="set TMPDIR to a folder with more room, or lower pretrain_load.source.crop_px",
            ) from None
        self._bytes = np.memmap(file, np.uint8, "r")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> np.ndarray:
        start, shape = self._places[number]
        return self._bytes[start : start + int(np.prod(shape))].reshape(shape)
