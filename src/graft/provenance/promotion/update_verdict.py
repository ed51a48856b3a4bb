"""The verdict on an update: one that forgot more than it may is registered with the reason, and never the candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, ModelAddress
from graft.provenance.promotion import move, verdict
from graft.provenance.promotion.gate import GateRule, judge_forgetting
from graft.provenance.tracking import model_versions, registry
from graft.provenance.tracking.updates import HELD, UPDATE_TAG

if TYPE_CHECKING:
    from graft.params.sections import Promotion
    from graft.provenance.promotion.measurement import Comparison
    from graft.provenance.tracking.mlflow_store import MlflowClient

TOO_MUCH = "it forgets more than promotion.max_forgetting"


def judge_update(found: Comparison, bounds: Promotion) -> list[GateRule]:
    """Judges what an update forgot of each delivery; no rules where nothing bounds it or can be compared."""
    return [] if bounds.max_forgetting is None else list(judge_forgetting(found, bounds.max_forgetting))


def record_verdict(store: MlflowClient, name: str, model_digest: str, rules: Sequence[GateRule]) -> int:
    """Writes the verdict on the version that holds a model: the candidate if all rules hold, refused if one does not.

    Args:
        store: Client of the server.
        name: Name of the registered model.
        model_digest: Digest of the exported model.
        rules: Rules that were judged.

    Returns:
        The number of the version.

    Raises:
        GraftError: No version holds the model.
    """
    version = model_versions.find_holder(store, name, model_digest)
    if version is None:
        raise GraftError(f"{name} has no version with this model", remedy="graft publish, then this command again")
    number = int(version.version)
    failing = [rule for rule in rules if rule.verdict == verdict.FAILS]
    if failing:
        said = f"{verdict.REFUSED} {move.now()} by {move.author()}: {TOO_MUCH}"
        verdict.write(store, version, verdict.Verdict(tuple(rule.as_dict() for rule in rules), said))
    told = "; ".join(f"{rule.rule} {rule.value}, asked {rule.bound}" for rule in failing)
    registry.tag_version(store, name, number, {UPDATE_TAG: f"refused: {told}" if failing else HELD})
    if not failing:
        registry.point(store, name, CANDIDATE, number)
    return number


def in_words(name: str, number: int, rules: Sequence[GateRule]) -> str:
    """Says what became of an update."""
    failing = [f"{rule.rule}: {rule.value}, asked {rule.bound}" for rule in rules if rule.verdict == verdict.FAILS]
    if not failing:
        return f"{ModelAddress(name, alias=CANDIDATE)} is version {number}"
    return "\n".join(
        [
            f"refused: version {number} is registered with the reason and is not the {CANDIDATE}, for {TOO_MUCH}:",
            *(f"  {line}" for line in failing),
            "remember more images (--memory), or raise the bound, and run graft update again; git checkout params.yaml "
            "gives the update up",
        ]
    )
