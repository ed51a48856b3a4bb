"""`graft audit`: every link of a model's lineage, checked again from the bytes."""

from __future__ import annotations

from collections.abc import Iterator

from graft import tracking
from graft.audit.commits import check_commits
from graft.audit.files import check_records, check_sources
from graft.audit.ledgers import check_ledger
from graft.audit.links import MISSING, Checked
from graft.audit.raw import check_raw
from graft.audit.rebuilding import rebuilt
from graft.audit.server import check_runs, check_versions
from graft.errors import GraftError
from graft.lineage.filling import up_to_date
from graft.lineage.index import Index
from graft.lineage.walking import Chain, chain_of


def audit(model: str, rebuild: bool = False) -> list[Checked]:
    """Every link behind `models:/NAME@ALIAS`, `models:/NAME/VERSION` or a folder of exported files.

    Args:
        model: Which.
        rebuild: Also re-execute the pipeline, and compare what it makes.

    Raises:
        GraftError: There is no such model.
        tracking.Unreachable: No server answers, or it refuses.
    """
    index = up_to_date(refresh=not tracking.is_off())
    try:
        chain = chain_of(index, model)
        links = [*check_records(index, chain), *check_raw(index, chain), *check_sources(index, chain)]
        links += [*check_commits(index, chain), *_store(index, chain)]
        return [*links, *rebuilt(index, chain)] if rebuild else links
    finally:
        index.close()


def _store(index: Index, chain: Chain) -> Iterator[Checked]:
    if tracking.is_off():
        yield Checked(MISSING, "MLflow", "GRAFT_TRACKING=off: runs, versions and ledger were not looked at")
        return
    try:
        with tracking.answers_explained():
            client = tracking.client()
            yield from check_versions(index, chain, client)
            yield from check_runs(index, chain, client)
            for name in sorted({version["name"] for version in chain.versions}):
                yield from check_ledger(client, name)
    except tracking.Unreachable as error:
        raise GraftError(error.what, where=error.where, remedy="mend this and audit again") from None
