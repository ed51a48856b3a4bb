"""Frames of videos as a delivery: images that do not change, each with its clip as group."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

from graft.data.images.codec import encode_png
from graft.data.video.clip import Clip, Frame
from graft.data.video.containers import EXTENSIONS_OF_VIDEOS
from graft.data.video.survey import survey
from graft.data.video.video_clip import VideoClip
from graft.deployment.image_paths import list_images
from graft.foundation.class_map import UNLABELLED
from graft.foundation.content import replace_file, sha256_of
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress

TABLE = "frames.csv"
COLUMNS = ("image", "mask", "label", "split", "group", "frame", "seconds", "clip_sha256")


@dataclass(frozen=True)
class _FoundClip:
    """A video file, the folder of its frames below the output, their group, and the digest of the file."""

    file: Path
    place: PurePosixPath
    group: str
    digest: str


@dataclass
class SampledFrames:
    """The frames that were written.

    Attributes:
        out: Folder that holds them.
        counts: Number of new frames of each clip, by its place.
        num_known: Number of frames that were there already.
        notes: Sentences about clips: turned frames, broken ones.
    """

    out: Path
    counts: Counter[str] = field(default_factory=Counter)
    num_known: int = 0
    notes: list[str] = field(default_factory=list)

    def source(self) -> dict[str, Any]:
        """The value of `source` that reads them; segmentation adds `classes`."""
        return {"name": "csv", "table": TABLE, "split_column": "split", "group_column": "group"}

    def __str__(self) -> str:
        num, clips = counted(sum(self.counts.values()), "frame"), counted(len(self.counts), "clip")
        known = f", {self.num_known} were there" if self.num_known else ""
        told = f"{self.out}: {num} of {clips} written{known}"
        return "\n  ".join([told, *self.notes])


def sample_frames(paths: Sequence[str], out: Path, every_seconds: Fraction) -> SampledFrames:
    """Writes the first frame of every so many seconds of each clip as PNG, and a line for each into `frames.csv`.

    An image is called `CLIP/NUMBER.png`, after the place of the clip and the number of the frame in it. A clip that
    the table knows by its bytes keeps its place and group, wherever it lies now and whatever else is named, so that
    the id of a frame is always the same; what is there already is kept, with whatever a person wrote into its line.

    Args:
        paths: Video files, folders and globs of them.
        out: Folder to write to; becomes the root of a delivery.
        every_seconds: Time between frames.

    Raises:
        GraftError: A video cannot be used, or `out` holds frames of another clip of the same name.
    """
    files = list_images(paths, EXTENSIONS_OF_VIDEOS, out, what="video").places
    surveys = {file: survey(str(file)) for file in files}
    rows = _read_table(out / TABLE)
    clips = [_find_place(file, place, rows, out) for file, place in files.items()]
    sampled, known = SampledFrames(out), {row["image"] for row in rows}
    for found in clips:
        clip = VideoClip(str(found.file), surveys[found.file])
        for frame in _sample(clip, every_seconds):
            image = f"{found.place}/{frame.number:06d}.png"
            sampled.num_known += image in known
            if image in known:
                continue
            with replace_file(out / image) as pending:
                pending.write_bytes(encode_png(frame.image))
            sampled.counts[str(found.place)] += 1
            rows.append(_row(image, frame, clip, found))
        sampled.notes += [f"{found.file}: {note}" for note in clip.notes()]
        _write_table(out / TABLE, rows)
    return sampled


def _sample(clip: Clip, every_seconds: Fraction) -> Iterator[Frame]:
    """The first frame of each stretch of so many seconds."""
    due = Fraction(0)
    for frame in progress(clip.frames(), f"Reading {clip.name}", total=clip.num_frames, unit="frame"):
        seconds = frame.ticks * clip.time_base
        if seconds >= due:
            due = (math.floor(seconds / every_seconds) + 1) * every_seconds
            yield frame


def _row(image: str, frame: Frame, clip: Clip, found: _FoundClip) -> dict[str, str]:
    seconds = f"{float(frame.ticks * clip.time_base):.6f}"
    cells = (image, "", "", UNLABELLED, found.group, str(frame.number), seconds, found.digest)
    return dict(zip(COLUMNS, cells, strict=True))


def _find_place(file: Path, place: PurePosixPath, rows: Sequence[dict[str, str]], out: Path) -> _FoundClip:
    """Where the frames of a clip belong: where they were put before, or at the place that its path gives it."""
    digest = sha256_of(file)
    folders = {PurePosixPath(row["image"]).parent: row for row in rows if row["clip_sha256"] == digest}
    if folders:
        before = place if place in folders else next(iter(folders))
        return _FoundClip(file, before, folders[before]["group"], digest)
    if any(PurePosixPath(row["image"]).parent == place for row in rows):
        raise GraftError(
            f"{out / place} holds frames of another clip of this name",
            where=file,
            rule="the name of a clip and the number of a frame are the id of an image, for ever",
            remedy="rename the clip, or write to another folder (--out)",
        )
    return _FoundClip(file, place, str(place), digest)


def _read_table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise GraftError(
                f"the table has no column {', '.join(missing)}",
                where=path,
                rule=f"graft frames goes on with a table of its own, which has {', '.join(COLUMNS)}",
                remedy="write to another folder (--out)",
            )
        return [_whole(row, path, reader.line_num) for row in reader]


def _whole(row: dict[str, str], path: Path, line: int) -> dict[str, str]:
    if None in row or None in row.values():  # where DictReader puts cells too many, and too few
        raise GraftError(
            f"line {line} has {'more' if None in row else 'fewer'} cells than there are columns",
            where=path,
            rule="the first line names the columns; a cell that holds a comma stands in double quotes",
            remedy="correct the line, or add a column to the first",
        )
    return row


def _write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    names = [*(rows[0] if rows else COLUMNS)]  # with the columns that a person added
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replace_file(path) as pending:
        pending.write_text(text.getvalue(), encoding="utf-8")
