"""Training views: view k of sample s is a pure function of (seed, id of s, k) and the policy, wherever it is made."""

from __future__ import annotations

import functools
import json
import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from graft.data.augmentations import POLICIES, Policy, apply, build, carry_channels, num_carried, weakened
from graft.data.images.codec import decode_target
from graft.data.images.stacks import decode
from graft.data.resize import resize_image, resize_mask, rule_of
from graft.data.shards import Row
from graft.data.views.rows import RowFile
from graft.foundation.choices import resolve
from graft.foundation.class_map import RGB
from graft.foundation.content import content_seed, read_json
from graft.foundation.errors import GraftError
from graft.foundation.workers import die_with_parent, num_usable_cores

if TYPE_CHECKING:
    import torch

NO_LABEL = -1
UNLABELLED_VIEWS = "unlabelled"  # folder of the weak views, within that of the training views


@dataclass(frozen=True)
class Recipe:
    """All that a view depends on, besides its sample and its number; small, picklable, and written as `policy.json`.

    Attributes:
        task: `segmentation` or `classification`.
        seed: Seed of the whole pipeline.
        policy: `{"name": …}` with every option.
        resize: `{"name": …}` with every option; applied before the policy.
        height: Height of a view, in pixels.
        width: Width of a view, in pixels.
        num_views: Number of views of a sample.
        storage: `materialised` or `online`; changes no view.
        channels: The C names of the channels, as in the class map.
        max_value: Value that becomes 255 in stacks, as in the class map.
        class_shares: Share of each class in the labelled training pixels, where the policy seeks rare classes.
        weak: Whether a view is only moved and cropped, and its sample has no target: in place of a mask it has 0 where
            the view shows the image and 255 beyond.
    """

    task: str
    seed: int
    policy: dict[str, Any]
    resize: dict[str, Any]
    height: int
    width: int
    num_views: int
    storage: str
    channels: tuple[str, ...] = RGB
    max_value: int | None = None
    class_shares: tuple[float, ...] = ()
    weak: bool = False

    def compose(self) -> Policy:
        """The policy, built once a process."""
        size = (self.height, self.width)
        return _compose(json.dumps(self.policy), size, tuple(self.class_shares), num_carried(self.channels), self.weak)

    def prepared(self, row: Row) -> tuple[np.ndarray, np.ndarray | None]:
        """Decodes a row and applies the resize rule: image uint8 [H, W, C] and mask uint8 [H, W] (None for a label).

        Raises:
            GraftError: The row has no mask (or, for classification, no label), or its image cannot be decoded.
        """
        target = None if self.weak else decode_target(row, self.task)
        image = decode(row.image, self, where=row.id)
        size = rule_of(self.resize)(*image.shape[:2])
        image = resize_image(image, size)
        if self.task != "segmentation":
            return image, None
        return image, np.zeros(image.shape[:2], np.uint8) if target is None else resize_mask(target, size)

    def view(self, sample_id: str, image: np.ndarray, mask: np.ndarray | None, k: int) -> tuple[np.ndarray, Any]:
        """View k of a prepared sample: image uint8 [height, width, C], mask uint8 [height, width] or None."""
        try:
            return apply(self.compose(), image, mask, content_seed(self.seed, "view", sample_id, k), self.channels)
        except GraftError as error:
            raise error.at(f"{sample_id}, view {k}") from None


@functools.lru_cache(maxsize=4)
def _compose(
    policy: str, size: tuple[int, int], class_shares: tuple[float, ...], num_carried: int, weak: bool
) -> Policy:
    steps = resolve(POLICIES, json.loads(policy), where="augment.policy")()
    steps = weakened(steps) if weak else steps
    return carry_channels(build(steps, *size, class_shares), num_carried)


def view_of(recipe: Recipe, row: Row, k: int) -> tuple[np.ndarray, np.ndarray | int]:
    """View k of a row: image uint8 [height, width, C] with its mask uint8 [height, width], its label or labels."""
    image, mask = recipe.view(row.id, *recipe.prepared(row), k)
    return image, label_of(row, recipe.task) if mask is None else mask


def label_of(row: Row, task: str) -> int | np.ndarray:
    """The label of a row, or for multilabel its labels, uint8 [K]; `NO_LABEL` if it has none."""
    if task == "multilabel" and row.mask is not None:
        return decode_target(row, task)
    return NO_LABEL if row.label is None else row.label


class BatchSource(ABC):
    """Source of the batches of an epoch: views, or features that were computed from them.

    Attributes:
        num_samples: Number of samples, N.
        num_views: Number of views of each sample.
    """

    num_samples: int
    num_views: int

    @abstractmethod
    def batches(
        self, order: np.ndarray, view: int, batch_size: int, device: torch.device
    ) -> Iterator[tuple[Any, torch.Tensor]]:
        """Inputs and targets of one view of the samples `order`, in that order; the last batch may be smaller."""


class Views(BatchSource):
    """The training views of a folder that `augment` wrote; sample n is number n of `ids`.

    `size` is height and width of a view, in pixels.
    `remembered` holds, by the name of an earlier delivery than those to be learnt, the numbers of its samples, int64.
    `class_counts`, int64 [N, K], holds the pixels of each class in each sample before augmentation (its label, one-hot,
    for classification).
    """

    ids: list[str]
    image_sha256: list[str]
    remembered: Mapping[str, np.ndarray]
    class_counts: np.ndarray
    size: tuple[int, int]

    @abstractmethod
    def read(self, indices: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
        """One view of some samples: images uint8 [B, H, W, C], and masks uint8 [B, H, W], labels int64 [B] or, of
        several an image, uint8 [B, K].
        """

    def batches(
        self, order: np.ndarray, view: int, batch_size: int, device: torch.device
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One view of the samples `order`, in that order, as `graft.data.views.batches.batches` hands them out."""
        from graft.data.views.batches import batches

        return batches(self, order, view, batch_size, device=device)


class MaterialisedViews(Views):
    """Views read from memory-mapped arrays: view k of sample n is row n * num_views + k."""

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self.ids, self.image_sha256 = index["ids"], index["image_sha256"]
        self.num_samples, self.num_views = len(self.ids), index["num_views"]
        self.remembered = _remembered(index)
        self.size = index["height"], index["width"]
        self.class_counts = _class_counts(folder, self.num_samples)
        self.images, self.targets = (_map_array(folder / f"{name}.npy") for name in ("images", "targets"))
        expected = (self.num_samples * self.num_views, *self.size, index["num_channels"])
        if self.images.shape != expected:
            raise _damaged(folder / "images.npy", f"its shape is {self.images.shape}, not {expected}")
        self.targets_have_views = self.targets.ndim == 3

    def read(self, indices: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(indices) * self.num_views + view
        return self.images[rows], self.targets[rows if self.targets_have_views else np.asarray(indices)]


class OnlineViews(Views):
    """Views made when they are read, by a process a core that lives as long as this object."""

    def __init__(self, folder: Path, index: dict[str, Any], num_workers: int | None = None) -> None:
        self.ids, self.image_sha256 = index["ids"], index["image_sha256"]
        self.num_samples, self.num_views = len(self.ids), index["num_views"]
        self.remembered = _remembered(index)
        self.size = index["height"], index["width"]
        self.class_counts = _class_counts(folder, self.num_samples)
        self.recipe, self.path = Recipe(**read_json(folder / "policy.json")["recipe"]), folder / "rows.arrow"
        self.num_workers = num_workers or num_usable_cores()
        self.pool: ProcessPoolExecutor | None = None

    def read(self, indices: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
        if self.num_workers == 1:
            return make_batch(self.recipe, self.path, np.asarray(indices), view)
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.num_workers, mp_context=context, initializer=die_with_parent)
        parts = [part for part in np.array_split(np.asarray(indices), self.num_workers) if len(part)]
        futures = [self.pool.submit(make_batch, self.recipe, self.path, part, view) for part in parts]
        images, targets = zip(*(future.result() for future in futures), strict=True)
        return np.concatenate(images), np.concatenate(targets)


def make_batch(recipe: Recipe, path: Path, indices: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
    """View `view` of the samples `indices` of a row file, as `Views.read` gives them."""
    rows = _open_rows(path)
    images, targets = zip(*(view_of(recipe, rows.read(int(n)), view) for n in indices), strict=True)
    dtype = np.uint8 if recipe.task == "segmentation" or isinstance(targets[0], np.ndarray) else np.int64
    return np.stack(images), np.asarray(targets, dtype=dtype)


@functools.lru_cache(maxsize=4)
def _open_rows(path: Path) -> RowFile:
    return RowFile(path)


def open_views(folder: Path, task: str, *, num_workers: int | None = None) -> Views:
    """Opens the views in `folder` (data/augmented), however they are stored: the same bits either way.

    Args:
        folder: Output folder of the augment stage.
        task: `segmentation` or `classification`; must be the one they were made for.
        num_workers: Processes that make online views; the number of usable cores by default.

    Raises:
        GraftError: A file is missing or damaged, or the views are of the other task.
    """
    index = read_json(folder / "index.json")
    if index["task"] != task:
        raise GraftError(
            f"the views are for {index['task']}, the task is {task}", where=folder, remedy="dvc repro augment"
        )
    return (
        MaterialisedViews(folder, index)
        if index["storage"] == "materialised"
        else OnlineViews(folder, index, num_workers)
    )


def index_of(
    recipe: Recipe, ids: list[str], image_sha256: list[str], remembered: Mapping[str, Set[str]] = MappingProxyType({})
) -> dict[str, Any]:
    """The content of `index.json`: the ids of the samples, in order, and the shape of a view.

    Where there is a memory it says which samples are remembered, by their delivery.
    """
    kept = {key: asdict(recipe)[key] for key in ("task", "height", "width", "num_views", "storage")}
    index = {**kept, "num_channels": len(recipe.channels), "ids": ids, "image_sha256": image_sha256}
    numbers = {name: [n for n, id in enumerate(ids) if id in images] for name, images in remembered.items()}
    return index | ({"remembered": numbers} if numbers else {})


def _remembered(index: dict[str, Any]) -> dict[str, np.ndarray]:
    return {delivery: np.array(numbers, np.int64) for delivery, numbers in index.get("remembered", {}).items()}


def _map_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from None


def _class_counts(folder: Path, num_samples: int) -> np.ndarray:
    path = folder / "class_counts.npy"
    counts = _map_array(path)
    if counts.ndim != 2 or len(counts) != num_samples or counts.dtype != np.int64:
        found = f"{counts.dtype} {list(counts.shape)}"
        raise _damaged(path, f"it holds {found}, not int64 [{num_samples}, number of classes]")
    return counts


def _damaged(path: Path, reason: str) -> GraftError:
    return GraftError(f"cannot be read ({reason})", where=path, remedy="remove the folder and run dvc repro augment")
