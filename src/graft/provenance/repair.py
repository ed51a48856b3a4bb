"""Repair of what dvc needs and does not bring back itself: a truncated `dvc.lock`, and the folder `models/none`."""

from __future__ import annotations

from pathlib import Path

from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError
from graft.provenance.stages import NO_MODEL

LOCK_FILE = Path("dvc.lock")
SET_ASIDE = Path("dvc.lock.damaged")
NO_MODEL_FILE = Path(NO_MODEL, "README.md")
NO_MODEL_TEXT = (
    "No model lies here. `dvc.yaml` makes a stage depend on `models/${augment.parent}`: on this folder, which never "
    "changes, where it needs no model.\n"
)


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


def bring_back_no_model() -> str | None:
    """Writes the file of `models/none` again, which goes with `models` where somebody deletes all outputs.

    Returns:
        A line that says so, or None if it is there.
    """
    if NO_MODEL_FILE.is_file() or not Path("dvc.yaml").is_file():
        return None
    with replace_file(NO_MODEL_FILE) as pending:
        pending.write_text(NO_MODEL_TEXT, encoding="utf-8")
    return f"{NO_MODEL_FILE} was deleted with the outputs: written again, because stages depend on it"


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
