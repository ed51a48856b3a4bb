"""Masks in files of arrays, `.npz` and `.mat`: the one array that is the mask, taken out as `.npy`."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graft.data.formats.listing import Entry, Reader
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError, suggest

if TYPE_CHECKING:
    import numpy as np

ARRAY_ENDINGS = (".npy", ".npz", ".mat")
ZIP_MAGIC, HDF5_MAGIC, MAT_7_3, MAT_5 = b"PK\x03\x04", b"\x89HDF", b"MATLAB 7.3", b"MATLAB 5"
MAT_HEADER_BYTES, COMPRESSED, COMPRESSED_BIG_ENDIAN = 128, b"\x0f\0\0\0", b"\0\0\0\x0f"
MOST_BYTES = 1 << 30  # that the variables of a .mat may unfold to
CHUNK_BYTES = 1 << 24
WHERE_KEY = "mask_key in ingest.source"


@dataclass(frozen=True)
class ArrayMaskReader:
    """Reads an entry as another reader does, and takes the mask out of a file of arrays.

    Attributes:
        source: Reader of the files.
        key: Name of the array that is the mask; None where each file holds one.
        max_pixels: Most pixels that a mask may have; None sets no limit.
    """

    source: Reader
    key: str | None
    max_pixels: int | None = None

    def within(self, max_pixels: int) -> ArrayMaskReader:
        """The same reader, which reads arrays of at most so many pixels."""
        return replace(self, max_pixels=max_pixels)

    def __call__(self, entry: Entry) -> tuple[bytes, bytes | None]:
        image, mask = self.source(entry)
        if mask is None or entry.mask is None or not is_array(entry.mask):
            return image, mask
        return image, array_of_mask(mask, entry.mask, self.key, self.max_pixels)


def is_array(path: str) -> bool:
    """Whether a file is named as arrays are."""
    return posixpath.splitext(path)[1].lower() in ARRAY_ENDINGS


def refuse_array(path: str) -> None:
    """Refuses a mask that is an array, where masks are cut by windows.

    Raises:
        GraftError: It is one.
    """
    if is_array(path):
        raise GraftError("an array is not read by windows", where=path, remedy="save the masks as tiled TIFF, or PNG")


def array_of_mask(data: bytes, where: str, key: str | None = None, max_pixels: int | None = None) -> bytes:
    """The mask of a file of arrays as `.npy`; whatever is no `.npz` and no `.mat` as it is.

    Raises:
        GraftError: It cannot be read, or does not say which array is the mask.
    """
    if not where.lower().endswith((".npz", ".mat")):
        return data
    try:
        values = _of_npz(data, where, key, max_pixels) if data.startswith(ZIP_MAGIC) else _of_mat(data, where, key)
    except GraftError as error:
        raise error.at(error.where or where) from None
    except Exception as error:  # scipy and zipfile raise ValueError, TypeError, zlib.error, struct.error, KeyError…
        raise GraftError(f"the file is damaged, cut off or of another kind ({error})", where=where) from None
    return _as_npy(values)


def keys_of(data: bytes) -> list[str]:
    """The names that `mask_key` may have for a MATLAB file up to version 7: variables, or the fields of structs.

    Raises:
        GraftError: Its variables unfold to too much.
        ValueError: It is no such file.
    """
    from scipy.io import loadmat, whosmat

    _refuse_bomb(data)
    names = [name for name, *_ in whosmat(io.BytesIO(data))]
    values = loadmat(io.BytesIO(data), variable_names=names)
    return [key for name in names for key in ([f"{name}.{one}" for one in _fields_of(values[name])] or [name])]


def _as_npy(values: np.ndarray) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def _of_npz(data: bytes, where: str, key: str | None, max_pixels: int | None) -> np.ndarray:
    from graft.data.images.npy_files import read_npy
    from graft.data.label_arrays import check_label_array

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        with archive.open(f"{_choose(names, key)}.npy") as file:
            return read_npy(file, lambda shape, dtype: check_label_array(shape, dtype, where, max_pixels))


def _of_mat(data: bytes, where: str, key: str | None) -> np.ndarray:
    """A variable of a MATLAB file, or a field of one that is a struct."""
    from scipy.io import loadmat, whosmat

    if data.startswith((HDF5_MAGIC, MAT_7_3)):
        raise GraftError(
            "it is a MATLAB file of version 7.3, which is HDF5",
            rule=".mat is read up to version 7",
            remedy="save it anew in MATLAB: save(name, 'mask', '-v7'), or as .npy",
        )
    if data.startswith(MAT_5):
        _refuse_bomb(data)
    variable, _, inner = (key or "").partition(".")
    name = _choose([known for known, *_ in whosmat(io.BytesIO(data))], variable or None)
    value: Any = loadmat(io.BytesIO(data), variable_names=[name])[name]
    for field in inner.split(".") if inner else ():
        if field not in _fields_of(value):
            raise GraftError(f"{name} has no field {field!r}; {suggest(field, _fields_of(value))}")
        value, name = _alone(value[field]), f"{name}.{field}"
    if _fields_of(value):
        raise GraftError(
            f"{name} is a struct with {', '.join(_fields_of(value))}",
            remedy=f"name its field: {WHERE_KEY}, as {name}.{_fields_of(value)[0]}",
        )
    if not hasattr(value, "ndim") or value.dtype.hasobject or hasattr(value, "tocoo"):
        raise GraftError(
            f"{name} is no array of numbers", remedy="save it as a full matrix, one class id for each pixel"
        )
    return value


def _fields_of(value: Any) -> tuple[str, ...]:
    """The names of the fields of a struct; () where it is none."""
    return getattr(getattr(value, "dtype", None), "names", None) or ()


def _alone(value: Any) -> Any:
    """The content of a cell of one; all else as it is."""
    return value.item() if value.dtype.hasobject and value.size == 1 and not _fields_of(value) else value


def _choose(names: Sequence[str], key: str | None) -> str:
    """The array that `key` names, or the only one.

    Raises:
        GraftError: There are several, or it is not there.
    """
    if key in names:
        return str(key)
    if key is None and len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    if key is None:
        raise GraftError(
            f"it holds {counted(len(names), 'array')}: {known}",
            rule="one of them is the mask",
            remedy=f"name it: {WHERE_KEY}" if names else None,
        )
    raise GraftError(f"it has no array {key!r}, but {known}", remedy=f"correct {WHERE_KEY}; {suggest(key, names)}")


def _refuse_bomb(data: bytes) -> None:
    """Unfolds the variables of a MATLAB file bit by bit, and refuses them where they are more than `MOST_BYTES`.

    Raises:
        GraftError: They are.
    """
    little_endian = data[MAT_HEADER_BYTES - 2 : MAT_HEADER_BYTES] == b"IM"
    place, num_bytes = MAT_HEADER_BYTES, 0
    while place + 8 <= len(data):
        kind = data[place : place + 4]
        size = int.from_bytes(data[place + 4 : place + 8], "little" if little_endian else "big")
        if kind in (COMPRESSED, COMPRESSED_BIG_ENDIAN):
            unfolding, rest = zlib.decompressobj(), data[place + 8 : place + 8 + size]
            while rest and not unfolding.eof and num_bytes <= MOST_BYTES:
                num_bytes += len(unfolding.decompress(rest, CHUNK_BYTES))
                rest = unfolding.unconsumed_tail
        if num_bytes > MOST_BYTES:
            raise GraftError(f"its variables unfold to more than {MOST_BYTES:,} bytes: a decompression bomb?")
        place += 8 + size
