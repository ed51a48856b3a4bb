"""A file of rows for random access: uncompressed Arrow, memory-mapped, so that one row costs one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from graft.data.shards import SHARD_SCHEMA, Row
from graft.foundation.errors import GraftError

ROWS_A_BATCH = 16


def write_rows(path: Path, rows: Iterable[Row]) -> Iterator[Row]:
    """Writes rows as they pass through, in order; Parquet would have to decode a whole group for one row."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SHARD_SCHEMA) as writer:
        waiting: list[Row] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) == ROWS_A_BATCH:
                writer.write_batch(_batch(waiting))
                waiting = []
            yield row
        if waiting:
            writer.write_batch(_batch(waiting))


def _batch(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([asdict(row) for row in rows], schema=SHARD_SCHEMA)


class RowFile:
    """Rows by number.

    Raises:
        GraftError: The file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.reader = pa.ipc.open_file(pa.memory_map(str(path)))
        except (OSError, pa.ArrowInvalid) as error:
            raise GraftError(
                f"cannot be read ({error})", where=path, remedy="remove the folder and run dvc repro augment"
            ) from None

    def read(self, number: int) -> Row:
        """Row `number`, counted from 0 in the order of writing."""
        batch = self.reader.get_batch(number // ROWS_A_BATCH)
        return Row(**batch.slice(number % ROWS_A_BATCH, 1).to_pylist()[0])
