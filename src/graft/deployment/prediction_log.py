"""A log of predictions: each image once, with what was predicted, laid out so that it comes back as a delivery."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from graft.data.images.codec import encode_png
from graft.deployment.serving.source_classes import source_values, to_source_values
from graft.foundation.class_map import ClassMap
from graft.foundation.content import replace_file
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError

TABLE, IMAGES, MASKS, LOCK = "predictions.csv", "images", "masks", ".lock"
TARGET = {"segmentation": "mask", "classification": "label", "multilabel": "label"}
SEPARATORS = "|;/+&,"  # of the labels of one image: the first that no name of a class holds
# A prediction is no truth: the source `csv` takes these images without it, until a person writes `train` in its place.
UNREVIEWED = "unlabelled"

# How files begin, and the ending they get where they came without a name.
BEGINNINGS = {
    b"\x89PNG": ".png",
    b"\xff\xd8": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
    b"II": ".tif",
    b"MM": ".tif",
    b"\x93NUMPY": ".npy",
    b"PK": ".zip",
}


class PredictionLog:
    """Appends images and predictions to a folder, which several processes of one machine may share.

    `images/` holds each image under its sha256, `masks/` the masks in the values of the source, and `predictions.csv` a
    line for each image: image, mask (or label), split, confidence, model, time and file. A line is written last, under
    a lock, so that an image has all of it or is logged again; a line that a killed process left half-written is cut
    off. An image takes its own size and that of its mask: nothing is ever deleted.

    Args:
        folder: Folder of the log; made if it is not there.
        model: Name of the version that predicts.
        classes: Its classes.

    Raises:
        GraftError: The folder holds a log of other columns.
    """

    def __init__(self, folder: Path, model: str, classes: ClassMap) -> None:
        self.folder, self.model, self.classes = folder, model, classes
        self.columns = ("image", TARGET[classes.task], "split", "confidence", "model", "time", "file")
        self.num_added = self.num_known = self.num_bytes = 0
        self._logged: set[str] = set()
        self._read_bytes, self._inode = 0, -1
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK)
        with self._lock:
            self._read_new_lines()

    def add(self, data: bytes, suffix: str, prediction: np.ndarray, confidence: float, file: str = "") -> bool:
        """Logs an image, unless its content is there already.

        Args:
            data: The encoded image.
            suffix: Ending of its name.
            prediction: Class ids, uint8 [H, W], the class [], or one for each class that it has, uint8 [K].
            confidence: Mean probability of the predicted classes.
            file: Name it came with.

        Returns:
            Whether it was added.
        """
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._read_new_lines()
            if digest in self._logged:
                self.num_known += 1
                return False
            target = self._write_files(digest, suffix, data, prediction)
            cells = (f"{IMAGES}/{digest}{suffix}", target, UNREVIEWED, f"{confidence:.4f}", self.model)
            self._append(*cells, datetime.now(UTC).isoformat(timespec="seconds"), " ".join(file.split()))
        self.num_added += 1
        return True

    def source(self) -> dict[str, Any]:
        """The value of `ingest.source` that reads the log."""
        classes: Any = list(self.classes.names)
        if self.classes.task == "segmentation":
            values = source_values(self.classes)
            written = [[[*value] if isinstance(value, tuple) else value] for value in values]
            classes = dict(zip(self.classes.names, written, strict=True))
        several = {"separator": self._separator} if self.classes.task == "multilabel" else {}
        return {"name": "csv", "table": TABLE, "split_column": "split", "classes": classes, **several}

    @property
    def _separator(self) -> str:
        return next(sign for sign in SEPARATORS if not any(sign in name for name in self.classes.names))

    def __str__(self) -> str:
        there = f", {self.num_known} were there" if self.num_known else ""
        return f"{self.folder}: {counted(self.num_added, 'image')} logged ({self.num_bytes / 1e6:.1f} MB){there}"

    def _write_files(self, digest: str, suffix: str, data: bytes, prediction: np.ndarray) -> str:
        files = {f"{IMAGES}/{digest}{suffix}": data}
        target = f"{MASKS}/{digest}.png"
        if prediction.ndim == 1:
            names = self.classes.names
            target = self._separator.join(names[number] for number in np.flatnonzero(prediction))
        elif prediction.ndim:
            files[target] = encode_png(to_source_values(prediction, self.classes))
        else:
            target = self.classes.names[int(prediction)]
        for name, content in files.items():
            with replace_file(self.folder / name) as pending:
                pending.write_bytes(content)
            self.num_bytes += len(content)
        return target

    def _append(self, *cells: str) -> None:
        line = _line(cells)
        with (self.folder / TABLE).open("ab") as table:
            table.write(line)
            table.flush()
            os.fsync(table.fileno())

    def _read_new_lines(self) -> None:
        """Takes note of the lines that others wrote since; whoever calls it holds the lock."""
        table = self.folder / TABLE
        if not table.is_file() or not table.stat().st_size:
            with replace_file(table) as pending:
                pending.write_bytes(_line(self.columns))
        with table.open("rb+") as file:
            start = self._find_start(file)
            file.seek(start)
            new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            if len(whole) < len(new):
                file.truncate(start + len(whole))
        rows = csv.reader(io.StringIO(whole.decode("utf-8"), newline=""))
        if start == 0:
            self._check_columns(tuple(next(rows, [])))
        self._read_bytes = start + len(whole)
        self._logged |= {Path(row[0]).stem for row in rows if row}

    def _find_start(self, file: BinaryIO) -> int:
        """The place of the first new line: the beginning, where the table is new or a person has edited it."""
        inode = os.fstat(file.fileno()).st_ino
        file.seek(max(self._read_bytes - 1, 0))
        is_continued = inode == self._inode and file.read(1) == b"\n"
        self._inode = inode
        return self._read_bytes if is_continued else 0

    def _check_columns(self, there: tuple[str, ...]) -> None:
        if there != self.columns:
            raise GraftError(
                f"it logs {', '.join(there)}",
                where=self.folder / TABLE,
                rule=f"a log of a {self.classes.task} model holds {', '.join(self.columns)}",
                remedy="name another folder",
            )


def name_predictor(version: str, target: str) -> str:
    """The name of a version in a log: with the target that predicts, where it is not the file that was promoted."""
    return version if target == "onnx" else f"{version} ({target})"


def suffix_of(data: bytes) -> str:
    """The ending for a file with this content; that of PNG where nothing better is known, which no reader goes by."""
    return next((suffix for beginning, suffix in BEGINNINGS.items() if data.startswith(beginning)), ".png")


def _line(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
