"""Arrays of NumPy's own files, `.npy`: the header is judged before anything else is read, and nothing is unpickled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NPY_MAGIC = b"\x93NUMPY"


def read_npy(file: Any, check: Callable[[Sequence[int], np.dtype[Any]], None]) -> np.ndarray:
    """The array of an open file, in the byte order of the machine.

    Args:
        file: File, opened for reading bytes.
        check: Function of shape and type, which raises where the array must not be read.

    Raises:
        ValueError: It is no such file, or less is there than its header says.
    """
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
        version
    )
    if read_header is None:
        raise ValueError(f"version {version} of the format is not known")
    shape, fortran, dtype = read_header(file)
    check(shape, dtype)
    num_bytes = math.prod(shape) * dtype.itemsize
    data = file.read(num_bytes)
    if len(data) != num_bytes:
        raise ValueError(f"{len(data)} of {num_bytes} bytes are there")
    values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return values.astype(dtype.newbyteorder("="), copy=False)
