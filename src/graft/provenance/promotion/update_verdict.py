"""The verdict on an update: one that forgot more than it may is registered with the reason, and never the candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, ModelAddress
from graft.provenance.promotion import move, verdict
from graft.provenance.promotion.gate import GateRule, judge_forgetting
from graft.provenance.tracking import model_versions, registry
from graft.provenance.tracking.updates import REFUSED_UPDATE, UNBOUNDED, UPDATE_TAG, held_within

if TYPE_CHECKING:
    from graft.provenance.promotion.measurement import Comparison
    from graft.provenance.tracking.mlflow_store import MlflowClient

TOO_MUCH = "it forgets more than promotion.max_forgetting"
NOT_COMPARABLE = "it cannot be compared with the champion"
LEARN_LESS = "remember more images (--memory), or raise the bound, and run graft update again"
LEARN_ANEW = "train on all deliveries together: graft deliver, make repro"


@dataclass(frozen=True)
class UpdateVerdict:
    """The judgement of what an update forgot of each delivery.

    Attributes:
        bound: Value of `promotion.max_forgetting`; None where nothing is bounded.
        rules: Rules that were judged.
        is_comparable: Whether champion and update could be scored on the same images.
    """

    bound: float | None
    rules: Sequence[GateRule]
    is_comparable: bool = True

    @property
    def failing(self) -> list[GateRule]:
        """The rules that fail."""
        return [rule for rule in self.rules if rule.verdict == verdict.FAILS]

    @property
    def reason(self) -> str:
        """The reason why it does not hold, where it does not."""
        return TOO_MUCH if self.is_comparable else NOT_COMPARABLE

    @property
    def tag(self) -> str:
        """The verdict as a tag of the version."""
        if self.failing:
            return f"{REFUSED_UPDATE}: " + "; ".join(map(_in_words, self.failing))
        return UNBOUNDED if self.bound is None else held_within(self.bound)


def judge_update(found: Comparison, bound: float | None) -> UpdateVerdict:
    """Judges what an update forgot; one that cannot be compared with its champion does not hold.

    Args:
        found: Comparison of update and champion.
        bound: Value of `promotion.max_forgetting`.
    """
    if bound is None:
        return UpdateVerdict(None, ())
    if found.not_comparable:
        rule = GateRule("forgetting", found.not_comparable, f"≤ {bound:g}", verdict.FAILS)
        return UpdateVerdict(bound, (rule,), is_comparable=False)
    return UpdateVerdict(bound, tuple(judge_forgetting(found, bound)))


def record_verdict(store: MlflowClient, name: str, model_digest: str, judged: UpdateVerdict, parent: int) -> int:
    """Writes the verdict on the version that holds a model; makes it the candidate if it holds.

    A refused one that is the candidate all the same, as after a verdict under a wider bound, gives way to its parent.

    Args:
        store: Client of the server.
        name: Name of the registered model.
        model_digest: Digest of the exported model.
        judged: The verdict.
        parent: Number of the version that it grew out of.

    Returns:
        The number of the version.

    Raises:
        GraftError: No version holds the model.
    """
    version = model_versions.find_holder(store, name, model_digest)
    if version is None:
        raise GraftError(f"{name} has no version with this model", remedy="graft publish, then this command again")
    number = int(version.version)
    registry.tag_version(store, name, number, {UPDATE_TAG: judged.tag})
    if not judged.failing:
        if verdict.Verdict.refusal(version.tags):
            verdict.clear(store, version)
        registry.point(store, name, CANDIDATE, number)
        return number
    said = f"{verdict.REFUSED} {move.now()} by {move.author()}: {judged.reason}"
    verdict.write(store, version, verdict.Verdict(tuple(rule.as_dict() for rule in judged.rules), said))
    standing = registry.find_version(store, ModelAddress(name, alias=CANDIDATE))
    if standing is not None and int(standing.version) == number:
        registry.point(store, name, CANDIDATE, parent)
    return number


def tell_verdict(name: str, number: int, judged: UpdateVerdict) -> str:
    """Says what became of an update."""
    if not judged.failing:
        return f"{ModelAddress(name, alias=CANDIDATE)} is version {number}"
    lines = [
        f"refused: version {number} is registered with the reason and is not the {CANDIDATE}, for {judged.reason}:",
        *(f"  {_in_words(rule)}" for rule in judged.failing),
        LEARN_LESS if judged.is_comparable else LEARN_ANEW,
        "to give the update up: git checkout params.yaml dvc.lock && dvc checkout",
    ]
    return "\n".join(lines)


def _in_words(rule: GateRule) -> str:
    return f"{rule.rule}: {rule.value}, asked {rule.bound}"
