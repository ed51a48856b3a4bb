"""Predictions for files, folders and globs: index masks and overlays, or labels.csv, one image in memory at a time."""

from __future__ import annotations

import csv
import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from graft.data.formats.files import EXTENSIONS_READ, STACK_EXTENSIONS, find_files
from graft.data.formats.stacks import zip_files
from graft.data.images.codec import encode_png, overlay
from graft.data.images.stacks import composite, decode
from graft.deployment.export.exported_model import ExportedModel, open_exported
from graft.deployment.serving.source_classes import probabilities, to_source_values
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.inference.image_to_logits import predict_class_ids, predict_logits

MAX_IMAGE_PIXELS = 1_000_000_000  # a larger one is refused as a decompression bomb
MASKS, OVERLAYS, LABELS = "masks", "overlays", "labels.csv"
BESIDE = ("dir", "stem", "name")

# The file of an image, its place below `out`, and itself, uint8 [H, W, C].
Decoded = tuple[Path, PurePosixPath, np.ndarray]


@dataclass
class Summary:
    """Number of images predicted, and those that could not be read."""

    out: Path
    task: str
    num_written: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        images = f"{self.num_written} {'image' if self.num_written == 1 else 'images'} predicted"
        if self.task == "segmentation":
            return f"{images}: masks in {self.out / MASKS}, overlays in {self.out / OVERLAYS}"
        return f"{images}: {self.out / LABELS}"


def predict_files(paths: Sequence[str], model_folder: Path, out: Path, beside: Sequence[str] = ()) -> Summary:
    """Predicts every image and writes below `out`.

    Segmentation: `masks/….png` in the values of the source, and `overlays/….png`, in the folders the images lie in.
    Classification: `labels.csv` with image, label and a probability for each class.

    Args:
        paths: Files, folders (all images below) and globs.
        model_folder: A folder written by export.
        out: Folder to write to; created if it does not exist.
        beside: Patterns of the files that follow each image as further channels, in order: `{dir}` is the folder of
            the image, `{stem}` and `{name}` are its name without and with its ending.

    Raises:
        GraftError: Nothing was found, the model cannot be opened, `out` cannot be written; or some of the images
            cannot be read, which is said at the end of the work, all at once.
    """
    find_images(paths, EXTENSIONS_READ | STACK_EXTENSIONS)  # a misspelt path is reported before a model is opened
    model = open_exported(model_folder)
    _check_beside(beside, model)
    found = find_images(paths, EXTENSIONS_READ | (set() if model.spec.max_value is None else STACK_EXTENSIONS))
    summary = Summary(out, model.spec.task)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write = _write_masks if model.spec.task == "segmentation" else _write_labels
        write(_decode(found, beside, model, summary), model, summary)
    except OSError as error:
        raise GraftError(f"cannot write predictions ({error.strerror})", where=error.filename or out) from None
    if summary.problems:
        raise GraftError.of_all(
            f"{summary}; these could not be read", summary.problems, remedy="fix these files, or leave them out"
        )
    return summary


def find_images(paths: Sequence[str], extensions: AbstractSet[str] = EXTENSIONS_READ) -> dict[Path, PurePosixPath]:
    """Every image that the paths name, in order: file to its place below `out`, without ending, no place twice.

    A file keeps its name, a file of a folder or glob its path below that folder. Where two would share a place, the
    endings of their files are kept too, and after that folders are added from the right.

    Raises:
        GraftError: Lists every path that names nothing.
    """
    places: dict[Path, PurePosixPath] = {}
    problems = []
    for path in paths:
        matched = list(_match(path, extensions))
        problems += [] if matched else [f"{path}: no such image, or no image in it"]
        for file, place in matched:
            places.setdefault(file, place)
    if problems:
        kinds = ", ".join(sorted(extensions))
        raise GraftError.of_all("nothing to predict", problems, remedy=f"name files, folders or globs of {kinds}")
    return _separate(places)


def _match(path: str, extensions: AbstractSet[str]) -> Iterator[tuple[Path, PurePosixPath]]:
    if Path(path).is_file():
        yield Path(path), PurePosixPath(Path(path).name)
        return
    if Path(path).is_dir():
        root = Path(path)
        files = sorted(root / below for below in find_files(root).paths.values())
    else:
        files = [Path(file) for file in sorted(glob.glob(path, recursive=True))]  # noqa: PTH207 - absolute patterns too
        root = Path(*_before_wildcards(Path(path).parts))
    for file in files:
        if file.is_file() and file.suffix.lower() in extensions:
            yield file, PurePosixPath(file.relative_to(root).as_posix())


def _before_wildcards(parts: Sequence[str]) -> Iterator[str]:
    for part in parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _separate(places: dict[Path, PurePosixPath]) -> dict[Path, PurePosixPath]:
    """Makes places differ, also in more than case (for macOS); the last resort is a digest in the name."""
    distinct: dict[Path, PurePosixPath] = {}
    for candidates in (
        lambda file, place: place.with_suffix(""),
        lambda file, place: place,
        lambda file, place: PurePosixPath(*(part for part in file.absolute().parts if part != file.anchor)),
        lambda file, place: PurePosixPath(f"{place}-{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}"),
    ):
        remaining = {file: candidates(file, place) for file, place in places.items() if file not in distinct}
        taken = Counter(str(place).casefold() for place in [*distinct.values(), *remaining.values()])
        distinct |= {file: place for file, place in remaining.items() if taken[str(place).casefold()] == 1}
    return {file: distinct[file] for file in places}


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
    found: dict[Path, PurePosixPath], beside: Sequence[str], model: ExportedModel, summary: Summary
) -> Iterator[Decoded]:
    """Each image that can be read; the others go to the problems."""
    for file, place in progress(found.items(), "Predicting", total=len(found), unit="image"):
        try:
            image = decode(_read(file, beside), model.spec, where=file, max_pixels=MAX_IMAGE_PIXELS)
        except GraftError as error:
            summary.problems.append(f"{file}: {error.what}")
        except OSError as error:
            summary.problems.append(f"{error.filename or file}: {error.strerror}")
        else:
            yield file, place, image


def _write_masks(decoded: Iterable[Decoded], model: ExportedModel, summary: Summary) -> None:
    for _, place, image in decoded:
        ids = predict_class_ids(model.runner, image, model.spec, model.tiling)
        blended = overlay(composite(image, model.spec.channels), ids, model.class_map.colors)
        for folder, picture in ((MASKS, to_source_values(ids, model.class_map)), (OVERLAYS, blended)):
            target = summary.out / folder / f"{place}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(encode_png(picture))
        summary.num_written += 1


def _write_labels(decoded: Iterable[Decoded], model: ExportedModel, summary: Summary) -> None:
    names = model.class_map.names
    with (summary.out / LABELS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "label", *(f"probability_{name}" for name in names)])
        for path, _, image in decoded:
            shares = probabilities(predict_logits(model.runner, image, model.spec, model.tiling))
            writer.writerow([path.as_posix(), _label(model.class_map, shares), *(f"{share:.6f}" for share in shares)])
            summary.num_written += 1


def _label(class_map: ClassMap, shares: np.ndarray) -> str:
    return class_map.names[int(shares.argmax())]
