"""The work of `graft drift`: new images seen with a model, compared with its reference, judged and written down."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from graft.commands.drift.comparison import MeasuredChange, compare
from graft.commands.drift.unusual import UnusualImage, most_unusual
from graft.commands.drift.verdict import DriftVerdict, judge
from graft.data.formats.files import EXTENSIONS_READ, STACK_EXTENSIONS
from graft.data.images.stacks import composite, decode
from graft.deployment.export.exported_model import PREDICT_FILE
from graft.deployment.image_paths import MAX_IMAGE_PIXELS, list_images
from graft.evaluation.observations import Observation, Observations
from graft.evaluation.reference import REFERENCE_FILE
from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_seed, read_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.inference.embedding import FeaturePredictor
from graft.inference.tiles import Tiling
from graft.models.saved_model import load_model

WEIGHTS = "weights.safetensors"
LEAST_FALSE_ALARMS, MOST_FALSE_ALARMS = 0.001, 0.2
LEAST_REFERENCE = 10  # with fewer images nothing but the grossest change is more than chance


@dataclass(frozen=True)
class Comparable:
    """A model that can be compared with: it carries its reference.

    Attributes:
        predictor: The model, ready to see images.
        classes: Its classes.
        reference: The images it was scored on, as it saw them.
    """

    predictor: FeaturePredictor
    classes: ClassMap
    reference: Observations


@dataclass
class Drift:
    """Everything that `graft drift` found.

    Attributes:
        classes: Classes of the model.
        files: The new images, in the order of `new`.
        new: These images as the model saw them.
        reference: The images of the reference.
        movements: A movement for each measure.
        unusual: The images that moved most.
        verdict: The verdict on all of them.
        false_alarms: The stated chance of any alarm where nothing moved.
        skipped: Files besides images that folders and globs held, in words.
        problems: A line for each image that could not be read.
    """

    classes: ClassMap
    files: list[Path]
    new: Observations
    reference: Observations
    movements: list[MeasuredChange]
    unusual: list[UnusualImage]
    verdict: DriftVerdict
    false_alarms: float
    skipped: str = ""
    problems: list[str] = field(default_factory=list)


def open_comparable(folder: Path) -> Comparable:
    """Opens an exported model with its reference.

    Raises:
        GraftError: It carries none, for an older version of Graft wrote it; or a file is missing or damaged.
    """
    if not folder.is_dir():
        raise GraftError("no such folder", where=folder, rule="a model is a folder written by graft export")
    if not (folder / REFERENCE_FILE).is_file():
        raise GraftError(
            f"this model carries no reference: there is no {REFERENCE_FILE}",
            where=folder,
            rule="new images are compared with those the model was scored on; models exported by Graft 0.2 or older do "
            "not say what these were like",
            remedy="dvc repro, which scores and exports the model again, then graft publish",
        )
    reference = Observations.read(folder / REFERENCE_FILE)
    if len(reference.digests) < LEAST_REFERENCE:
        raise GraftError(
            f"this model was scored on {len(reference.digests)} images, too few to compare others with",
            where=folder / REFERENCE_FILE,
            rule=f"a reference has at least {LEAST_REFERENCE} images",
            remedy="give the split of evaluate.split more images, and run dvc repro",
        )
    predictor = FeaturePredictor(*load_model(folder, weights=WEIGHTS), Tiling(**read_json(folder / PREDICT_FILE)))
    return Comparable(predictor, ClassMap.read(folder / "class_map.json"), reference)


def find_drift(paths: Sequence[str], folder: Path, out: Path, false_alarms: float) -> Drift:
    """Compares new images with the reference of a model.

    Args:
        paths: Files, folders (all images below) and globs.
        folder: A folder written by export.
        out: Folder of the page; images below it are passed over.
        false_alarms: Chance at which anything may be said to have moved where nothing has.

    Raises:
        GraftError: No image was found or could be read, the model has no reference, or the chance is out of range.
    """
    if not LEAST_FALSE_ALARMS <= false_alarms <= MOST_FALSE_ALARMS:
        raise GraftError(
            f"{false_alarms:g} is no rate of false alarms to test at",
            where="--false-alarms",
            rule=f"it is from {LEAST_FALSE_ALARMS:g} to {MOST_FALSE_ALARMS:g}",
        )
    list_images(paths, EXTENSIONS_READ | STACK_EXTENSIONS, out)  # a misspelt path is reported before a model is opened
    model = open_comparable(folder)
    is_stack = model.classes.max_value is not None
    found = list_images(paths, EXTENSIONS_READ | (STACK_EXTENSIONS if is_stack else set()), out)
    files: list[Path] = []
    problems: list[str] = []
    observed = list(observe(list(found.places), model.predictor, model.classes, files, problems))
    if not observed:
        raise GraftError.of_all("not one image could be read", problems, remedy="fix these files, or name others")
    return _judge(model, files, Observations.of(observed), false_alarms, found.skipped_in_words(), problems)


def _judge(
    model: Comparable, files: list[Path], new: Observations, false_alarms: float, skipped: str, problems: list[str]
) -> Drift:
    reference, classes = model.reference, model.classes
    unit = "pixels" if classes.task == "segmentation" else "images"
    seed = content_seed(0, *sorted(new.digests))
    movements = compare(reference, new, classes.names, unit, false_alarms, seed)
    verdict = judge(movements, len(reference.digests), len(files), false_alarms)
    unusual = most_unusual(reference, new, verdict.moved)
    return Drift(classes, files, new, reference, movements, unusual, verdict, false_alarms, skipped, problems)


def observe(
    files: Sequence[Path], predictor: FeaturePredictor, classes: ClassMap, seen: list[Path], problems: list[str]
) -> Iterator[Observation]:
    """Each image that can be read as the model sees it, one in memory at a time.

    Args:
        files: Files of the images.
        predictor: The model.
        classes: Its classes.
        seen: Receives the files of those that are yielded.
        problems: Receives a line for each of the others.
    """
    for file in progress(files, "Looking at images", total=len(files), unit="image"):
        try:
            data = file.read_bytes()
            image = decode(data, classes, where=file, max_pixels=MAX_IMAGE_PIXELS)
        except GraftError as error:
            problems.append(f"{file}: {error.what}")
            continue
        except OSError as error:
            problems.append(f"{file}: {error.strerror}")
            continue
        prediction = predictor.predict(image)
        seen.append(file)
        yield Observation.of(
            hashlib.sha256(data).hexdigest(),
            composite(image, classes.channels),
            prediction.class_ids,
            float(np.mean(prediction.confidence)),
            prediction.features,
            classes.num_classes,
        )
