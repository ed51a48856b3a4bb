"""Updates of the champion in the registry: one is the candidate only after it was judged, and if it held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.params.params_file import load_params
from graft.provenance.records import Record
from graft.provenance.stages import record_path

if TYPE_CHECKING:
    from graft.provenance.tracking.registry import ModelVersion

UPDATE_TAG = "graft.update"
HELD = "forgot no more than promotion.max_forgetting"
NOT_JUDGED = (
    "an update whose forgetting was not judged yet; graft update judges it, and so does graft promote --version"
)


def why_not_candidate(version: ModelVersion) -> str:
    """Says why the model of the workspace must not be the candidate; empty where it may.

    Args:
        version: Version that holds it.
    """
    if not _is_update() or load_params().promotion.max_forgetting is None:
        return ""
    said = version.tags.get(UPDATE_TAG, NOT_JUDGED)
    return "" if said == HELD else said


def _is_update() -> bool:
    """Whether it learnt from new deliveries and a memory of those before, and not from all of them."""
    path = record_path("augment")
    memory = Record.read(path).params["augment"].get("memory") if path.is_file() else None
    return isinstance(memory, dict) and "new" in memory
