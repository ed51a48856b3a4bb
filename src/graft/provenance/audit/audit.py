"""`graft audit`: every link of a model's lineage, checked again from the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graft.foundation.content import digest_of, sha256_of
from graft.foundation.errors import GraftError
from graft.models.address import CHAMPION, ModelAddress, is_address, registered_name
from graft.provenance.audit import remedies
from graft.provenance.audit.commits import check_commits
from graft.provenance.audit.exported_folder import record_of
from graft.provenance.audit.ledger_links import check_ledger, promoted_digest
from graft.provenance.audit.link import MISSING, Check, of_kind
from graft.provenance.audit.raw_files import check_raw
from graft.provenance.audit.rebuild import rebuild_model
from graft.provenance.audit.record_files import check_records, check_sources
from graft.provenance.audit.server import check_pipelines, check_runs, check_versions
from graft.provenance.lineage.fill import open_index
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain, chain_of, chain_to
from graft.provenance.stages import EXPORTED
from graft.provenance.tracking import mlflow_store


def audit(model: str, rebuild: bool = False) -> list[Check]:
    """Checks every link behind `models:/NAME@ALIAS`, `models:/NAME/VERSION` or a folder of exported files.

    Args:
        model: Address or folder of the model.
        rebuild: Whether to run the pipeline again as well, and compare the results.

    Raises:
        GraftError: There is no such model, and neither ledger nor record says that there was.
        mlflow_store.Unreachable: No server answers, or it refuses.
    """
    index = open_index(refresh=not mlflow_store.is_off())
    try:
        chain = _chain(index, model)
        links = [
            *of_kind(remedies.RECORDS, check_records(index, chain)),
            *of_kind(remedies.RAW, check_raw(index, chain)),
            *of_kind(remedies.WEIGHTS, check_sources(index, chain)),
            *of_kind(remedies.COMMITS, check_commits(index, chain)),
            *of_kind(remedies.SERVER, _store(index, chain, model)),
        ]
        return [*links, *of_kind(remedies.REBUILD, rebuild_model(index, chain))] if rebuild else links
    finally:
        index.close()


def _chain(index: Index, model: str) -> Chain:
    """The chain behind a model; if it is gone or was changed, behind the digest in the ledger or the record."""
    try:
        return chain_of(index, model)
    except GraftError:
        if not is_address(model):
            chain = _chain_of_folder(index, Path(model))
        else:
            digest = _promoted_digest(model)
            chain = chain_to(index, digest) if digest else None
        if chain is None:
            raise
        return chain


def _chain_of_folder(index: Index, folder: Path) -> Chain | None:
    """The chain of the record that describes a folder; one without a record if it cannot be read."""
    file = record_of(folder)
    if file is None:
        return None
    record = sha256_of(file)
    known = index.record(record)
    digest = known.outputs.get(EXPORTED) if known else None
    return chain_to(index, digest or digest_of(folder), record)


def _promoted_digest(model: str) -> str | None:
    """The digest that the ledger has for an address; None if it has none."""
    address = ModelAddress.parse(model)
    if mlflow_store.is_off() or address.alias not in (CHAMPION, None):
        return None
    with mlflow_store.explain_refusals():
        return promoted_digest(mlflow_store.client(), address.name, address.number)


def _store(index: Index, chain: Chain, model: str) -> Iterator[Check]:
    if mlflow_store.is_off():
        yield Check(MISSING, "MLflow", "GRAFT_TRACKING=off: runs, versions and ledger were not checked")
        return
    try:
        with mlflow_store.explain_refusals():
            client, names = mlflow_store.client(), _names(index, chain, model)
            yield from check_versions(index, chain, client, names)
            yield from check_runs(index, chain, client)
            yield from check_pipelines(index, chain, client)
            for name in names:
                yield from of_kind(remedies.LEDGER, check_ledger(client, name, model=chain.model))
    except mlflow_store.Unreachable as error:
        raise GraftError(error.what, where=error.where, remedy="fix this and audit again") from None


def _names(index: Index, chain: Chain, model: str) -> list[str]:
    """The names of the registered models that hold this one, or should: publishing names them after the task."""
    names = {version["name"] for version in chain.versions}
    record = index.record(chain.first.key)
    task = record.params.get("task") if record else None
    names |= {registered_name(task)} if task else set()
    return sorted(names | ({ModelAddress.parse(model).name} if is_address(model) else set()))
