"""The check of an exported folder before it is used: a comparison with the record of export, if there is one."""

from __future__ import annotations

from pathlib import Path

from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.provenance.records import Record
from graft.provenance.stages import EXPORTED, record_path

EXPORT = record_path("export")


def refuse_changed(folder: Path) -> str | None:
    """Refuses the project's own folder if export did not write it; returns a warning if no record here describes it.

    Raises:
        GraftError: The record of export says another digest.
    """
    if not folder.is_dir():
        return None
    expected = Record.read(EXPORT).outputs.get(EXPORTED) if EXPORT.is_file() else None
    if digest_of(folder) == expected:
        return None
    if expected is not None and record_of(folder):
        raise GraftError(
            "these files are not what export wrote",
            where=folder,
            rule=f"a model is compared with its record before it is used: its digest is {expected}",
            remedy="graft audit names what was changed; dvc checkout brings the files back",
        )
    return (
        f"{folder} was not verified: no record here says what its files are; "
        f"graft verify BUNDLE --model {folder} compares them with what graft attest wrote"
    )


def record_of(folder: Path) -> Path | None:
    """The file of the record of export that describes a folder; None if no record here does."""
    ours = folder.resolve() == Path(EXPORTED).resolve() and folder.is_dir() and EXPORT.is_file()
    return EXPORT if ours else None
