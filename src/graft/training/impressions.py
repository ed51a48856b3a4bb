"""Impressions of images: pooled backbone features and the loss, by the weights that a training starts from.

Computed on the CPU, in float32, in one thread a process, so that neither the number of cores nor of workers changes a
bit of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from graft.data.images.codec import decode_target
from graft.data.images.stacks import decode
from graft.data.memory import Impression
from graft.data.resize import resize_image, resize_mask, rule_of
from graft.data.shards import Row
from graft.foundation.class_map import IGNORE_INDEX, ClassMap, ignored_target
from graft.foundation.content import read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.foundation.workers import map_in_order
from graft.inference.embedding import FeatureTap
from graft.inference.image_to_logits import Runner, predict_logits
from graft.inference.tiles import Tiling
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import build
from graft.models.saved_model import ModelSpec, load_state, restore_model
from graft.training.normalisation import are_all_known

WEIGHTS = "weights.safetensors"
MOST_PIXELS = 1_000_000  # of an image that is looked at; a larger one is shrunk, so that memory is bounded


@dataclass(frozen=True)
class Pretrained:
    """The weights that pretrain-load wrote, and how an image comes before them; small, and picklable.

    Attributes:
        folder: Folder of the weights.
        sha256: Digest of the weights.
        spec: Form in which the model wants its input; images are resized before.
        resize: Rule by which they are, with its options.
        known: Ids of the classes that the weights tell apart.
    """

    folder: Path
    sha256: str
    spec: ModelSpec
    resize: Mapping[str, Any]
    known: tuple[int, ...]

    @classmethod
    def read(cls, folder: Path, classes: ClassMap, resize: Mapping[str, Any]) -> Pretrained:
        """The weights of a folder.

        Raises:
            GraftError: A file is missing, or the card does not say how to normalise each channel.
        """
        card = read_json(folder / "card.json")
        if not are_all_known(classes, card):
            raise GraftError(
                f"the weights do not say how to normalise the channels {', '.join(classes.channels)}",
                where=folder,
                rule="a model that chooses a memory sees images as it learnt them",
                remedy="set augment.memory.choice: random and augment.parent: none, or start from a model of yours",
            )
        model = build(classes.task, card["model"], classes.num_classes, len(classes.channels))
        spec = ModelSpec(
            classes.task,
            card["model"],
            classes.num_classes,
            classes.names,
            tuple(card["mean"]),
            tuple(card["std"]),
            {"name": "none"},
            model.padding_multiple,
            classes.synthetic,
            model.min_side_px,
            classes.channels,
            classes.max_value,
            card.get("widths", {}),
        )
        known = [number for number, name in enumerate(classes.names) if name in card["known_classes"]]
        return cls(folder, sha256_of(folder / WEIGHTS), spec, dict(resize), tuple(known))

    def refuse_unknown_classes(self) -> None:
        """Refuses weights without a loss: they tell none of the classes apart."""
        if not self.known:
            raise GraftError(
                "augment.memory has choice: loss, and the pretrained weights know none of the "
                f"{self.spec.num_classes} classes",
                where=self.folder,
                rule="the loss is that of a model whose class layer knows at least one of the classes by name",
                remedy="set choice: herding, which needs features alone, or pretrain_load.source to a model of yours "
                "with part: all",
            )


def impressions(pretrained: Pretrained, rows: Iterable[Row], num_rows: int) -> Iterator[Impression]:
    """Looks at each row, in order, on every core.

    Raises:
        GraftError: An image cannot be decoded, a row has no target, or the weights are of another model.
    """
    num_threads = torch.get_num_threads()
    try:
        yield from map_in_order(functools.partial(impression_of, pretrained), rows, num_items=num_rows)
    finally:
        torch.set_num_threads(num_threads)


def impression_of(pretrained: Pretrained, row: Row) -> Impression:
    """The impression of one row; loads the weights where this process has not done so yet."""
    tap, runner = _load(pretrained)
    torch.set_num_threads(1)
    target = decode_target(row, pretrained.spec.task)
    image = decode(row.image, pretrained.spec, where=row.id)
    size = bounded(rule_of(pretrained.resize)(*image.shape[:2]))
    logits = predict_logits(runner, resize_image(image, size), pretrained.spec, Tiling(2 * MOST_PIXELS, 0))
    target = resize_mask(target, size) if target.ndim else target
    return Impression(tap.take()[0], loss_of(logits, target, pretrained.known))


def bounded(size: tuple[int, int]) -> tuple[int, int]:
    """A size [height, width] of at most `MOST_PIXELS`, with the same aspect."""
    shrink = min(1.0, math.sqrt(MOST_PIXELS / math.prod(size)))
    height, width = (max(1, int(side * shrink)) for side in size)
    return height, width


def loss_of(logits: np.ndarray, target: np.ndarray, known: Sequence[int]) -> float:
    """The mean cross-entropy of the classes a model knows, by their softmax; 0 where the target shows none of them.

    Args:
        logits: float32 [K, H, W], or [K].
        target: Ids of classes, uint8 [H, W] or int64 []; 255 is ignored.
        known: Ids of the classes that count.
    """
    if not known:
        return 0.0
    ignored = ignored_target(len(known))
    table = np.full(IGNORE_INDEX + 1, ignored, np.int64)
    table[list(known)] = np.arange(len(known))
    targets = torch.from_numpy(np.atleast_1d(table[target])[None])
    of_known = torch.from_numpy(np.ascontiguousarray(logits[list(known)]))[None]
    losses = F.cross_entropy(of_known, targets if target.ndim else targets[0], ignore_index=ignored, reduction="none")
    counted = int((targets != ignored).sum())
    return float(losses.double().sum()) / counted if counted else 0.0


_LOADED: dict[str, tuple[FeatureTap, Runner]] = {}  # of this process: those of one digest


def _load(pretrained: Pretrained) -> tuple[FeatureTap, Runner]:
    """The model with these weights, loaded once a process."""
    if pretrained.sha256 not in _LOADED:
        _LOADED.clear()
        state, _ = load_state(pretrained.folder / WEIGHTS)
        model = restore_model(state, pretrained.spec, where=pretrained.folder / WEIGHTS)
        _LOADED[pretrained.sha256] = FeatureTap(model), torch_runner(model, pretrained.spec)
    return _LOADED[pretrained.sha256]
