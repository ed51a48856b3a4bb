"""Rows of a data set in Parquet shards, and the manifest that has the same rows without their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from graft.foundation.errors import GraftError

MOST_SHARD_BYTES = 256_000_000
ROW_BYTES_BESIDES_IMAGES = 1024
# Flushed at whichever comes first: what a reader must hold to read one row, and what a writer holds before it writes.
ROW_GROUP_BYTES = 16_000_000
ROW_GROUP_ROWS = 512

_KEYS = [(name, pa.string()) for name in ("id", "split", "batch", "domain", "group")]
SHARD_SCHEMA = pa.schema(
    [
        *_KEYS,
        ("image", pa.binary()),
        ("image_sha256", pa.string()),
        ("mask", pa.binary()),
        ("mask_sha256", pa.string()),
        ("label", pa.int16()),
    ]
)
MANIFEST_SCHEMA = pa.schema(
    [
        *_KEYS,
        ("image_sha256", pa.string()),
        ("mask_sha256", pa.string()),
        ("label", pa.int16()),
        ("source", pa.int16()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("channels", pa.int8()),
        ("further_band_is_picture", pa.bool_()),
        ("mode", pa.string()),
        ("bit_depth", pa.int8()),
        ("num_bytes", pa.int64()),
        ("exif_orientation", pa.int8()),
        ("mean_luminance", pa.float32()),
        ("phash", pa.string()),
        ("mask_format", pa.string()),
        ("mask_lossy", pa.bool_()),
        ("mask_orientation", pa.int8()),
        ("mask_palette", pa.string()),
        ("mask_reading", pa.string()),
        ("mask_alpha_only", pa.bool_()),
        ("mask_width", pa.int32()),
        ("mask_height", pa.int32()),
        ("mask_counts", pa.list_(pa.int64())),
        ("mask_void", pa.int64()),
        ("mask_unknown", pa.int64()),
        ("mask_unknown_values", pa.list_(pa.string())),
        ("mask_rest_values", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Row:
    """A sample as it is stored: the original encoded image, its target, and the columns beside them.

    The target of segmentation is `mask`, an index PNG; of classification `label`; of multilabel again `mask`, which is
    then a byte for each of the K classes, one where the image has the class and zero where it has not.
    """

    id: str
    split: str
    batch: str
    domain: str
    group: str
    image: bytes
    image_sha256: str
    mask: bytes | None
    mask_sha256: str | None
    label: int | None


class TableWriter:
    """Writes dicts as rows of one Parquet file, a row group at a time, so that memory stays bounded.

    A disk that is full or read-only is answered with a `GraftError`.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._rows: list[dict[str, Any]] = []
        self._num_bytes = 0
        with _writing(path):
            self._writer = pq.ParquetWriter(
                path, schema, compression="none", use_dictionary=False, write_statistics=False, write_page_checksum=True
            )

    def add(self, row: dict[str, Any], num_bytes: int = 0) -> None:
        """Takes a row (keys that are not columns are left out); `num_bytes` is what it weighs."""
        self._rows.append(row)
        self._num_bytes += num_bytes
        if self._num_bytes >= ROW_GROUP_BYTES or len(self._rows) >= ROW_GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        with _writing(self._path):
            self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            with _writing(self._path):
                self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._num_bytes = [], 0


class ShardWriter:
    """Writes rows to `<folder>/<split>/<batch>-00000.parquet` and on, a new shard before one would pass the limit.

    Rows must come split by split, in order of id.
    """

    def __init__(self, folder: Path, batch: str, *, most_bytes: int = MOST_SHARD_BYTES) -> None:
        self._folder, self._batch, self._most_bytes = folder, batch, most_bytes
        self._writer: TableWriter | None = None
        self._split, self._number, self._num_bytes = "", 0, 0

    def add(self, row: dict[str, Any]) -> None:
        """Takes a row with the columns of `SHARD_SCHEMA`; keys that are not columns are left out."""
        num_bytes = len(row["image"]) + len(row["mask"] or b"") + ROW_BYTES_BESIDES_IMAGES
        if row["split"] != self._split:
            self._begin(row["split"], 0)
        elif self._num_bytes + num_bytes > self._most_bytes:
            self._begin(self._split, self._number + 1)
        assert self._writer is not None
        self._writer.add(row, num_bytes)
        self._num_bytes += num_bytes

    def leave_empty(self, split: str) -> None:
        """Writes a shard without rows, so that there is a folder of this name to depend on."""
        self._begin(split, 0)
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _begin(self, split: str, number: int) -> None:
        self.close()
        path = self._folder / split / f"{self._batch}-{number:05d}.parquet"
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = TableWriter(path, SHARD_SCHEMA)
        self._split, self._number, self._num_bytes = split, number, 0


def read_rows(folder: Path, numbers: Set[int] | None = None) -> Iterator[Row]:
    """Every row of `data/interim/<split>`, shard by shard in order of name, a row group in memory at a time.

    Args:
        folder: Folder of the split.
        numbers: Which rows, counted from 0; row groups that hold none of them are not read. None gives all.

    Raises:
        GraftError: There is no shard, or one is damaged (pages carry checksums) or lacks a column.
    """
    num_passed = 0
    for path in _shards(folder):
        with _reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_columns(path, file.schema_arrow)
            for group in range(file.num_row_groups):
                here = range(num_passed, num_passed + file.metadata.row_group(group).num_rows)
                num_passed = here.stop
                if numbers is not None and numbers.isdisjoint(here):
                    continue
                table = file.read_row_group(group, columns=SHARD_SCHEMA.names)
                if numbers is not None:
                    table = table.take([number - here.start for number in here if number in numbers])
                yield from (Row(**row) for batch in table.to_batches(max_chunksize=32) for row in batch.to_pylist())


def read_columns(folder: Path, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yields some columns of every row, in the order of `read_rows`, without reading any image.

    Raises:
        GraftError: As `read_rows`.
    """
    for path in _shards(folder):
        with _reading(path):
            table = pq.read_table(path, columns=list(names))
        yield from zip(*(table[name].to_pylist() for name in names), strict=True)


def num_rows(folder: Path) -> int:
    """Number of rows that `read_rows` yields; reads only the footers.

    Raises:
        GraftError: As `read_rows`.
    """
    total = 0
    for path in _shards(folder):
        with _reading(path):
            total += pq.read_metadata(path).num_rows
    return total


def _shards(folder: Path) -> list[Path]:
    shards = sorted(folder.glob("*.parquet"))
    if not shards:
        raise GraftError("no shards (*.parquet) here", where=folder, remedy="run dvc repro")
    return shards


def _check_columns(path: Path, schema: pa.Schema) -> None:
    lacking = [field.name for field in SHARD_SCHEMA if field.name not in schema.names]
    if lacking:
        raise GraftError(f"columns are missing: {', '.join(lacking)}", where=path, remedy="run dvc repro")


class _reading:  # noqa: N801
    """Turns what pyarrow raises about a damaged file into a `GraftError` that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (OSError, pa.ArrowException)):
            raise GraftError(
                f"the shard is damaged ({error})", where=self._path, remedy="remove it and run dvc repro"
            ) from None


class _writing(_reading):  # noqa: N801
    """Turns a full or read-only disk into a `GraftError` that names the file."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise GraftError(
                f"cannot be written ({error})", where=self._path, remedy="free some space, or make the folder writable"
            ) from None
