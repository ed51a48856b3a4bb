"""`graft promote`: gather the evidence, judge it, write it to the version, and move the champion or refuse."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graft import registry_store, tracking
from graft.digests import digest_of
from graft.errors import GraftError
from graft.ledger import Entry
from graft.promotion import history, moving
from graft.promotion.chain import Chain, chain_of
from graft.promotion.committed import commits_of
from graft.promotion.gate import FAILS, Evidence, Rule, holds, rules_of

if TYPE_CHECKING:
    from graft.params import Params
    from graft.registry_store import ModelVersion
    from graft.tracking import MlflowClient

RULES_TAG, VERDICT_TAG, OVERRIDE_TAG = "graft.promotion.rules", "graft.promotion.verdict", "graft.promotion.override"
PASSED, REFUSED, OVERRIDDEN = "passed the gate", "refused by the gate", "gate overridden"
HEADING = "## Promotion"
MOST_CHARACTERS = 5000  # of a description on PostgreSQL
CLASS_MAP = "data/interim/class_map.json"


@dataclass(frozen=True)
class Outcome:
    """What became of it: the version, the rules, and the intent in the ledger; None where it was refused."""

    version: int
    rules: list[Rule]
    intent: Entry | None


def promote(
    store: MlflowClient,
    name: str,
    params: Params,
    *,
    number: int | None = None,
    reason: str = "",
    override: bool = False,
) -> Outcome:
    """Makes a version the champion if every rule holds, or in spite of the gate.

    Args:
        store: The server.
        name: Of the registered model.
        params: The gate, and how models are scored.
        number: The version; by default the one that `candidate` points at.
        reason: Why; needed for an override, recorded for ever.
        override: Whether to go on where a rule fails.

    Raises:
        GraftError: There is no such version, it is the champion, its files were changed, or somebody was faster.
    """
    entries = moving.settled(store, name)
    standing, version = history.champion(entries), _version(store, name, number)
    number = int(version.version)
    if standing and standing.version == number:
        raise GraftError(f"version {number} is the champion already", where=name, remedy="look at graft champion")
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        evidence = gather(store, version, standing, params, Path(folder))
        rules = rules_of(evidence, params)
    passed = holds(rules)
    _write_down(store, version, rules, PASSED if passed else OVERRIDDEN if override else REFUSED, reason)
    if not passed and not override:
        return Outcome(number, rules, None)
    kind, said = ("promote", reason or "every rule of the gate holds") if passed else ("override", reason)
    stated = [rule.as_dict() for rule in rules]
    intent = moving.intent_to(
        kind, (number, version.tags[tracking.MODEL_DIGEST]), entries, name=name, reason=said, rules=stated
    )
    return Outcome(number, rules, moving.move(store, intent))


def gather(
    store: MlflowClient, version: ModelVersion, standing: history.Champion | None, params: Params, folder: Path
) -> Evidence:
    """Downloads, verifies and measures; see `Evidence`. A champion whose files are lost or changed is not compared."""
    places = [folder / name for name in ("candidate", "champion", "records")]
    for place in places:
        place.mkdir()
    name, number = version.name, int(version.version)
    candidate = moving.verified(name, number, version.tags.get(tracking.MODEL_DIGEST, "unknown"), places[0])
    champion, lost = None, ""
    if standing:
        try:
            champion = moving.verified(name, standing.version, standing.promoted.model_digest, places[1])
        except GraftError as error:
            lost = f"the champion cannot be had: {error.what}"
    chain = chain_of(store, version, places[2])
    images, differs = _frozen_split(chain)
    comparison = None
    if not differs:
        from graft.promotion.measuring import compare

        comparison = compare(candidate, champion, images, params)
        comparison = replace(comparison, not_comparable=lost or comparison.not_comparable)
    return Evidence(chain, commits_of(chain.records), differs, comparison, candidate, standing is not None)


def _version(store: MlflowClient, name: str, number: int | None) -> ModelVersion:
    if number is None:
        version = registry_store.version_at(store, name, registry_store.CANDIDATE)
        what, remedy = f"{name} has no {registry_store.CANDIDATE}", "run dvc repro, or graft publish"
    else:
        version = registry_store.version_numbered(store, name, number)
        what, remedy = f"{name} has no version {number}", "look at the versions in the MLflow UI"
    if version is None:
        raise GraftError(what, where=tracking.store_uri(), remedy=remedy)
    return version


def _frozen_split(chain: Chain) -> tuple[Path, str]:
    """The test split the candidate was exported with, in this workspace; and what differs, empty where nothing does."""
    record = chain.records.get("export")
    if record is None:
        return Path(), "not known: there is no record of export"
    split = f"data/interim/{record['params']['evaluate']['split']}"
    for path in (split, CLASS_MAP):
        if not Path(path).exists():
            return Path(split), f"{path} is not here: git checkout the commit, then dvc pull or dvc checkout"
        if digest_of(Path(path)) != record["inputs"].get(path):
            return Path(split), f"{path} is another than the candidate's: dvc checkout"
    return Path(split), ""


def _write_down(store: MlflowClient, version: ModelVersion, rules: Sequence[Rule], verdict: str, reason: str) -> None:
    """Puts the table on the page of the version, refused or not."""
    name, number = version.name, int(version.version)
    when = f"{verdict} {moving.now()} by {moving.author()}" + (f": {reason}" if reason else "")
    rows = [f"| {rule.rule} | {rule.value} | {rule.bound} | {_bold(rule.verdict)} |" for rule in rules]
    table = "\n".join([f"{HEADING}\n\n{when}\n", "| rule | value | bound | verdict |", "|---|---|---|---|", *rows])
    about = (version.description or "").partition(HEADING)[0].strip()
    registry_store.describe_version(store, name, number, f"{about}\n\n{table}"[:MOST_CHARACTERS])
    tags = {RULES_TAG: json.dumps([rule.as_dict() for rule in rules], ensure_ascii=False), VERDICT_TAG: when}
    if verdict == OVERRIDDEN:
        tags[OVERRIDE_TAG] = when
    registry_store.tag_version(store, name, number, tags)


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict == FAILS else verdict
