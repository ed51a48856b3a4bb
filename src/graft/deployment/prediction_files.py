"""Predictions for files, folders and globs: index masks and overlays, or labels.csv, one image in memory at a time."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from graft.data.formats.files import EXTENSIONS_READ, STACK_EXTENSIONS
from graft.data.formats.stacks import zip_files
from graft.data.images.codec import encode_png, overlay, untinted_class
from graft.data.images.large_images import LargeImage
from graft.data.images.stacks import composite, decode
from graft.data.video.containers import EXTENSIONS_OF_VIDEOS
from graft.deployment.export.exported_model import ExportedModel, open_exported
from graft.deployment.image_paths import MAX_IMAGE_PIXELS, ImagePaths, find_images, list_images
from graft.deployment.large_predictions import Targets, open_large, predict_large
from graft.deployment.prediction_log import PredictionLog, name_predictor
from graft.deployment.serving.source_classes import probabilities, source_values, to_source_values
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.inference.image_to_logits import predict_class_ids, predict_confidence, predict_logits

__all__ = ["Summary", "find_images", "predict_files"]

MASKS, OVERLAYS, CONFIDENCE, LABELS, CLASSES = "masks", "overlays", "confidence", "labels.csv", "classes.json"
BESIDE = ("dir", "stem", "name")


@dataclass(frozen=True)
class Decoded:
    """An image to predict.

    Attributes:
        file: Its file.
        place: Its place below the output.
        data: Content of the file, or of the stack that it and the files beside it make.
        image: The same, decoded: uint8 [H, W, C].
    """

    file: Path
    place: PurePosixPath
    data: bytes
    image: np.ndarray


@dataclass(frozen=True)
class Opened:
    """An image that is predicted by windows: its file, its place below the output, and the image itself, opened."""

    file: Path
    place: PurePosixPath
    image: LargeImage


@dataclass
class Summary:
    """Number of images predicted, those that could not be read, and in words what was skipped."""

    out: Path
    task: str
    skipped: str = ""
    confidence: bool = False
    num_written: int = 0
    log: PredictionLog | None = None
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        images = f"{counted(self.num_written, 'image')} predicted"
        skipped = (f"\nSkipped: {self.skipped}" if self.skipped else "") + (f"\n{self.log}" if self.log else "")
        if self.task != "segmentation":
            return f"{images}: {self.out / LABELS}{skipped}"
        confidence = f", confidence (255 is certain) in {self.out / CONFIDENCE}" if self.confidence else ""
        return f"{images}: masks in {self.out / MASKS}, overlays in {self.out / OVERLAYS}{confidence}{skipped}"


def predict_files(
    paths: Sequence[str],
    model_folder: Path,
    out: Path,
    beside: Sequence[str] = (),
    *,
    confidence: bool = False,
    log: Path | None = None,
    version: str = "",
    target: str = "onnx",
) -> Summary:
    """Predicts every image and writes below `out`.

    Segmentation: `masks/….png` in the values of the source with `classes.json`, which says what they are, and
    `overlays/….png`, in the folders the images lie in. Classification: `labels.csv` with image, label and a probability
    for each class. Multilabel: `labels.csv` with two columns for each class, its probability and one or zero.

    Args:
        paths: Files, folders (all images below) and globs.
        model_folder: A folder written by export.
        out: Folder to write to; created if it does not exist.
        beside: Patterns of the files that follow each image as further channels, in order: `{dir}` is the folder of
            the image, `{stem}` and `{name}` are its name without and with its ending.
        confidence: Whether segmentation also writes `confidence/….png`, the probability of the class of each pixel as
            the model gives it, from 0 to 255.
        log: Folder of a `PredictionLog` to append to.
        version: Name of the model in the log; by default that of its folder.
        target: Target whose file predicts.

    Raises:
        GraftError: Nothing was found, the model cannot be opened, `out` cannot be written; or some of the images
            cannot be read, which is said at the end of the work, all at once.
    """
    list_images(paths, EXTENSIONS_READ | STACK_EXTENSIONS, out)  # a misspelt path is reported before a model is opened
    model = open_exported(model_folder, target=target)
    _check_beside(beside, model)
    extensions = EXTENSIONS_READ | (set() if model.spec.max_value is None else STACK_EXTENSIONS)
    found = list_images(paths, extensions, out, elsewhere=EXTENSIONS_OF_VIDEOS)
    summary = Summary(out, model.spec.task, found.skipped_in_words(), confidence)
    try:
        if log is not None:
            summary.log = PredictionLog(log, name_predictor(version or str(model_folder), target), model.class_map)
        out.mkdir(parents=True, exist_ok=True)
        write = {"segmentation": _write_masks, "classification": _write_labels, "multilabel": _write_label_sets}[
            model.spec.task
        ]
        write(_decode(found, beside, model, summary), model, summary)
    except OSError as error:
        raise GraftError(f"cannot write predictions ({error.strerror})", where=error.filename or out) from None
    if summary.problems:
        raise GraftError.of_all(
            f"{summary}; these could not be read", summary.problems, remedy="fix these files, or leave them out"
        )
    return summary


def _check_beside(beside: Sequence[str], model: ExportedModel) -> None:
    unknown = [name for text in beside for name in re.findall(r"\{([^{}]*)\}", text) if name not in BESIDE]
    if unknown:
        raise GraftError(
            f"{{{unknown[0]}}} is not known",
            where="--beside",
            rule=f"filled in are {', '.join(f'{{{name}}}' for name in BESIDE)} of an image",
            remedy='as in "{dir}/../depth/{stem}.png"',
        )
    if beside and model.spec.max_value is None:
        raise GraftError("the images of this model are pictures: nothing can follow them", where="--beside")


def _read(file: Path, beside: Sequence[str]) -> bytes:
    """The bytes of an image, or of the stack that it and the files beside it make."""
    if not beside:
        return file.read_bytes()
    values = dict(zip(BESIDE, (file.parent.as_posix(), file.stem, file.name), strict=True))
    paths = [file, *(Path(re.sub(r"\{([^{}]*)\}", lambda match: values[match[1]], text)) for text in beside)]
    return zip_files([(path.name, path.read_bytes()) for path in paths])


def _decode(
    found: ImagePaths, beside: Sequence[str], model: ExportedModel, summary: Summary
) -> Iterator[Decoded | Opened]:
    """Each image that can be read; the others go to the problems."""
    needs_whole = _why_whole(beside, summary)
    for file, place in progress(found.places.items(), "Predicting", total=len(found.places), unit="image"):
        try:
            may_be_large = summary.task == "segmentation"
            if may_be_large and (large := open_large(file, model, needs_whole=needs_whole)):
                yield Opened(file, place, large)
                continue
            data = _read(file, beside)
            image = decode(data, model.spec, where=file, max_pixels=MAX_IMAGE_PIXELS)
        except GraftError as error:
            summary.problems.append(f"{file}: {error.what}")
        except OSError as error:
            summary.problems.append(f"{error.filename or file}: {error.strerror}")
        else:
            yield Decoded(file, place, data, image)


def _why_whole(beside: Sequence[str], summary: Summary) -> GraftError | None:
    """Why images have to be read whole; None where they may be read by windows."""
    if beside:
        return GraftError("with --beside images are read whole", remedy="save all channels in one TIFF")
    if summary.log is not None:
        return GraftError("a prediction log keeps images whole", remedy="leave out --log for it")
    return None


def _write_masks(decoded: Iterable[Decoded | Opened], model: ExportedModel, summary: Summary) -> None:
    for one in decoded:
        try:
            _write_mask(one, model, summary) if isinstance(one, Decoded) else _write_large(one, model, summary)
        except GraftError as error:
            summary.problems.append(f"{one.file}: {error.what}")
            continue
        if not summary.num_written:
            write_json(summary.out / MASKS / CLASSES, describe_mask_values(model.class_map))
        summary.num_written += 1


def _write_large(one: Opened, model: ExportedModel, summary: Summary) -> None:
    masks, overlays, confidence = (f"{summary.out / name / one.place}" for name in (MASKS, OVERLAYS, CONFIDENCE))
    certain = Path(f"{confidence}.tif") if summary.confidence else None
    predict_large(one.file, one.image, model, Targets(Path(f"{masks}.tif"), Path(f"{overlays}.png"), certain))


def _write_mask(one: Decoded, model: ExportedModel, summary: Summary) -> None:
    classes = model.class_map
    ids, certainty = _predict_ids(one.image, model, summary)
    _log(one, ids, certainty, summary)
    shown = composite(one.image, model.spec.channels)
    tinted = overlay(shown, ids, classes.colors, untinted=untinted_class(classes.names, ids))
    pictures = {MASKS: to_source_values(ids, classes), OVERLAYS: tinted}
    if summary.confidence and certainty is not None:
        pictures[CONFIDENCE] = np.rint(certainty * 255).astype(np.uint8)
    for folder, picture in pictures.items():
        target = summary.out / folder / f"{one.place}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode_png(picture))


def _predict_ids(image: np.ndarray, model: ExportedModel, summary: Summary) -> tuple[np.ndarray, np.ndarray | None]:
    """Class ids uint8 [H, W], and how certain they are, float32 [H, W], where that is asked for or logged."""
    if not summary.confidence and summary.log is None:
        return predict_class_ids(model.runner, image, model.spec, model.tiling), None
    return predict_confidence(model.runner, image, model.spec, model.tiling)


def _log(one: Decoded, prediction: np.ndarray, certainty: np.ndarray | None, summary: Summary) -> None:
    if summary.log is not None and certainty is not None:
        summary.log.add(one.data, one.file.suffix.lower(), prediction, float(certainty.mean()), one.file.as_posix())


def describe_mask_values(class_map: ClassMap) -> list[dict[str, object]]:
    """For each class its name, the value it has in written masks, and its colour in overlays."""
    columns = zip(class_map.names, source_values(class_map), class_map.colors, strict=True)
    return [{"class": name, "value": value, "colour": colour} for name, value, colour in columns]


def _write_labels(decoded: Iterable[Decoded | Opened], model: ExportedModel, summary: Summary) -> None:
    names = model.class_map.names
    with (summary.out / LABELS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "label", *(f"probability_{name}" for name in names)])
        for one in decoded:
            assert isinstance(one, Decoded)
            shares = probabilities(predict_logits(model.runner, one.image, model.spec, model.tiling))
            _log(one, np.asarray(shares.argmax()), np.asarray(shares.max()), summary)
            label = names[int(shares.argmax())]
            writer.writerow([one.file.as_posix(), label, *(f"{share:.6f}" for share in shares)])
            summary.num_written += 1


def _write_label_sets(decoded: Iterable[Decoded | Opened], model: ExportedModel, summary: Summary) -> None:
    names = model.class_map.names
    with (summary.out / LABELS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *(f"probability_{name}" for name in names), *names])
        for one in decoded:
            assert isinstance(one, Decoded)
            found = model.predict_labels(one.image)
            _log(one, found.decided, np.asarray(found.confidence), summary)
            shares = (f"{share:.6f}" for share in found.probabilities)
            writer.writerow([one.file.as_posix(), *shares, *found.decided.tolist()])
            summary.num_written += 1
