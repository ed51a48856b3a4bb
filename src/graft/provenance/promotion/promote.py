"""Promotion of a version: evidence is gathered and judged, then the champion moves or the version is refused."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, ModelAddress
from graft.provenance.promotion import history, ledger, move, verdict
from graft.provenance.promotion.commit_check import find_commits, refuse_uncommitted
from graft.provenance.promotion.comparison_page import Regressions, write_page
from graft.provenance.promotion.evidence import GateEvidence, Gathering
from graft.provenance.promotion.frozen_test_set import FrozenTestSet, find_in_force, publish_list
from graft.provenance.promotion.gate import GateRule, holds, judge
from graft.provenance.promotion.ledger import LedgerEntry
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
        rules: Rules of the gate, with what was found; none where the version is the champion already.
        intent: LedgerEntry in the ledger that promotes the version; None where nothing was promoted.
        page: Page that compares candidate and champion; None where there was nothing to compare.
    """

    version: int
    rules: list[GateRule]
    intent: LedgerEntry | None
    page: Path | None = None


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
        GraftError: There is no such version, what made it is not committed, its files were changed, or somebody was
            faster.
    """
    entries = move.settle(store, name)
    ledger.refuse_unsigned(name, entries)
    standing, version = history.champion(entries), find_judged(store, name, number)
    number = int(version.version)
    if standing and standing.version == number:
        return Decision(number, [], None)
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        judged = _judge(Gathering(store, version, entries, params, Path(folder)), override)
    passed = holds(judged.rules)
    if not passed and not override:
        _write_refusal(store, version, judged.table, reason)
        return Decision(number, judged.rules, None, judged.page)
    kind, said = ("promote", reason or "every rule of the gate holds") if passed else ("override", reason)
    model = (number, version.tags[mlflow_store.MODEL_DIGEST])
    frozen = judged.test_set.as_dict() if judged.test_set else None
    intent = move.intent_to(kind, model, entries, name=name, reason=said, rules=judged.table, test_set=frozen)
    return Decision(number, judged.rules, move.move(store, intent), judged.page)


@dataclass(frozen=True)
class Judgement:
    """The judgement of the gate.

    Attributes:
        rules: Rules, with what was found.
        test_set: Test set that a promotion freezes; None where one is in force.
        page: Page that compares candidate and champion; None where there was nothing to compare.
    """

    rules: list[GateRule]
    test_set: FrozenTestSet | None
    page: Path | None

    @property
    def table(self) -> list[dict[str, str]]:
        """The rules as plain data."""
        return [rule.as_dict() for rule in self.rules]


def _judge(gathering: Gathering, override: bool) -> Judgement:
    """Gathers the evidence and judges it; what was never committed is refused before anything is measured."""
    chain, regressions = gathering.trace(gathering.version), Regressions()
    if not override:
        refuse_uncommitted(chain.records)
    evidence = gathering.evidence(chain, find_commits(chain.records), regressions.offer)
    rules = judge(evidence, gathering.params)
    page = _write_page(gathering, evidence, regressions)
    stated = _test_set_to_freeze(gathering, evidence) if holds(rules) or override else None
    return Judgement(rules, stated, page)


def find_judged(store: MlflowClient, name: str, number: int | None) -> ModelVersion:
    """Finds the version to be judged, by number, or the candidate.

    Raises:
        GraftError: There is no such version.
    """
    if number is None:
        version = registry.find_version(store, ModelAddress(name, alias=CANDIDATE))
        what, remedy = f"{name} has no {CANDIDATE}", "run dvc repro, or graft publish"
    else:
        version = registry.find_version(store, ModelAddress(name, number))
        what, remedy = f"{name} has no version {number}", "look at the versions in the MLflow UI"
    if version is None:
        raise GraftError(what, where=mlflow_store.store_uri(), remedy=remedy)
    return version


def _test_set_to_freeze(gathering: Gathering, evidence: GateEvidence) -> FrozenTestSet | None:
    """The test set that this promotion freezes, its list on the server; None where one is in force already."""
    stated = evidence.test_set
    if stated is None or find_in_force(gathering.entries) is not None:
        return None
    publish_list(gathering.store, evidence.images, stated, gathering.folder)
    return stated


def _write_page(gathering: Gathering, evidence: GateEvidence, regressions: Regressions) -> Path | None:
    """Writes the page of the comparison, here and beside the run of the candidate."""
    version, standing = gathering.version, gathering.standing
    if standing is None:
        return None
    title = f"{version.name}: version {version.version} against the champion, version {standing.version}"
    page = write_page(evidence, regressions, title)
    if page and version.run_id:
        with mlflow_store.explain_refusals():
            gathering.store.log_artifact(version.run_id, str(page), f"promotion/against version {standing.version}")
    return page


def _write_refusal(store: MlflowClient, version: ModelVersion, rules: list[dict[str, str]], reason: str) -> None:
    said = f"{verdict.REFUSED} {move.now()} by {move.author()}" + (f": {reason}" if reason else "")
    verdict.write(store, version, verdict.Verdict(tuple(rules), said))
