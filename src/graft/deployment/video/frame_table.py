"""A table with a line for each frame: its number, its time, and a share for each class."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

ROWS_AT_A_TIME = 4096  # of Parquet, which is written in groups of rows


class FrameTable(Protocol):
    """A table that is written line by line."""

    def write(self, row: Sequence[Any]) -> None:
        """Adds a line: an integer, a float of seconds, perhaps a text, and floats."""

    def close(self) -> None:
        """Writes what is left."""


class CsvTable:
    """UTF-8 with a line of names; six digits behind the point.

    Args:
        path: File to write.
        columns: Names of the columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(columns)

    def write(self, row: Sequence[Any]) -> None:
        """Adds a line."""
        self._writer.writerow([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row])

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class ParquetTable:
    """Parquet, a group of rows at a time, so that memory does not grow.

    Args:
        path: File to write.
        columns: Names of the columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns = path, columns
        self._rows: list[Sequence[Any]] = []
        self._writer: Any = None

    def write(self, row: Sequence[Any]) -> None:
        """Adds a line."""
        self._rows.append(row)
        if len(self._rows) == ROWS_AT_A_TIME:
            self._write_group()

    def close(self) -> None:
        """Writes the last group and closes the file."""
        if self._rows:
            self._write_group()
        if self._writer is not None:
            self._writer.close()

    def _write_group(self) -> None:
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table([*map(pyarrow.array, zip(*self._rows, strict=True))], names=[*self._columns])
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)
        self._rows = []


TABLES: dict[str, Callable[[Path, Sequence[str]], FrameTable]] = {"csv": CsvTable, "parquet": ParquetTable}
