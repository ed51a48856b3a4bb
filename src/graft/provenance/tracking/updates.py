"""Updates of the champion in the registry: one is the candidate only after it was judged, and if it held."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from graft.params.params_file import load_params
from graft.provenance.records import Record
from graft.provenance.stages import record_path

if TYPE_CHECKING:
    from graft.provenance.tracking.registry import ModelVersion

UPDATE_TAG = "graft.update"
REFUSED_UPDATE = "refused"
UNBOUNDED = "promotion.max_forgetting bounded nothing"
NOT_JUDGED = "what this update forgot has not been judged yet: graft update FOLDER judges it"


UPDATING = "GRAFT_UPDATING"  # set for the stages of an update


def is_judged_next() -> bool:
    """Whether this is a stage of `graft update`, which gives the verdict itself."""
    return UPDATING in os.environ


def held_within(bound: float) -> str:
    """The verdict on an update that forgot no more than a bound."""
    return f"forgot no more than {bound:g}"


def why_not_candidate(version: ModelVersion) -> str:
    """Says why a version must not be the candidate; empty where it may.

    A verdict holds for the bound that it was judged by: under another one the update is judged again.

    Args:
        version: Version that holds the model of the workspace.
    """
    said = version.tags.get(UPDATE_TAG, "")
    if said.startswith(REFUSED_UPDATE):
        return said
    bound = load_params().promotion.max_forgetting if _is_update() else None
    return "" if bound is None or said == held_within(bound) else NOT_JUDGED


def _is_update() -> bool:
    """Whether it learnt from new deliveries and a memory of those before, and not from all of them."""
    path = record_path("augment")
    memory = Record.read(path).params.get("augment", {}).get("memory") if path.is_file() else None
    return isinstance(memory, dict) and "new" in memory
