"""Images without labels as a model sees them: read once, compared by digest with those it knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.data.expectations.near_duplicates import parse_hashes
from graft.data.facts import image_facts
from graft.data.images.codec import decode_image
from graft.deployment.image_paths import MAX_IMAGE_PIXELS, list_images
from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress

if TYPE_CHECKING:
    from graft.inference.embedding import FeaturePrediction

PredictFeatures = Callable[[np.ndarray], "FeaturePrediction"]


@dataclass
class Unlabelled:
    """The images that may be chosen, and in numbers and words those that may not.

    Attributes:
        files: Files of the images.
        num_known: Number of those left out because the model learned from them or was scored on them.
        num_doubles: Number of those left out because another file has the same content.
        skipped: Files that are no images, in words.
        unreadable: A line for each image that could not be read.
    """

    files: list[Path]
    num_known: int = 0
    num_doubles: int = 0
    skipped: str = ""
    unreadable: list[str] = field(default_factory=list)

    def left_out(self) -> str:
        """Says what was left out and why, a line each; empty where nothing was."""
        lines = [
            f"{self.num_known} left out that the model has seen, or that are labelled already" * (self.num_known > 0),
            f"{self.num_doubles} left out that have the content of another file" * (self.num_doubles > 0),
            f"{len(self.unreadable)} left out that could not be read: {'; '.join(self.unreadable[:3])}"
            * bool(self.unreadable),
            f"Skipped: {self.skipped}" * bool(self.skipped),
        ]
        return "\n".join(line for line in lines if line)


def find_unlabelled(paths: Sequence[str], known: Collection[str], out: Path) -> Unlabelled:
    """The images that paths name, without those whose sha256 is among the known, and each content once.

    Raises:
        GraftError: A path names nothing, or no image is left.
    """
    listed = list_images(paths, out=out)
    found, taken = Unlabelled([], skipped=listed.skipped_in_words()), set()
    for file in progress(listed.places, "Comparing", unit="image"):
        digest = sha256_of(file)
        if digest in known:
            found.num_known += 1
        elif digest in taken:
            found.num_doubles += 1
        else:
            taken.add(digest)
            found.files.append(file)
    if not found.files:
        raise GraftError(
            f"the model has seen all {len(listed.places)} images, or they are labelled already",
            rule="an image that it learned from or was scored on teaches it nothing new",
            remedy="name images that are new",
        )
    return found


@dataclass(frozen=True)
class Seen:
    """Images as a model sees them.

    Attributes:
        files: File of each of the N images.
        features: Embeddings, float32 [N, D].
        uncertainty: One minus the mean confidence (least confidence; Lewis & Gale 1994, "A Sequential Algorithm for
            Training Text Classifiers"): of segmentation over all pixels, float64 [N].
        hashes: Perceptual hashes, uint64 [N].
    """

    files: Sequence[Path]
    features: np.ndarray
    uncertainty: np.ndarray
    hashes: np.ndarray


def look_at(found: Unlabelled, see: PredictFeatures) -> Seen:
    """Looks at every image once; one that cannot be read is added to those left out.

    Raises:
        GraftError: None could be read.
    """
    files, features, uncertainty, hashes = [], [], [], []
    for file, data, image in _readable(found):
        prediction = see(image)
        files.append(file)
        features.append(prediction.features)
        uncertainty.append(1 - float(prediction.confidence.mean()))
        hashes.append(image_facts(data, str(file), MAX_IMAGE_PIXELS)["phash"])
    if not files:
        raise GraftError.of_all("no image can be read", found.unreadable[:5], remedy="name images that can be opened")
    return Seen(files, np.stack(features), np.array(uncertainty), parse_hashes(hashes))


def _readable(found: Unlabelled) -> Iterator[tuple[Path, bytes, np.ndarray]]:
    for file in progress(found.files, "Looking", unit="image"):
        try:
            data = file.read_bytes()
            image = decode_image(data, where=file, max_pixels=MAX_IMAGE_PIXELS)
        except (GraftError, OSError) as error:
            found.unreadable.append(str(error))
        else:
            yield file, data, image
