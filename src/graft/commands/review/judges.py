"""Models that judge labels they never learnt: one for each part of the training images, or one that is there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graft.data.memory import MEMORIES
from graft.data.shards import read_columns
from graft.deployment.export.exported_model import PREDICT_FILE
from graft.foundation.choices import Choice, resolve
from graft.foundation.class_map import SPLITS, UNLABELLED
from graft.foundation.content import content_digest, content_seed, digest_of, read_json, write_json
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError
from graft.foundation.progress import say
from graft.inference.tiles import Tiling, TilingRule
from graft.models.saved_model import WEIGHTS_FILE
from graft.params.brief_training import shorten
from graft.params.sections import Params
from graft.provenance.learnt_images import RULE
from graft.provenance.stages import CLASS_MAP, FINDINGS, INTERIM, NO_MODEL, PRETRAINED, TRAIN

FOLDER = Path("reports/review/models")
RESUME = Path(".resume")
DONE_FILE = "done.json"
EXPORTED_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Judge:
    """A model, and the images that it judges.

    Attributes:
        folder: Folder of the model.
        weights: Name of the file of its weights.
        tiling: Rule by which it takes large images.
        images: Numbers of the rows of the images, by split.
        unlearnt: Classes that no label it learnt says, so that it can only contradict them.
    """

    folder: Path
    weights: str
    tiling: TilingRule
    images: Mapping[str, Set[int]]
    unlearnt: Collection[int] = ()


@dataclass(frozen=True)
class FoldStages:
    """The two stages that a training needs, as functions."""

    augment: Callable[..., dict[str, float]]
    fine_tune: Callable[..., dict[str, float]]


def one_judge(folder: Path, learnt: Collection[str]) -> Judge:
    """An exported model as the judge of the labelled images that it did not learn.

    Args:
        folder: Folder like `models/exported`.
        learnt: Digests, sha256, of the images that it learnt.

    Raises:
        GraftError: There is no image that it did not learn.
    """
    images = {}
    for split in (split for split in SPLITS if split != UNLABELLED):
        place = Path(INTERIM, split)
        rows = read_columns(place, ("image_sha256",)) if place.is_dir() else ()
        images[split] = frozenset(number for number, (digest,) in enumerate(rows) if digest not in learnt)
    if not any(images.values()):
        raise GraftError(
            "the model has learnt every image that is here",
            where=folder,
            rule=RULE,
            remedy="name one that was trained before they came, or leave --model out",
        )
    return Judge(folder, EXPORTED_WEIGHTS, Tiling(**read_json(folder / PREDICT_FILE)), images)


def deal_folds(train: Path, seed: int, num_folds: int) -> list[frozenset[int]]:
    """Deals the training rows into parts of about one size.

    A group (a clip, a patient) is in one of them, and so are groups that share a file, byte for byte.

    Raises:
        GraftError: There are fewer groups than parts.
    """
    rows = list(read_columns(train, ("id", "group", "image_sha256")))
    names = [group or id for id, group, _ in rows]
    groups: dict[int, list[int]] = {}
    for number, joined in enumerate(_joined(names, [sha256 for _, _, sha256 in rows])):
        groups.setdefault(joined, []).append(number)
    if len(groups) < num_folds:
        fewer = f"ask for at most {len(groups)} folds, or " if len(groups) > 1 else ""
        raise GraftError(
            f"{num_folds} parts of {counted(len(groups), 'group')} of training images",
            where=train,
            rule="a part has a group at least, and the images of one (a clip, a patient) stay together",
            remedy=f"{fewer}judge with a model that is there: --model",
        )
    folds: list[list[int]] = [[] for _ in range(num_folds)]
    for group in sorted(groups.values(), key=lambda numbers: content_seed(seed, "fold", names[numbers[0]])):
        min(folds, key=len).extend(group)
    return [frozenset(fold) for fold in folds]


def _joined(names: Sequence[str], digests: Sequence[str]) -> list[int]:
    """The part of each row: rows with the same name or digest are in one, and so is all that these have in common."""
    name, by_name = np.unique(names, return_inverse=True)
    digest, by_digest = np.unique(digests, return_inverse=True)
    size, ones = len(name) + len(digest), np.ones(len(names))
    graph = coo_array((ones, (by_name, len(name) + by_digest)), shape=(size, size))
    return connected_components(graph, directed=False)[1][by_name].tolist()


def train_judges(
    params: Params, stages: FoldStages, num_folds: int, epochs: int | None, learnt: Collection[str] = ()
) -> Iterator[Judge]:
    """Trains a model on all training images but a part, for each part, which it is the judge of.

    Trainings begin from `models/pretrained` and choose their epoch on val, as fine-tune does. Finished ones are kept by
    the digest of all they depend on, and an interrupted one continues.

    Args:
        params: Params of the project.
        stages: The stage functions.
        num_folds: Number of parts.
        epochs: Epochs of each training; None as `fine_tune` says.
        learnt: Digests of the images whose labels the weights of `models/pretrained` have learnt: nobody judges them.

    Returns:
        The judges, each trained when it is asked for.

    Raises:
        GraftError: Params choose images by another memory, or no image is left to judge.
    """
    left_out, folds = left_out_by(params), deal_folds(Path(TRAIN), params.seed, num_folds)
    known = {row for row, (digest,) in enumerate(read_columns(Path(TRAIN), ("image_sha256",))) if digest in learnt}
    if not (total := sum(map(len, folds))) - len(known):
        raise GraftError(
            "the weights that training starts from have learnt the labels of all training images",
            where=PRETRAINED,
            rule=RULE,
            remedy="set pretrain_load.source to weights that have not, or judge with a model that has not: --model",
        )
    if known:
        say(f"{len(known)} of {total} training images are not judged: models/pretrained has learnt their labels")
    brief, said = shorten(params.fine_tune, epochs or params.fine_tune.epochs)
    say(said)
    stops = params.fine_tune.early_stopping_epochs  # `shorten` drops it for a fair race, which this is not
    own = params.model_copy(update={"fine_tune": brief.model_copy(update={"early_stopping_epochs": stops})})
    return _train_in_turn(own, stages, folds, left_out, known)


def _train_in_turn(
    params: Params, stages: FoldStages, folds: Sequence[frozenset[int]], left_out: Sequence[str], known: Set[int]
) -> Iterator[Judge]:
    ids = [id for (id,) in read_columns(Path(TRAIN), ("id",))]
    read = (TRAIN, f"{INTERIM}/val", f"{INTERIM}/{params.augment.unlabelled}", CLASS_MAP, PRETRAINED)
    data = {path: digest_of(Path(path)) for path in read}
    for number, fold in enumerate(folds, 1):
        if not fold - known:
            continue
        memory = {"name": "without", "images": sorted({*left_out, *(ids[row] for row in fold)})}
        augment = params.augment.model_copy(update={"memory": memory, "parent": "none"})
        own = params.model_copy(update={"augment": augment})
        folder = FOLDER / content_digest(_facts(own) | data)[:16]
        if not (folder / DONE_FILE).is_file():
            say(f"model {number} of {len(folds)} learns all but the {counted(len(fold), 'image')} of its part")
            _train(own, stages, folder)
        unlearnt = read_json(folder / DONE_FILE)["unlearnt"]
        yield Judge(folder, WEIGHTS_FILE, params.predict, {"train": fold - known}, unlearnt)


def left_out_by(params: Params) -> tuple[str, ...]:
    """The ids of images that params leave out already.

    Raises:
        GraftError: Params choose the images by a memory, which parts cannot share.
    """
    memory = resolve_memory(params)
    if memory.name == "balanced":
        raise GraftError(
            "augment.memory is balanced, which chooses training images by their delivery",
            rule="a review leaves images out by name, for which the memory is all, or without",
            remedy="set augment.memory: all, or judge with a model that is there: --model models/exported",
        )
    return tuple(memory.options.get("images", ()))


def resolve_memory(params: Params) -> Choice:
    """The choice that `augment.memory` names."""
    return resolve(MEMORIES, params.augment.memory, where="augment.memory")


def _facts(params: Params) -> dict[str, Any]:
    sections = ("task", "seed", "model", "preprocess", "runtime", "augment", "fine_tune", "predict")
    return {name: value for name, value in params.model_dump().items() if name in sections}


def check_inputs() -> None:
    """Refuses to train where a stage has not written what a training reads."""
    needed = [TRAIN, f"{INTERIM}/val", CLASS_MAP, FINDINGS, f"{PRETRAINED}/card.json"]
    if missing := [path for path in needed if not Path(path).exists()]:
        raise GraftError(
            f"not here: {', '.join(missing)}",
            rule="a review trains on the images and from the weights that fine-tune would use",
            remedy="run dvc repro augment pretrain-load",
        )


def _train(params: Params, stages: FoldStages, folder: Path) -> None:
    """Trains the model of a fold; its folder is there when all of it is."""
    both = {"task": params.task, "seed": params.seed, "preprocess": params.preprocess, "class_map": Path(CLASS_MAP)}
    interim = Path(INTERIM)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for left in FOLDER.glob(".tmp-*"):  # of a killed run; the lock of the command keeps others away
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=FOLDER) as name:
        places = {part: Path(name, part) for part in ("augmented", "model", "curves")}
        for place in places.values():
            place.mkdir()
        stages.augment(
            **both,
            augment=params.augment,
            train=interim / "train",
            unlabelled=interim / params.augment.unlabelled,
            validation=Path(FINDINGS),
            parent=Path(NO_MODEL),
            out=places["augmented"],
        )
        found = stages.fine_tune(
            **both,
            model=params.model,
            runtime=params.runtime,
            predict=params.predict,
            fine_tune=params.fine_tune,
            augmented=places["augmented"],
            val=interim / "val",
            pretrained=Path(PRETRAINED),
            out=places["model"],
            curves=places["curves"],
            resume=RESUME / f"review-{folder.name}",
        )
        pixels = read_json(places["augmented"] / "statistics.json")["class_pixels_before"]
        unlearnt = [number for number, count in enumerate(pixels) if not count]
        write_json(places["model"] / DONE_FILE, {"unlearnt": unlearnt, **found})
        shutil.rmtree(folder, ignore_errors=True)
        places["model"].replace(folder)
    shutil.rmtree(RESUME / f"review-{folder.name}", ignore_errors=True)
