"""Repair of a `dvc.lock` that a killed `dvc` left truncated, because DVC writes the file in place."""

from __future__ import annotations

from pathlib import Path

from graft.foundation.errors import GraftError

LOCK_FILE = Path("dvc.lock")
SET_ASIDE = Path("dvc.lock.damaged")


def set_aside_damaged_lock() -> str | None:
    """Moves a `dvc.lock` that DVC would refuse aside; returns a line that says so, or None if the file is whole.

    Nothing is lost: the next `dvc repro` writes it anew, and brings finished stages back from DVC's run cache.
    """
    if not LOCK_FILE.is_file() or is_whole(LOCK_FILE):
        return None
    LOCK_FILE.replace(SET_ASIDE)
    return (
        f"{LOCK_FILE} was truncated (dvc was killed while writing it): moved to {SET_ASIDE}; dvc repro writes it anew"
    )


def is_whole(path: Path) -> bool:
    """Tell whether DVC's own schema accepts a lock file."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except (Invalid, YAMLError, UnicodeDecodeError):
        return False
    except OSError as error:
        raise GraftError(f"cannot be read ({error.strerror})", where=path) from None
    return True
