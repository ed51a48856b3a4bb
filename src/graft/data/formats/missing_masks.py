"""Images whose mask is missing: refused, all background, or without a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from graft.data.formats.files import FileReader
from graft.data.formats.listing import Entry
from graft.data.formats.translation import Translation
from graft.foundation.class_map import UNLABELLED
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

MissingMask = Literal["refuse", "background", "unlabelled"]
BACKGROUND_VALUE = 0


def check_missing(missing_mask: MissingMask, translation: Translation) -> None:
    """Refuses `background` where the value 0, which such masks are filled with, makes no class.

    Raises:
        GraftError: It makes none.
    """
    import numpy as np

    if missing_mask == "background" and not any(translation.apply(np.zeros((1, 1), np.uint8)).counts):
        raise GraftError(
            "missing_mask: background fills masks with the value 0, which is in no class",
            where="ingest.source.missing_mask",
            rule="a pixel of an image without mask is of the class that lists 0, or is the rest",
            remedy="give 0 to the class that stands for background, or take such images as unlabelled",
        )


def takes_missing_for_background(source: str | dict[str, Any] | None) -> bool:
    """Whether a source, or one that it is made of, fills masks itself where files are missing."""
    if not isinstance(source, dict):
        return False
    return source.get("missing_mask") == "background" or takes_missing_for_background(source.get("source"))


def missing_in_words(num_missing: int, missing_mask: MissingMask) -> list[str]:
    """A note of how many images have no mask, and what they are taken for; none where all have one."""
    taken = "background throughout" if missing_mask == "background" else UNLABELLED
    return [f"{counted(num_missing, 'image')} without mask, taken as {taken}"] if num_missing else []


@dataclass(frozen=True)
class BackgroundReader:
    """Reads the files of an entry below `root`; a labelled image without a mask gets one of the value 0."""

    root: str

    def __call__(self, entry: Entry) -> tuple[bytes, bytes | None]:
        image, mask = FileReader(self.root)(entry)
        if mask is not None or entry.split == UNLABELLED:
            return image, mask
        import cv2
        import numpy as np

        from graft.data.images.codec import upright_size

        return image, cv2.imencode(".png", np.full(upright_size(image), BACKGROUND_VALUE, np.uint8))[1].tobytes()
