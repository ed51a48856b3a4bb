"""The files that are written for a clip: they take their places together when it is done, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from graft.data.images.codec import overlay, untinted_class
from graft.data.video.clip import Clip, Frame
from graft.data.video.containers import in_words
from graft.deployment.prediction_files import CLASSES, LABELS, MASKS, OVERLAYS, describe_mask_values
from graft.deployment.serving.source_classes import to_source_values
from graft.deployment.video.codings import CODECS_TO_SHOW, coding_to_show, lossless_coding
from graft.deployment.video.frame_table import TABLES, FrameTable
from graft.deployment.video.video_writer import VideoWriter
from graft.foundation.class_map import ClassMap
from graft.foundation.content import replace_file, write_json
from graft.foundation.errors import GraftError
from graft.foundation.value_counts import value_counts

SHARES = "shares"
TableForm = Literal["csv", "parquet"]


@dataclass(frozen=True)
class PredictedFrame:
    """A frame and the answer of the model.

    Attributes:
        frame: The frame.
        ids: Segmentation: class ids, uint8 [H, W].
        unsmoothed_ids: The same before smoothing over time, where there is one.
        probabilities: Classification: the probability of each class, [K].
    """

    frame: Frame
    ids: np.ndarray | None = None
    unsmoothed_ids: np.ndarray | None = None
    probabilities: np.ndarray | None = None


def paths_to_write(
    out: Path, place: PurePosixPath, classes: ClassMap, *, masks: bool, shares: TableForm | None
) -> dict[str, Path]:
    """The files that a clip at a place below `out` gets, by kind; arguments are those of `ClipFiles`."""
    segments, form = classes.task == "segmentation", _form_of_table(classes, shares)
    paths = {
        OVERLAYS: out / OVERLAYS / f"{place}.mp4" if segments else None,
        MASKS: out / MASKS / f"{place}.mkv" if masks and segments else None,
        SHARES: out / (SHARES if segments else Path(LABELS).stem) / f"{place}.{form}" if form else None,
    }
    return {kind: path for kind, path in paths.items() if path is not None}


def _form_of_table(classes: ClassMap, shares: TableForm | None) -> TableForm | None:
    return shares or (None if classes.task == "segmentation" else "csv")


class ClipFiles:
    """Overlay, masks and table of a clip, as far as they are wanted; a classifier has a table alone.

    To be used in a `with` block, which puts the files in their places when it ends well. A clip of which no frame was
    written leaves none.

    Args:
        clip: The clip.
        out: Folder of all predictions.
        place: Place of the clip in it, without ending.
        classes: Classes of the model.
        masks: Whether index masks are written.
        shares: Form of the table of class shares; None writes none for segmentation, CSV for a classifier.
    """

    def __init__(
        self, clip: Clip, out: Path, place: PurePosixPath, classes: ClassMap, *, masks: bool, shares: TableForm | None
    ) -> None:
        self._clip, self._classes, self._out = clip, classes, out
        self._table_form = _form_of_table(classes, shares)
        self.paths = paths_to_write(out, place, classes, masks=masks, shares=shares)
        self.notes: list[str] = []
        self._stack = ExitStack()
        self._pending: dict[str, Path] = {}
        self._videos: dict[str, VideoWriter] = {}
        self._table: FrameTable | None = None
        self._untinted = -1

    def __enter__(self) -> ClipFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            for video in self._videos.values():
                video.abandon()
            self._stack.__exit__(kind, error, None)
            return
        with self._explained(), self._stack:  # where closing fails, the stack deletes what is not whole
            for video in self._videos.values():
                video.close()
            if self._table is not None:
                self._table.close()

    def write(self, predicted: PredictedFrame) -> None:
        """Adds a frame to every file; the first one opens them.

        Raises:
            GraftError: A file cannot be written.
        """
        with self._explained():
            if not self._pending:
                self._open(predicted)
            if predicted.ids is not None:
                self._write_pictures(predicted.frame, predicted.ids)
            if self._table is not None:
                self._table.write(self._row(predicted))

    def _open(self, predicted: PredictedFrame) -> None:
        self._pending = {kind: self._stack.enter_context(replace_file(path)) for kind, path in self.paths.items()}
        names = self._classes.names
        if predicted.ids is not None:
            self._untinted = untinted_class(names, predicted.ids)
            size = (predicted.ids.shape[0], predicted.ids.shape[1])
            codings = {OVERLAYS: coding_to_show()}
            if MASKS in self._pending:
                codings[MASKS] = lossless_coding(to_source_values(predicted.ids, self._classes))
                write_json(self._out / MASKS / CLASSES, describe_mask_values(self._classes))
            for kind, coding in codings.items():
                self._videos[kind] = VideoWriter(self._pending[kind], coding, self._clip, size)
            self._notice(codings[OVERLAYS].codec, size)
        if self._table_form is not None:
            told = [f"share_{name}" for name in names]
            told = told if predicted.ids is not None else ["label", *(f"probability_{name}" for name in names)]
            self._table = TABLES[self._table_form](self._pending[SHARES], ["frame", "seconds", *told])

    def _notice(self, codec: str, size: tuple[int, int]) -> None:
        if size[0] % 2 or size[1] % 2:
            self.notes.append("the overlay is padded to even sides, which its coding needs; masks are not")
        if codec != next(iter(CODECS_TO_SHOW)):
            self.notes.append(f"this FFmpeg has no libx264: the overlay is coded by {codec}")

    def _write_pictures(self, frame: Frame, ids: np.ndarray) -> None:
        tinted = overlay(frame.image, ids, self._classes.colors, untinted=self._untinted)
        self._videos[OVERLAYS].write(tinted, frame)
        if MASKS in self._videos:
            self._videos[MASKS].write(to_source_values(ids, self._classes), frame)

    def _row(self, predicted: PredictedFrame) -> list[object]:
        frame, names = predicted.frame, self._classes.names
        start: list[object] = [frame.number, float(frame.ticks * self._clip.time_base)]
        if predicted.probabilities is not None:
            shares = predicted.probabilities
            return [*start, names[int(shares.argmax())], *map(float, shares)]
        ids = np.asarray(predicted.ids)
        return [*start, *(float(count / ids.size) for count in value_counts(ids)[: len(names)])]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        import av

        try:
            yield
        except (OSError, av.FFmpegError) as error:
            raise GraftError(
                f"cannot write predictions of {self._clip.name} ({in_words(error)})",
                where=self._out,
                rule="the files of a clip are written whole or not at all",
                remedy="make room on this disk, or name another folder (--out), and run the command again",
            ) from None
