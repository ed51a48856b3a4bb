"""Predictions for clips: one thread decodes, one infers, one draws and encodes, with bounded queues between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from graft.data.video.clip import Clip, Frame
from graft.data.video.video_clip import VideoClip
from graft.deployment.export.exported_model import ExportedModel, open_exported
from graft.deployment.serving.source_classes import probabilities
from graft.deployment.video.clip_files import ClipFiles, PredictedFrame, TableForm, paths_to_write
from graft.deployment.video.clip_paths import ClipPaths
from graft.deployment.video.smoothing import Smoothing
from graft.foundation.class_map import RGB
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError
from graft.foundation.interruption import ends_well
from graft.foundation.progress import progress
from graft.foundation.threads import ReadAhead, WriteBehind
from graft.inference.image_to_logits import most_likely_classes, predict_class_ids, predict_logits
from graft.metrics.flicker import Flicker, still_pixels

FRAMES_BETWEEN = 4  # waiting in each of the two queues


@dataclass(frozen=True)
class ClipOptions:
    """Choices for all clips of a command.

    Attributes:
        masks: Whether index masks are written too.
        shares: Form of a table of class shares by frame, if one is written.
        smooth: Weight of the past in the probabilities, 0 to below 1; None smooths nothing.
    """

    masks: bool = False
    shares: TableForm | None = None
    smooth: float | None = None


@dataclass
class ClipSummary:
    """The outcome of a clip.

    Attributes:
        name: Its name.
        files: Files that were written.
        num_frames: Number of frames predicted.
        seconds: Time in the clip that they cover.
        wall_seconds: Time that it took.
        size: Height and width.
        notes: Sentences on what was left out, mended or turned.
        is_interrupted: Whether Ctrl-C, or a request to terminate, ended it early.
        flicker: Flicker before and after smoothing, where there is one.
    """

    name: str
    files: list[Path] = field(default_factory=list)
    num_frames: int = 0
    seconds: float = 0.0
    wall_seconds: float = 0.0
    size: tuple[int, int] = (0, 0)
    notes: list[str] = field(default_factory=list)
    is_interrupted: bool = False
    flicker: tuple[Flicker, Flicker] | None = None

    def __str__(self) -> str:
        rate = self.num_frames / max(self.wall_seconds, 1e-9)
        told = f"{counted(self.num_frames, 'frame')} ({self.seconds:.2f} s) of "
        lines = [f"{self.name}: {told}{self.size[1]}×{self.size[0]} at {rate:.1f} frames/s: {self._files()}"]
        if self.is_interrupted:
            lines.append("interrupted: the files end there, and play until there")
        if self.flicker and self.flicker[0].num_still:
            before, after = self.flicker
            lines.append(
                f"flicker: of the pixels that stay as they are ({before.still_fraction:.1%} of all), "
                f"{before.share:.2%} changed class from frame to frame, {after.share:.2%} after smoothing"
            )
        elif self.flicker:
            lines.append("flicker cannot be measured: no pixel stays as it is from one frame to the next")
        return "\n  ".join(lines + self.notes)

    def _files(self) -> str:
        return ", ".join(file.as_posix() for file in self.files)


def predict_clips(
    found: ClipPaths,
    model_folder: Path,
    out: Path,
    options: ClipOptions,
    *,
    target: str,
    tell: Callable[[object], None],
) -> None:
    """Predicts clips one after another.

    Segmentation writes `overlays/….mp4`, and if asked for `masks/….mkv` and `shares/…`; classification `labels/….csv`.

    Args:
        found: The clips.
        model_folder: A folder written by export.
        out: Folder to write to.
        options: Choices for all clips.
        target: Target whose file predicts.
        tell: Called with the summary of each clip.

    Raises:
        GraftError: The model takes no pictures, a clip has no frames, a file cannot be written, or a stream broke off.
        KeyboardInterrupt: Ctrl-C or a request to terminate came; the clip at hand was ended well.
    """
    model = open_exported(model_folder, target=target)
    _check(model, options)
    _refuse_to_replace(found, out, model, options)
    for place, open_clip in found.clips.items():
        clip = open_clip()
        files = ClipFiles(clip, out, place, model.class_map, masks=options.masks, shares=options.shares)
        summary = predict_clip(clip, model, files, smooth=options.smooth)
        tell(summary)
        if summary.is_interrupted:
            raise KeyboardInterrupt
        if isinstance(clip, VideoClip) and clip.broken_off:
            raise GraftError(
                f"the clip broke off after {summary.seconds:.2f} s ({clip.broken_off})",
                where=clip.name,
                remedy="what came until then is written; run the command again for what comes now",
            )


def predict_clip(clip: Clip, model: ExportedModel, files: ClipFiles, *, smooth: float | None = None) -> ClipSummary:
    """Predicts one clip.

    Args:
        clip: The clip, not read yet.
        model: The opened model.
        files: Files to write.
        smooth: Weight of the past in the probabilities; None smooths nothing.

    Raises:
        GraftError: The clip has no frames, or a file cannot be written.
        KeyboardInterrupt: Ctrl-C or a request to terminate came before the first frame, or Ctrl-C twice.
    """
    summary, started = ClipSummary(clip.name, [*files.paths.values()]), time.perf_counter()
    smoothing = None if smooth is None else Smoothing(smooth)
    ahead = ReadAhead(clip.frames(), FRAMES_BETWEEN, drop=clip.is_live)
    watch = _FlickerWatch()

    def write(predicted: PredictedFrame) -> None:
        files.write(predicted)
        watch.add(predicted)

    with ends_well(ahead.stop) as interruption, files:
        with ahead, WriteBehind(write, FRAMES_BETWEEN) as behind:
            last: Frame | None = None
            for last in progress(ahead, f"Predicting {clip.name}", total=clip.num_frames, unit="frame"):
                behind.put(_predict(last, model, smoothing))
                summary.num_frames += 1
        if last is None:
            raise KeyboardInterrupt
        summary.is_interrupted = interruption.came
    summary.seconds = float((last.ticks + last.num_ticks) * clip.time_base)
    summary.wall_seconds, summary.size = time.perf_counter() - started, (last.image.shape[0], last.image.shape[1])
    dropped = f"{counted(ahead.num_dropped, 'frame')} passed over: they came faster than they can be predicted"
    summary.notes = files.notes + clip.notes() + ([dropped] if ahead.num_dropped else [])
    summary.flicker = watch.found if smoothing and model.spec.task == "segmentation" else None
    return summary


class _FlickerWatch:
    """Flicker with and without smoothing, over the frames of a clip."""

    def __init__(self) -> None:
        self.found = (Flicker(), Flicker())
        self._before: PredictedFrame | None = None

    def add(self, now: PredictedFrame) -> None:
        before, self._before = self._before, now
        if before is None or now.unsmoothed_ids is None or before.unsmoothed_ids is None:
            return
        still = still_pixels(before.frame.image, now.frame.image)
        self.found[0].add(still, before.unsmoothed_ids, now.unsmoothed_ids)
        self.found[1].add(still, np.asarray(before.ids), np.asarray(now.ids))


def _predict(frame: Frame, model: ExportedModel, smoothing: Smoothing | None) -> PredictedFrame:
    segments = model.spec.task == "segmentation"
    if segments and smoothing is None:
        return PredictedFrame(frame, predict_class_ids(model.runner, frame.image, model.spec, model.tiling))
    logits = predict_logits(model.runner, frame.image, model.spec, model.tiling)
    smoothed = probabilities(logits) if smoothing is None else smoothing.add(logits)
    if not segments:
        return PredictedFrame(frame, probabilities=smoothed.copy())
    return PredictedFrame(frame, most_likely_classes(smoothed), most_likely_classes(logits))


def _check(model: ExportedModel, options: ClipOptions) -> None:
    if tuple(model.spec.channels) != tuple(RGB) or model.spec.max_value is not None:
        raise GraftError(
            f"this model takes the channels {', '.join(model.spec.channels)}",
            rule=f"a video has {', '.join(RGB)}",
            remedy="predict images that hold all channels, or take a model of pictures",
        )
    if model.spec.task == "multilabel":
        raise GraftError(
            "this model gives any number of labels",
            rule="in a video one class of a frame, or of a pixel, is followed",
            remedy="predict its frames as images: graft frames VIDEO writes them",
        )
    if options.masks and model.spec.task != "segmentation":
        raise GraftError("this model gives labels, no masks", where="--masks", remedy="leave it out")


def _refuse_to_replace(found: ClipPaths, out: Path, model: ExportedModel, options: ClipOptions) -> None:
    """Refuses before anything is read where a file to write is one of the videos that are named."""
    named = {_identity(video): video for video in found.videos}
    for place in found.clips:
        paths = paths_to_write(out, place, model.class_map, masks=options.masks, shares=options.shares)
        for path in filter(Path.exists, paths.values()):
            if (video := named.get(_identity(path))) is not None:
                raise GraftError(
                    f"the prediction of {place} would replace this video, which is to be predicted itself",
                    where=video,
                    rule="no file that is read is written",
                    remedy="name another folder for what is written (--out)",
                )


def _identity(file: Path) -> tuple[int, int]:
    """The same for every name and link of a file."""
    stat = file.stat()
    return stat.st_dev, stat.st_ino
