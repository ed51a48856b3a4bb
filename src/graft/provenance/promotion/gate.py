"""The rules of the gate: each states the value found, the bound required and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graft.deployment.export.parity import refuse_disagreement
from graft.deployment.export.target_reports import exceeded, judged_targets
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, CHAMPION
from graft.provenance.promotion.evidence import GateEvidence
from graft.provenance.promotion.measurement import Comparison, Measured
from graft.provenance.promotion.verdict import FAILS
from graft.provenance.stages import STAGES

if TYPE_CHECKING:
    from graft.params.sections import Params, Promotion
    from graft.provenance.promotion.record_chain import RecordChain

HOLDS, WARNS, NOT_ASKED = "holds", "warns", "not asked"
ALL_OTHERS = "*"


@dataclass(frozen=True)
class GateRule:
    """A judged rule, one row of the table."""

    rule: str
    value: str
    bound: str
    verdict: str

    def as_dict(self) -> dict[str, str]:
        """Plain data for JSON."""
        return {"rule": self.rule, "value": self.value, "bound": self.bound, "verdict": self.verdict}


def judge(evidence: GateEvidence, params: Params) -> list[GateRule]:
    """Judges every rule."""
    rules = list(_judge_test_set(evidence))
    if evidence.comparison is None:
        rules.append(_rule("scores, size and latency", "not measured", "measured", False))
    else:
        rules += _judge_measurements(
            evidence.comparison, evidence.own_by_class, evidence.has_champion, params.promotion
        )
    rules.append(_rule("validation", evidence.chain.validation, "passed", evidence.chain.validation == "passed"))
    rules += [
        *_judge_parity(evidence.candidate, params),
        _judge_lineage(evidence.chain),
        _judge_commits(evidence.commits),
    ]
    return rules


def holds(rules: list[GateRule]) -> bool:
    """Whether no rule fails."""
    return all(rule.verdict != FAILS for rule in rules)


def _judge_test_set(evidence: GateEvidence) -> Iterator[GateRule]:
    value = evidence.problem or str(evidence.test_set)
    yield _rule("scored on the frozen test set", value, "exactly its images", not evidence.problem)
    for model, leakage in evidence.leakage.items():
        yield _rule(f"test images that the {model} has seen", leakage.seen or "none", "none", not leakage.seen)
        if leakage.resembling:
            yield GateRule(f"test images like those the {model} has seen", leakage.resembling, "none", WARNS)


def _judge_measurements(
    found: Comparison, own_by_class: Mapping[str, float | None], has_champion: bool, bounds: Promotion
) -> Iterator[GateRule]:
    ours, champion = found.models[CANDIDATE], found.models.get(CHAMPION)
    name = _headline_of(found)
    enough = ours.score is not None and ours.score >= bounds.min_score
    yield _rule(name, _number(ours.score), f"≥ {bounds.min_score:g}", enough)
    yield _judge_difference(found, champion, has_champion, name, bounds)
    yield from _judge_floors(f"{found.class_score} of", {**own_by_class, **ours.by_class}, bounds.class_floors)
    yield from _judge_floors(f"{name} on", ours.by_domain, bounds.domain_floors)
    yield from _judge_floors(f"{name} on delivery", ours.by_delivery, bounds.delivery_floors)
    if bounds.max_forgetting is not None:
        yield from judge_forgetting(found, bounds.max_forgetting)
    yield _rule(
        "size", f"{ours.num_bytes:,} bytes", f"≤ {bounds.max_bytes:,} bytes", ours.num_bytes <= bounds.max_bytes
    )
    if bounds.max_latency_ms is not None:
        bound = f"≤ {bounds.max_latency_ms:g} ms"
        yield _rule("latency", f"{ours.latency_ms:.2f} ms", bound, ours.latency_ms <= bounds.max_latency_ms)
    if bounds.max_latency_ratio is not None:
        yield _judge_latency_ratio(ours, champion, bounds.max_latency_ratio)


def _judge_difference(
    found: Comparison, champion: Measured | None, has_champion: bool, name: str, bounds: Promotion
) -> GateRule:
    rule = f"{name} less the champion's, {bounds.confidence:.0%} lower bound over {found.num_images} images"
    bound = f"> {-bounds.margin:g}"
    if not has_champion:
        return GateRule(rule, "no champion yet", bound, NOT_ASKED)
    if champion is None:
        return _rule(rule, found.not_comparable, bound, False)
    value = f"{_number(found.lower_bound, '+')} ({_number(champion.score)} → {_number(found.models[CANDIDATE].score)})"
    return _rule(rule, value, bound, found.lower_bound is not None and found.lower_bound > -bounds.margin)


def _judge_floors(what: str, values: Mapping[str, float | None], floors: Mapping[str, float]) -> Iterator[GateRule]:
    """Judges each floor; a named one that cannot be measured fails, `*` applies to all else that has a value."""
    for name, value in values.items():
        floor = floors.get(name, floors.get(ALL_OTHERS) if value is not None else None)
        if floor is not None:
            yield _rule(f"{what} {name}", _number(value), f"≥ {floor:g}", value is not None and value >= floor)
    for name in floors.keys() - values.keys() - {ALL_OTHERS}:
        yield _rule(f"{what} {name}", "there is none of this name", f"≥ {floors[name]:g}", False)


def judge_forgetting(found: Comparison, most: float) -> Iterator[GateRule]:
    """Judges how far the score on each delivery fell below the champion's; what gained has forgotten nothing."""
    ours, champion = found.models[CANDIDATE], found.models.get(CHAMPION)
    for delivery, before in champion.by_delivery.items() if champion else ():
        after = ours.by_delivery[delivery]
        forgotten = None if before is None or after is None else max(before - after, 0.0)
        value = f"{_number(forgotten)} ({_number(before)} → {_number(after)})"
        met = forgotten is None or forgotten <= most  # neither truth nor prediction has a class there
        yield _rule(f"{_headline_of(found)} forgotten on delivery {delivery}", value, f"≤ {most:g}", met)


def _headline_of(found: Comparison) -> str:
    return _words(found.headline)


def _words(score: str) -> str:
    return score.replace("_", " ").replace("iou", "IoU")


def _judge_latency_ratio(ours: Measured, champion: Measured | None, most: float) -> GateRule:
    rule, bound = "latency to the champion's", f"≤ {most:g} ×"
    if champion is None:
        return GateRule(rule, f"{ours.latency_ms:.2f} ms", bound, NOT_ASKED)
    ratio = ours.latency_ms / champion.latency_ms
    value = f"{ratio:.2f} × ({champion.latency_ms:.2f} → {ours.latency_ms:.2f} ms)"
    return _rule(rule, value, bound, ratio <= most)


def _judge_parity(folder: Path, params: Params) -> Iterator[GateRule]:
    """Judges the file that is served, then each further target by its own limits."""
    parity, name = read_json(folder / "parity.json"), "export equals the original"
    value, bound = f"{parity['equal_fraction']:.4%} equal", f"≥ {params.export.min_equal_fraction:.4%}, within export.*"
    try:
        refuse_disagreement(parity, params.export)
        is_equal = True
    except GraftError:
        is_equal = False
    yield _rule(name, value, bound, is_equal)
    for target, report, limits in judged_targets(parity.get("targets", {}), params.export.targets):
        fall = report["original_score"] - report["exported_score"]
        value = f"{_number(-fall, '+')} {_words(report['score'])}, {report['equal_fraction']:.4%} equal"
        bound = f"≥ {-limits['max_score_difference']:g}, ≥ {limits['min_equal_fraction']:.4%}"
        yield _rule(f"{target} equals the original", value, bound, not exceeded(report, limits))


def _judge_lineage(chain: RecordChain) -> GateRule:
    needed = len(STAGES) + max(len(chain.ingests) - 1, 0)  # one of ingest for each delivery
    value = "; ".join(chain.problems) or f"{len(chain.records)} of {needed} records, linked by digest"
    return _rule("lineage", value, f"{needed} of {needed}", chain.is_complete)


def _judge_commits(commits: Mapping[str, tuple[str | None, list[str]]]) -> GateRule:
    lacking = {stage: missing for stage, (commit, missing) in commits.items() if commit is None}
    said = [
        f"{stage}: {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}" for stage, missing in lacking.items()
    ]
    shown = sorted({commit[:8] for commit, _ in commits.values() if commit})
    value = f"in no commit: {'; '.join(said)}" if said else f"in {', '.join(shown) or 'no commit'}"
    bound = "in a commit of this branch"
    return _rule("code and params of every stage", value, bound, bool(commits) and not lacking)


def _rule(rule: str, value: str, bound: str, is_met: bool) -> GateRule:
    return GateRule(rule, value, bound, HOLDS if is_met else FAILS)


def _number(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.4f}"
