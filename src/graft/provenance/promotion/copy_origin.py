"""The store that `ledger.jsonl` is the copy of: a team's, while this one may be somebody's own. That is no damage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graft.foundation.errors import GraftError
from graft.provenance.promotion import history
from graft.provenance.promotion.ledger import COPY, DAMAGED
from graft.provenance.tracking.local_store import database_of

if TYPE_CHECKING:
    from graft.provenance.promotion.ledger import LedgerEntry

RULE = f"{COPY} in git is the copy of one store's ledger, as a rule the team's"
TEAM = "set MLFLOW_TRACKING_URI to the address of the team's server"
BEGIN = "take the copy as the start of a ledger of your own: graft champion --from-copy"
KEEP = f"keep the ledger of this store: rm {COPY}, then graft champion writes its own (git still has the other)"


def is_of_another_store(entries: Sequence[LedgerEntry], copy: Sequence[LedgerEntry], name: str) -> bool:
    """Tell whether the copy speaks of a model, and shares not even the first entry with the ledger of this store."""
    ours = [entry for entry in copy if entry.name == name]
    return bool(ours) and ours[:1] != list(entries[:1])


def refuse_other_copy(entries: Sequence[LedgerEntry], copy: Sequence[LedgerEntry], name: str, store: str) -> None:
    """Refuses to work beside a copy of another store's ledger.

    Args:
        entries: Ledger of this store.
        copy: Entries of the copy, of all models.
        name: Name of the registered model.
        store: Address of this store.

    Raises:
        GraftError: They share no entry; the message names both, and the ways on.
    """
    if not is_of_another_store(entries, copy, name):
        return
    ours = [entry for entry in copy if entry.name == name]
    here = f"begins with version {entries[0].version} by {entries[0].author}" if entries else "holds none"
    standing = history.champion(ours)
    there = f"its champion is version {standing.version}, by {standing.moved.author}" if standing else "no champion yet"
    own = "this store is your own" if database_of(store) else "this store is another one"
    what = f"{own}: {COPY} is the copy of another store's ledger of {name} ({len(ours)} entries, {there}); this {here}"
    remedy = f"{TEAM}; or {KEEP if entries else BEGIN}"
    if not database_of(store):
        remedy += f". If this is the server that {COPY} is the copy of, it lost its ledger: {DAMAGED}"
    raise GraftError(what, where=store, rule=RULE, remedy=remedy)
