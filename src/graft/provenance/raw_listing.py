"""The raw files of a record of ingest, listed again by the source that listed them then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.choices import resolve
from graft.provenance.records import Record

if TYPE_CHECKING:
    from graft.data.formats.listing import Listing


def list_raw(root: Path, record: Record) -> Listing:
    """Lists the files that the source of a record of ingest finds in a folder now.

    Raises:
        GraftError: The source can no longer read the folder.
    """
    from graft.data.formats import FORMATS

    params = record.params
    source = resolve(FORMATS, params["ingest"]["source"], where="ingest.source of the record")
    seed = params["ingest"].get("split_seed", params.get("seed"))  # records of older releases have one seed for all
    return source(params["task"], seed, root)
