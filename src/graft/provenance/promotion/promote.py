"""Promotion of a version: evidence is gathered and judged, then the champion moves or the version is refused."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, ModelAddress
from graft.provenance.promotion import history, ledger, move, verdict
from graft.provenance.promotion.commit_check import find_commits
from graft.provenance.promotion.gate import GateEvidence, GateRule, holds, judge
from graft.provenance.promotion.ledger import LedgerEntry
from graft.provenance.promotion.record_chain import RecordChain, trace_records
from graft.provenance.stages import CLASS_MAP, INTERIM
from graft.provenance.tracking import mlflow_store, registry

if TYPE_CHECKING:
    from graft.params.sections import Params
    from graft.provenance.tracking.mlflow_store import MlflowClient
    from graft.provenance.tracking.registry import ModelVersion


@dataclass(frozen=True)
class Decision:
    """The result of a promotion.

    Attributes:
        version: Number of the version that was judged.
        rules: Rules of the gate, with what was found.
        intent: LedgerEntry in the ledger that promotes the version; None where it was refused.
    """

    version: int
    rules: list[GateRule]
    intent: LedgerEntry | None


def promote(
    store: MlflowClient,
    name: str,
    params: Params,
    *,
    number: int | None = None,
    reason: str = "",
    override: bool = False,
) -> Decision:
    """Makes a version the champion if every rule holds, or in spite of the gate.

    Args:
        store: Client of the server.
        name: Name of the registered model.
        params: Params, with the rules of the gate and how models are scored.
        number: Number of the version; by default the one that `candidate` points at.
        reason: Reason to record; an override needs one.
        override: Whether to promote although a rule fails.

    Raises:
        ledger.Unsigned: The ledger is signed, and no key is configured: nothing was changed.
        GraftError: There is no such version, it is the champion, its files were changed, or somebody was faster.
    """
    entries = move.settle(store, name)
    ledger.refuse_unsigned(name, entries)
    standing, version = history.champion(entries), _find_version(store, name, number)
    number = int(version.version)
    if standing and standing.version == number:
        raise GraftError(f"version {number} is the champion already", where=name, remedy="look at graft champion")
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        evidence = gather(store, version, standing, params, Path(folder))
        rules = judge(evidence, params)
    passed, stated = holds(rules), [rule.as_dict() for rule in rules]
    if not passed and not override:
        _write_refusal(store, version, stated, reason)
        return Decision(number, rules, None)
    kind, said = ("promote", reason or "every rule of the gate holds") if passed else ("override", reason)
    intent = move.intent_to(
        kind, (number, version.tags[mlflow_store.MODEL_DIGEST]), entries, name=name, reason=said, rules=stated
    )
    return Decision(number, rules, move.move(store, intent))


def gather(
    store: MlflowClient, version: ModelVersion, standing: history.Champion | None, params: Params, folder: Path
) -> GateEvidence:
    """Downloads, verifies and measures both models; a champion whose files are lost or changed is not compared."""
    places = [folder / name for name in ("candidate", "champion", "records")]
    for place in places:
        place.mkdir()
    name, number = version.name, int(version.version)
    candidate = move.download_verified(name, number, version.tags.get(mlflow_store.MODEL_DIGEST, "unknown"), places[0])
    champion, lost = None, ""
    if standing:
        try:
            champion = move.download_verified(name, standing.version, standing.promoted.model_digest, places[1])
        except GraftError as error:
            lost = f"the champion cannot be fetched: {error.what}"
    chain = trace_records(store, version, places[2])
    images, differs = _frozen_split(chain)
    comparison = None
    if not differs:
        from graft.provenance.promotion.measurement import compare

        comparison = compare(candidate, champion, images, params)
        comparison = replace(comparison, not_comparable=lost or comparison.not_comparable)
    return GateEvidence(chain, find_commits(chain.records), differs, comparison, candidate, standing is not None)


def _write_refusal(store: MlflowClient, version: ModelVersion, rules: list[dict[str, str]], reason: str) -> None:
    said = f"{verdict.REFUSED} {move.now()} by {move.author()}" + (f": {reason}" if reason else "")
    verdict.write(store, version, verdict.Verdict(tuple(rules), said))


def _find_version(store: MlflowClient, name: str, number: int | None) -> ModelVersion:
    if number is None:
        version = registry.find_version(store, ModelAddress(name, alias=CANDIDATE))
        what, remedy = f"{name} has no {CANDIDATE}", "run dvc repro, or graft publish"
    else:
        version = registry.find_version(store, ModelAddress(name, number))
        what, remedy = f"{name} has no version {number}", "look at the versions in the MLflow UI"
    if version is None:
        raise GraftError(what, where=mlflow_store.store_uri(), remedy=remedy)
    return version


def _frozen_split(chain: RecordChain) -> tuple[Path, str]:
    """Returns the test split of this workspace, and how it differs from the candidate's; empty where it does not."""
    record = chain.records.get("export")
    if record is None:
        return Path(), "not known: there is no record of export"
    split = f"{INTERIM}/{record.params['evaluate']['split']}"
    for path in (split, CLASS_MAP):
        if not Path(path).exists():
            return Path(split), f"{path} is not here: git checkout the commit, then dvc pull or dvc checkout"
        if digest_of(Path(path)) != record.inputs.get(path):
            return Path(split), f"{path} is not the candidate's: dvc checkout"
    return Path(split), ""
