"""Rows of tensors on the disk, written once and read in any order, in files that have no name."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graft.errors import GraftError

FLOAT_BYTES = 4


class Column:
    """Rows of one shape in a memory-mapped file that has no name: it is gone when nobody holds it, whatever happens.

    Floating numbers are kept as float32, which holds every bfloat16 and float16, and come back as what they were, in
    the memory layout they had.

    Args:
        tensor: A batch of rows [B, …] of the kind to be kept.
        num_rows: How many there will be.
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
        """Puts a batch into its rows; what cannot be written is an error here, where a mapping would kill."""
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
    """The disk is full, or would be."""
    return GraftError(
        what,
        where=tempfile.gettempdir(),
        rule="reuse_features keeps the features of all views on the disk while it trains",
        remedy="set TMPDIR to a folder with more room, lower augment.views, or leave reuse_features out",
    )
