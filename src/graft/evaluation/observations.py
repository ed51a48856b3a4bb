"""Images as a model saw them: properties of the picture, pooled features, confidence, class shares; no image itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graft.data.properties import PROPERTIES, picture_properties
from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError


@dataclass(frozen=True)
class Observation:
    """One image as a model saw it.

    Attributes:
        digest: sha256 of the encoded image.
        properties: Value of each of `PROPERTIES`.
        confidence: Probability of the predicted class, for segmentation the mean over the pixels.
        class_shares: Share of the pixels predicted as each class, float64 [K]; for classification one 1 among zeros,
            for multilabel a 1 for each class that the image is said to have.
        features: Pooled features of the backbone, float16 [D].
    """

    digest: str
    properties: dict[str, float]
    confidence: float
    class_shares: np.ndarray
    features: np.ndarray

    @classmethod
    def of(
        cls,
        digest: str,
        picture: np.ndarray,
        class_ids: np.ndarray,
        confidence: float,
        features: np.ndarray,
        num_classes: int,
    ) -> Observation:
        """The observation of a picture, uint8 [H, W, 3], and of what the model answered."""
        has_labels = class_ids.ndim == 1
        counts = class_ids if has_labels else np.bincount(class_ids.ravel(), minlength=num_classes) / class_ids.size
        shares = counts.astype(np.float64)
        limit = np.finfo(np.float16).max
        halves = np.clip(features, -limit, limit).astype(np.float16)
        return cls(digest, picture_properties(picture), confidence, shares, halves)


@dataclass(frozen=True)
class Observations:
    """N images as a model saw them.

    Attributes:
        digests: sha256 of each encoded image.
        properties: Each of `PROPERTIES` to its values, float64 [N].
        confidence: Confidences, float64 [N].
        class_shares: Class shares, float64 [N, K].
        features: Pooled features, float32 [N, D].
    """

    digests: tuple[str, ...]
    properties: dict[str, np.ndarray]
    confidence: np.ndarray
    class_shares: np.ndarray
    features: np.ndarray

    @classmethod
    def of(cls, images: Sequence[Observation]) -> Observations:
        """The columns of at least one image; numbers as precise as the file has them."""
        return cls(
            tuple(image.digest for image in images),
            {name: np.array([image.properties[name] for image in images], np.float32) for name in PROPERTIES},
            np.array([image.confidence for image in images], np.float32),
            np.array([image.class_shares for image in images], np.float32),
            np.array([image.features for image in images], np.float16).astype(np.float32),
        )

    def write(self, path: Path) -> None:
        """Writes a Parquet file of a row an image: the same images give the same bytes."""
        columns = {"image_sha256": pa.array(self.digests), **self.properties, "confidence": self.confidence}
        columns |= {"class_shares": _vectors(self.class_shares), "features": _vectors(self.features.astype(np.float16))}
        with replace_file(path) as pending:
            pq.write_table(pa.table(columns), pending, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Observations:
        """The observations in a file of `write`.

        Raises:
            GraftError: The file is damaged, or lacks a column.
        """
        try:
            table = pq.read_table(path)
            return cls(
                tuple(table["image_sha256"].to_pylist()),
                {name: table[name].to_numpy() for name in PROPERTIES},
                table["confidence"].to_numpy(),
                np.stack(table["class_shares"].to_numpy()),
                np.stack(table["features"].to_numpy()).astype(np.float32),
            )
        except (OSError, ValueError, KeyError) as error:
            remedy = "export the model again: dvc repro export"
            raise GraftError(f"not the reference of a model ({error})", where=path, remedy=remedy) from None


def _vectors(values: np.ndarray) -> pa.Array:
    """An array [N, D] as a column of N lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
