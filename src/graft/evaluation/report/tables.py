"""Tables of numbers: those evaluate writes, by image, class and cell of the confusion matrix; and one way to read."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graft.evaluation.scores import ScoredImage
from graft.foundation.errors import GraftError

PER_IMAGE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image_sha256", pa.string()),
        ("domain", pa.string()),
        ("group", pa.string()),
        ("score", pa.float64()),
        ("confusion", pa.list_(pa.int64())),
        ("baseline_score", pa.float64()),
        ("baseline_confusion", pa.list_(pa.int64())),
    ]
)
MAX_COUNTS_HELD = 2_000_000  # of confusion matrices waiting to be written: 16 MB


class PerImageTable:
    """Writes `per_image.parquet` as images stream by; confusion counts are flattened row by row (rows truth)."""

    def __init__(self, path: Path) -> None:
        self.writer = pq.ParquetWriter(path, PER_IMAGE_SCHEMA, compression="zstd")
        self.waiting: list[dict[str, Any]] = []

    def __enter__(self) -> PerImageTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self.writer.close()

    def add(self, scored: ScoredImage) -> None:
        row = {name: getattr(scored.row, name) for name in ("id", "image_sha256", "domain", "group")}
        for prefix, name in (("", "fine_tuned"), ("baseline_", "baseline")):
            found = scored.predictions.get(name)
            row[f"{prefix}score"] = None if found is None or math.isnan(found.score) else found.score
            row[f"{prefix}confusion"] = None if found is None else found.confusion.ravel()
        self.waiting.append(row)
        if len(self.waiting) * row["confusion"].size >= MAX_COUNTS_HELD:
            self._flush()

    def _flush(self) -> None:
        if self.waiting:
            self.writer.write_table(pa.Table.from_pylist(self.waiting, schema=PER_IMAGE_SCHEMA))
            self.waiting = []


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table that fine-tune wrote, text as it stands there.

    Raises:
        GraftError: One of `columns` is missing.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [column for column in columns if rows and column not in rows[0]]
    if missing:
        raise GraftError(f"columns are missing: {', '.join(missing)}", where=path, remedy="run dvc repro fine-tune")
    return rows


def write_confusion(path: Path, confusion: np.ndarray, names: Sequence[str]) -> None:
    """`actual, predicted, count, share` for each cell; share is of the actual class, empty where it never occurs."""
    shares = shares_of_truth(confusion)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["actual", "predicted", "count", "share"])
        for actual, counts, row in zip(names, confusion, shares, strict=True):
            for predicted, count, share in zip(names, counts, row, strict=True):
                writer.writerow([actual, predicted, count, "" if np.isnan(share) else f"{share:.6f}"])


def write_label_counts(path: Path, counts: np.ndarray, names: Sequence[str]) -> None:
    """The table of `write_confusion` where an image may have several labels: of each class, whether it has it or not.

    Args:
        path: Path of the file.
        counts: int64 [K, 2, 2], rows absent and present in truth, columns in the prediction.
        names: The K classes.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["actual", "predicted", "count", "share"])
        for name, of_class in zip(names, counts, strict=True):
            words = (f"not {name}", name)
            for (actual, predicted), share in np.ndenumerate(shares_of_truth(of_class)):
                told = "" if np.isnan(share) else f"{share:.6f}"
                writer.writerow([words[actual], words[predicted], of_class[actual, predicted], told])


def shares_of_truth(confusion: np.ndarray) -> np.ndarray:
    """Each row divided by its sum, float [K, K]; NaN in the row of a class that never occurs."""
    sums = confusion.sum(axis=1, keepdims=True)
    return np.divide(confusion, sums, out=np.full(confusion.shape, np.nan), where=sums > 0)


def write_classes(path: Path, columns: Mapping[str, Mapping[str, float | None]], names: Sequence[str]) -> None:
    """A row for each class and a column for each score, from {score: {class: value}}; empty where undefined."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", *columns])
        for name in names:
            values = (by_class[name] for by_class in columns.values())
            writer.writerow([name, *("" if value is None else f"{value:.6f}" for value in values)])
