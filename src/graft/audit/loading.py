"""An exported folder of this project is compared with its record before it is used."""

from __future__ import annotations

from pathlib import Path

from graft.digests import digest_of
from graft.errors import GraftError
from graft.lineage.walking import EXPORTED
from graft.records import RECORDS
from graft.sample import read_json


def refuse_changed(folder: Path) -> None:
    """Refuses a folder that is not what export wrote; one that no record here speaks of is taken as it is.

    Raises:
        GraftError: The record of export says another digest.
    """
    record = record_of(folder)
    if record is None:
        return
    expected = read_json(record)["outputs"].get(EXPORTED)
    if digest_of(folder) != expected:
        raise GraftError(
            "these files are not what export wrote",
            where=folder,
            rule=f"a model is compared with its record before it is used: its digest is {expected}",
            remedy="graft audit names what was changed; dvc checkout brings the files back",
        )


def record_of(folder: Path) -> Path | None:
    """The record of export that speaks of a folder; None where none here does."""
    record = RECORDS / "export.json"
    ours = folder.resolve() == Path(EXPORTED).resolve() and folder.is_dir() and record.is_file()
    return record if ours else None
