"""The raw files of a record of ingest, listed again by the source that listed them then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.choices import resolve
from graft.provenance.deliveries import ingest_section
from graft.provenance.records import Record

if TYPE_CHECKING:
    from graft.data.formats.listing import Listing


def list_raw(root: Path, record: Record) -> Listing:
    """Lists the files that the source of a record of ingest finds in a folder now.

    Raises:
        GraftError: The source can no longer read the folder.
    """
    from graft.data.formats import FORMATS
    from graft.data.formats.unlabelled_images import add_unlabelled

    section = ingest_section(record)
    source = resolve(FORMATS, section["source"], where="ingest.source of the record")
    listing = source(record.params["task"], split_seed_of(record), root)
    return add_unlabelled(listing, root, section.get("unlabelled"))


def split_seed_of(record: Record) -> int:
    """The seed that drew the splits; records of older releases have one seed for all."""
    return int(ingest_section(record).get("split_seed", record.params.get("seed", 0)))
