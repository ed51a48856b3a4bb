"""Features of the frozen layers of a model: computed once for each view, kept in unnamed files, read in every epoch."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graft.data.views.view import BatchSource
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.models.architectures import Model, WithAuxiliary
from graft.models.model import Feature
from graft.training.forward import Forward, cut
from graft.training.mixed_precision import training_autocast

FLOAT_BYTES = 4


class Column:
    """Rows of one shape in a memory-mapped file without a name, which vanishes as soon as the process lets go of it.

    Floating numbers are kept as float32, which holds every bfloat16 and float16, and come back as what they were, in
    the memory layout they had.

    Args:
        tensor: Batch of rows [B, …] with the type and shape to be kept.
        num_rows: Number of rows in all.
    """

    def __init__(self, tensor: Tensor, num_rows: int) -> None:
        self.dtype = tensor.dtype
        self.is_channels_last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        example = self._stored(tensor)
        self.row_bytes = example[0].nbytes
        file = tempfile.TemporaryFile(prefix="graft-features-", buffering=0)  # noqa: SIM115  closed with the column
        weakref.finalize(self, file.close)
        file.truncate(self.row_bytes * num_rows)
        self._file = file
        self._rows = np.memmap(file, example.dtype, "r", shape=(num_rows, *example.shape[1:]))

    def write(self, rows: np.ndarray, tensor: Tensor) -> None:
        """Writes a batch into its rows; a full disk raises here, where a memory mapping would kill the process."""
        for row, values in zip(rows, self._stored(tensor), strict=True):
            self._file.seek(int(row) * self.row_bytes)
            try:
                num_written = self._file.write(values.data)
            except OSError as error:
                raise no_room(f"features cannot be written ({error.strerror})") from None
            if num_written < values.nbytes:  # what filled the disk was written in part
                raise no_room("features cannot be written (only in part)")

    def read(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """The rows as one batch on a device."""
        values = torch.from_numpy(self._rows[rows]).to(device).to(self.dtype)
        return values.permute(0, 3, 1, 2) if self.is_channels_last else values

    def _stored(self, tensor: Tensor) -> np.ndarray:
        values = tensor.permute(0, 2, 3, 1) if self.is_channels_last else tensor
        values = values.float() if values.is_floating_point() else values
        return values.contiguous().cpu().numpy()


def columns_for(tensors: Sequence[Tensor], num_rows: int) -> list[Column]:
    """A column for each tensor of a batch.

    Raises:
        GraftError: The disk has less room than all rows need.
    """
    sizes = [
        tensor[0].numel() * (FLOAT_BYTES if tensor.is_floating_point() else tensor.element_size()) for tensor in tensors
    ]
    needed, free = num_rows * sum(sizes), shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        raise no_room(f"the features of {num_rows:,} views need {needed:,} bytes, {free:,} are free")
    return [Column(tensor, num_rows) for tensor in tensors]


def no_room(what: str) -> GraftError:
    """The error of a disk that is full, or would be."""
    return GraftError(
        what,
        where=tempfile.gettempdir(),
        rule="the features (or answers of teachers) of all views stay on the disk while the model trains",
        remedy="set TMPDIR to a folder with more room, lower augment.views, or reuse none of them",
    )


MOST_REMEMBERED_BYTES = 1 << 30
# Layers without parameters whose output depends on nothing but their input, in training too.
STEADY = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.Flatten, nn.Identity, nn.ReLU, nn.Hardswish, Feature)


@dataclass(frozen=True)
class Features:
    """Features of a batch, in the order in which `tensors_of` finds them, and the size of their images."""

    tensors: list[Tensor]
    size: torch.Size

    def __len__(self) -> int:
        return len(self.tensors[0])


class FeatureForward:
    """A `Forward` in two: the layers that are frozen from the input on, and the rest, which trains.

    The cut lies behind the backbone, or, where the head is a plain chain of layers, behind the last of its first layers
    that are frozen. Called with `Features` it answers as `forward` would for their images.

    Args:
        forward: Forward pass of the whole model.
        model: The same model; its frozen layers must stay frozen.
    """

    def __init__(self, forward: Forward, model: Model) -> None:
        self.whole, self.model = forward, model
        self.num_frozen = _num_frozen(model)
        self.structure: Any = None
        self.remembered: dict[bytes, Any] = {}
        self.remembered_bytes = 0

    def __call__(self, features: Features) -> Tensor | WithAuxiliary:
        """Logits as `Forward` gives them."""
        padded = self.whole.padded_size(features.size)
        with training_autocast(features.tensors[0].device.type, self.whole.precision):
            output = self.rest(self.model, rebuild(self.structure, iter(features.tensors)), padded)
        return cut(output, features.size)

    @torch.no_grad()
    def features(self, images: Tensor) -> list[Tensor]:
        """The output of the frozen layers for images, uint8 [B, C, H, W]."""
        self.model.eval()
        with training_autocast(images.device.type, self.whole.precision):
            tensors, self.structure = tensors_of(self.frozen(self.model, self.whole.pixels(images)))
        return tensors

    def frozen(self, model: Model, pixels: Tensor) -> Any:
        """The output of the frozen layers for normalised images, nested as the model nests it."""
        found = model.backbone(pixels)
        for layer in list(model.head.children())[: self.num_frozen]:
            found = layer(found)
        return found

    def rest(self, model: Model, features: Any, size: Sequence[int]) -> Tensor | WithAuxiliary:
        """The output of the other layers for these features: that of the whole model for images of this size."""
        if not self.num_frozen:
            return model.on_features(features, size)
        for layer in list(model.head.children())[self.num_frozen :]:
            features = layer(features)
        return model.at_size(features, size)


class RememberingModel(nn.Module):
    """A model in evaluation that keeps the features of its frozen layers for each batch, up to a limit of memory.

    Args:
        model: Model that trains, or its average, whose frozen layers are the same.
        forward: Forward pass that knows which layers are frozen, and keeps their features.
    """

    def __init__(self, model: Model, forward: FeatureForward) -> None:
        super().__init__()
        self.model, self.forward_in_two = model, forward

    def forward(self, pixels: Tensor) -> Tensor | WithAuxiliary:
        """As the model's own."""
        both, content = self.forward_in_two, pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        key = hashlib.sha256(content.data).digest() + bytes(str(content.shape), "ascii")
        features = both.remembered.get(key)
        if features is None:
            features = both.frozen(self.model, pixels)
            num_bytes = sum(tensor.nbytes for tensor in tensors_of(features)[0])
            if both.remembered_bytes + num_bytes <= MOST_REMEMBERED_BYTES:
                both.remembered[key] = features
                both.remembered_bytes += num_bytes
        return both.rest(self.model, features, pixels.shape[-2:])


class FeatureViews(BatchSource):
    """Views whose inputs are features; a view's are computed when it is first asked for.

    They are those of batches of the same size in order of the samples. Where an image's features depend on its batch
    at all (in evaluation mode: by rounding, if the number of images lets the library choose another kernel) they may
    differ in the last bits from those computed on the way.

    Args:
        views: Views as pixels.
        forward: Forward pass that computes the features.

    Raises:
        GraftError: There is not enough room on the disk.
    """

    def __init__(self, views: BatchSource, forward: FeatureForward) -> None:
        self.views, self.forward = views, forward
        self.num_samples, self.num_views = views.num_samples, views.num_views
        self._computed: set[int] = set()
        self._columns: list[Column] = []
        self._size = torch.Size()

    def batches(
        self, order: np.ndarray, view: int, batch_size: int, device: torch.device
    ) -> Iterator[tuple[Features, Tensor]]:
        """Features and targets of one view of the samples `order`, in that order; the last batch may be smaller."""
        if view not in self._computed:
            self._compute(view, batch_size, device)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size] * self.num_views + view
            *features, targets = (column.read(rows, device) for column in self._columns)
            yield Features(features, self._size), targets.long()

    def _compute(self, view: int, batch_size: int, device: torch.device) -> None:
        batches = self.views.batches(np.arange(self.num_samples), view, batch_size, device)
        total, start = -(-self.num_samples // batch_size), 0
        for images, targets in progress(batches, "Computing features", total=total, unit="batch"):
            masks = targets.to(torch.uint8) if targets.ndim == 3 else targets
            tensors = [*self.forward.features(images), masks]
            self._size = images.shape[-2:]
            if not self._columns:
                self._columns = columns_for(tensors, self.num_samples * self.num_views)
            rows = np.arange(start, start + len(images)) * self.num_views + view
            for column, tensor in zip(self._columns, tensors, strict=True):
                column.write(rows, tensor)
            start += len(images)
        self.forward.model.train()
        self._computed.add(view)


def tensors_of(features: Any) -> tuple[list[Tensor], Any]:
    """The tensors in nested lists, tuples and mappings, and the same nest with None in their places."""
    if isinstance(features, Tensor):
        return [features], None
    pairs = features.items() if isinstance(features, dict) else enumerate(features)
    tensors, structure = [], {}
    for key, value in pairs:
        found, structure[key] = tensors_of(value)
        tensors += found
    return tensors, structure if isinstance(features, dict) else list(structure.values())


def rebuild(structure: Any, tensors: Iterator[Tensor]) -> Any:
    """The nest that `tensors_of` took apart; a tuple comes back as a list."""
    if structure is None:
        return next(tensors)
    if isinstance(structure, dict):
        return {key: rebuild(value, tensors) for key, value in structure.items()}
    return [rebuild(value, tensors) for value in structure]


def _num_frozen(model: Model) -> int:
    """The number of layers of the head, from its first on, that need computing only once: frozen or steady ones."""
    if type(model.head) is not nn.Sequential or model.auxiliary is not None:
        return 0
    number = 0
    for layer in model.head.children():
        parameters = list(layer.parameters())
        is_fixed = not any(p.requires_grad for p in parameters) if parameters else isinstance(layer, STEADY)
        if not is_fixed:
            break
        number += 1
    return number
