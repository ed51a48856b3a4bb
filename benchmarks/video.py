"""`graft predict` on a video of 640×360 px, compared with a bare loop: decode, ONNX Runtime, tint, encode.

Both have the same threads and the same coding, and the model that comes with Graft. The clip moves over a drawn street.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from benchmarks.export import build_untrained, load_bundled
from benchmarks.figures import Figure, Options, interleave, ratio
from graft.data.video.survey import survey
from graft.data.video.video_clip import VideoClip
from graft.deployment.export.exported_model import ExportedModel, classifier_of, runner_of
from graft.deployment.export.onnx_file import write_onnx
from graft.deployment.video.clip_files import ClipFiles
from graft.deployment.video.clip_prediction import predict_clip
from graft.deployment.video.codings import coding_to_show
from graft.foundation.class_map import ClassMap
from graft.inference.tiles import Tiling
from graft.models.saved_model import ModelSpec
from graft.models.weights.bundled import FOLDER
from graft.scenes import CLASS_COLOURS, CLASSES, render

LEAST_SHARE_OF_BARE, LEAST_FRAMES_PER_SECOND = 0.9, 25.0
WIDTH_PX, HEIGHT_PX, FRAMES_A_SECOND = 640, 360, 25
NUM_FRAMES, NUM_FRAMES_QUICK = 250, 20
PIXELS_A_FRAME = 2
TRAINED_SHORT_SIDE_PX = 192  # the bundled model learnt from scenes of 256×192
TILING = Tiling(max_pixels=1_000_000, overlap_px=64)
CLASS_MAP = ClassMap("segmentation", CLASSES, CLASS_COLOURS, tuple(range(len(CLASSES))), True, True, "scenes")


def run(options: Options) -> list[Figure]:
    """Runs both in turn, with the usual threads if these are several, and on one core."""
    num_frames = NUM_FRAMES_QUICK if options.quick else NUM_FRAMES
    model, spec = load_bundled() if FOLDER.is_dir() else build_untrained()
    with TemporaryDirectory(prefix="graft-bench-") as name:
        folder = Path(name)
        write_onnx(folder / "model.onnx", model, spec, opset=18)
        clip = write_clip(folder / "street.mp4", num_frames)
        figures = []
        if options.threads > 1 or not hasattr(os, "sched_setaffinity"):
            figures += compare(folder, clip, spec, num_frames, options, options.threads)
        if hasattr(os, "sched_setaffinity"):
            with on_one_core():
                figures += compare(folder, clip, spec, num_frames, options, 1)
                figures.append(real_time(folder, clip, spec, num_frames, options))
    return figures


def real_time(folder: Path, clip: Path, spec: ModelSpec, num_frames: int, options: Options) -> Figure:
    """The rate on one core where the model sees frames at the size of the images it was trained on."""
    smaller = replace(spec, resize={"name": "short_side", "size_px": TRAINED_SHORT_SIDE_PX})
    model = ExportedModel(runner_of(folder / "model.onnx", 1), smaller, CLASS_MAP, TILING)
    ways = {"graft": partial(predict_with_graft, clip, folder / "out", model)}
    seconds = interleave(ways, options.rounds, "Predicting a video at the size of training")
    rates = sorted(num_frames / one for one in seconds["graft"])
    what = f"Graft, on one core, frames resized to {TRAINED_SHORT_SIDE_PX} rows for the model"
    return rate_of(what, rates, LEAST_FRAMES_PER_SECOND)


def compare(
    folder: Path, clip: Path, spec: ModelSpec, num_frames: int, options: Options, num_threads: int
) -> list[Figure]:
    """The figures for a number of threads."""
    onnx, where = folder / "model.onnx", "on one core" if num_threads == 1 else f"with {num_threads} threads"
    model = ExportedModel(runner_of(onnx, num_threads), spec, CLASS_MAP, TILING)
    ways = {
        "bare": partial(bare_loop, clip, folder / "bare.mp4", classifier_of(onnx, num_threads), spec.padding_multiple),
        "graft": partial(predict_with_graft, clip, folder / "out", model),
    }
    seconds = interleave(ways, options.rounds, f"Predicting a video {where}")
    rates = {way: sorted(num_frames / one for one in times) for way, times in seconds.items()}
    return [
        ratio(f"Graft / bare loop, {where}", seconds["bare"], seconds["graft"], at_least=LEAST_SHARE_OF_BARE),
        rate_of(f"Graft, {where}", rates["graft"]),
        rate_of(f"bare loop, {where}", rates["bare"]),
    ]


def rate_of(what: str, rates: list[float], at_least: float | None = None) -> Figure:
    """The median of frames per second, sorted."""
    return Figure(what, float(np.median(rates)), "frames/s", (rates[0], rates[-1]), at_least=at_least)


def predict_with_graft(clip: Path, out: Path, model: ExportedModel) -> None:
    """Predicts as the command does, once the model is open."""
    opened = VideoClip(str(clip), survey(str(clip)))
    predict_clip(opened, model, ClipFiles(opened, out, PurePosixPath("clip"), CLASS_MAP, masks=False, shares=None))


def bare_loop(clip: Path, out: Path, class_ids: Callable[[np.ndarray], np.ndarray], multiple: int) -> None:
    """Does one frame after another in as few lines as will do."""
    coding, colours = coding_to_show(), np.array(CLASS_COLOURS, np.uint8)
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream(coding.codec, rate=FRAMES_A_SECOND, options=dict(coding.options))
        stream.height, stream.width, stream.pix_fmt = HEIGHT_PX, WIDTH_PX, coding.pixels
        source.streams.video[0].thread_type = "AUTO"
        for frame in source.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            ids = class_ids(padded(image, multiple)[None])[0, :HEIGHT_PX, :WIDTH_PX]
            shown = av.VideoFrame.from_ndarray(cv2.addWeighted(image, 0.5, colours[ids], 0.5, 0), format="rgb24")
            target.mux(stream.encode(shown))
        target.mux(stream.encode(None))


def padded(image: np.ndarray, multiple: int) -> np.ndarray:
    """The image with sides that the model takes, padded as Graft pads it."""
    below, right = -HEIGHT_PX % multiple, -WIDTH_PX % multiple
    return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101)


def write_clip(path: Path, num_frames: int) -> Path:
    """A clip that moves over a drawn street, as a camera would code it."""
    street = render(7, "day", 0, width=2 * WIDTH_PX, height=2 * HEIGHT_PX).image
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_A_SECOND)
        stream.height, stream.width, stream.pix_fmt = HEIGHT_PX, WIDTH_PX, "yuv420p"
        for number in range(num_frames):
            left = PIXELS_A_FRAME * number
            view = np.ascontiguousarray(street[HEIGHT_PX // 2 :][:HEIGHT_PX, left : left + WIDTH_PX])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@contextmanager
def on_one_core() -> Iterator[None]:
    """Within the block new threads, and this one, share one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
