"""The manifest as a table in memory, and refused when it is not one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from graft.data.shards import MANIFEST_SCHEMA
from graft.foundation.errors import GraftError

REQUIRED_COLUMNS = tuple(MANIFEST_SCHEMA.names)
REMEDY = "remove it and run dvc repro, which ingests again"


def read_manifest(path: Path) -> pd.DataFrame:
    """The manifest, a row per image. A missing column is left to the expectations, which name it in the report.

    Raises:
        GraftError: The file is missing, is not parquet, or holds columns of another type than the manifest has.
    """
    if not path.is_file():
        raise GraftError("manifest not found", where=path, remedy="run the stage that writes it: dvc repro")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise GraftError(f"not a readable parquet file ({_first_line(error)})", where=path, remedy=REMEDY) from None
    problems = [
        f"column {field.name!r} is {table.schema.field(field.name).type}, the manifest has {field.type}"
        for field in MANIFEST_SCHEMA
        if field.name in table.schema.names and table.schema.field(field.name).type != field.type
    ]
    if problems:
        raise GraftError.of_all(f"{path}: columns of the wrong type", problems, remedy=REMEDY)
    return table.to_pandas()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
