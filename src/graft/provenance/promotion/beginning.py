"""The beginning of a ledger in a store of one's own: the champion of the team's copy becomes its first champion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graft.foundation.errors import GraftError
from graft.provenance.promotion import history, ledger, move
from graft.provenance.tracking import mlflow_store, model_versions

if TYPE_CHECKING:
    from graft.provenance.promotion.history import Champion
    from graft.provenance.promotion.ledger import LedgerEntry
    from graft.provenance.tracking.mlflow_store import MlflowClient


def begin_from_copy(store: MlflowClient, name: str) -> LedgerEntry:
    """Begins the ledger of this store with the champion of `ledger.jsonl`, and makes the copy that of this store.

    Versions of two stores have different numbers; the champion is the version here that holds the same model. The copy
    is written last: killed before, both ledgers are whole.

    Raises:
        ledger.Unsigned: A key is configured that cannot be used.
        GraftError: There is a ledger here already, the copy is damaged or has no champion, or no version here holds
            the champion's model.
    """
    if ledger.read(store, name):
        remedy = "graft champion shows it; only a store without one begins with a copy"
        raise GraftError(f"this store holds a ledger of {name} already", where=mlflow_store.store_uri(), remedy=remedy)
    standing = _champion_of_copy(name)
    promoted = standing.promoted
    holder = model_versions.find_holder(store, name, promoted.model_digest)
    if holder is None:
        raise GraftError(
            f"no version here holds the champion of {ledger.COPY}: version {standing.version} there, model "
            f"{promoted.model_digest[:12]}",
            where=mlflow_store.store_uri(),
            remedy=f"check out the commit that added it (git log {ledger.COPY}), then dvc pull, graft publish and this",
        )
    reason = f"taken from {ledger.COPY}, version {standing.version} of another store: {promoted.reason}"
    version = (int(holder.version), promoted.model_digest)
    intent = move.intent_to("promote", version, (), name=name, reason=reason, rules=promoted.rules)
    written = ledger.append(store, name, replace(intent, kind=promoted.kind))
    move.finish(store, written)
    move.write_copy(ledger.read(store, name))
    return written


def _champion_of_copy(name: str) -> Champion:
    ours = [entry for entry in ledger.read_copy(ledger.COPY) if entry.name == name]
    if problems := ledger.verify(ours):
        raise GraftError.of_all(f"the copy of the ledger of {name} is damaged", problems, remedy=ledger.DAMAGED)
    standing = history.champion(ours)
    if standing is None:
        remedy = f"rm {ledger.COPY}; graft promote begins a ledger of your own"
        raise GraftError(f"there is no champion of {name} in it", where=ledger.COPY, remedy=remedy)
    return standing
