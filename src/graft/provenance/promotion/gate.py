"""The rules of the gate: each with the value found, the bound asked for, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graft.deployment.export.parity import refuse_disagreement
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.provenance.promotion.measurement import CANDIDATE, CHAMPION, Comparison, Measured
from graft.provenance.promotion.verdict import FAILS

if TYPE_CHECKING:
    from graft.params.sections import Params, Promotion
    from graft.provenance.promotion.record_chain import Chain

HOLDS, NOT_ASKED = "holds", "not asked"
ALL_OTHERS = "*"


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    rule: str
    value: str
    bound: str
    verdict: str

    def as_dict(self) -> dict[str, str]:
        return {"rule": self.rule, "value": self.value, "bound": self.bound, "verdict": self.verdict}


@dataclass(frozen=True)
class Evidence:
    """All that the gate judges.

    Attributes:
        chain: The records behind the candidate.
        commits: For each stage a commit that holds what it ran with, or None with what is lacking.
        split: Whether the frozen test split is here: empty, or what differs.
        comparison: What was measured; None where `split` says why not.
        candidate: The exported folder.
        has_champion: Whether there is a champion to compare with.
    """

    chain: Chain
    commits: Mapping[str, tuple[str | None, list[str]]]
    split: str
    comparison: Comparison | None
    candidate: Path
    has_champion: bool


def rules_of(evidence: Evidence, params: Params) -> list[Rule]:
    """Every rule, judged."""
    rules = [_rule("test split is the frozen one", evidence.split or "same digest", "same digest", not evidence.split)]
    if evidence.comparison is None:
        rules.append(_rule("scores, size and latency", "not measured", "measured", False))
    else:
        rules += _measured(evidence.comparison, evidence.has_champion, params.promotion)
    rules.append(_rule("validation", evidence.chain.validation, "passed", evidence.chain.validation == "passed"))
    rules += [_parity(evidence.candidate, params), _lineage(evidence.chain), _committed(evidence.commits)]
    return rules


def holds(rules: list[Rule]) -> bool:
    """Whether nothing fails."""
    return all(rule.verdict != FAILS for rule in rules)


def _measured(found: Comparison, has_champion: bool, asked: Promotion) -> Iterator[Rule]:
    ours, champion = found.models[CANDIDATE], found.models.get(CHAMPION)
    name = found.headline.replace("_", " ").replace("iou", "IoU")
    enough = ours.score is not None and ours.score >= asked.min_score
    yield _rule(name, _number(ours.score), f"≥ {asked.min_score:g}", enough)
    yield _against(found, champion, has_champion, name, asked)
    yield from _floors(f"{found.class_score} of", ours.by_class, asked.class_floors)
    yield from _floors(f"{name} on", ours.by_domain, asked.domain_floors)
    yield _rule("size", f"{ours.num_bytes:,} bytes", f"≤ {asked.max_bytes:,} bytes", ours.num_bytes <= asked.max_bytes)
    if asked.max_latency_ms is not None:
        bound = f"≤ {asked.max_latency_ms:g} ms"
        yield _rule("latency", f"{ours.latency_ms:.2f} ms", bound, ours.latency_ms <= asked.max_latency_ms)
    if asked.max_latency_ratio is not None:
        yield _ratio(ours, champion, asked.max_latency_ratio)


def _against(found: Comparison, champion: Measured | None, has_champion: bool, name: str, asked: Promotion) -> Rule:
    rule = f"{name} less the champion's, {asked.confidence:.0%} lower bound over {found.num_images} images"
    bound = f"> {-asked.margin:g}"
    if not has_champion:
        return Rule(rule, "no champion yet", bound, NOT_ASKED)
    if champion is None:
        return _rule(rule, found.not_comparable, bound, False)
    value = f"{_number(found.lower_bound, '+')} ({_number(champion.score)} → {_number(found.models[CANDIDATE].score)})"
    return _rule(rule, value, bound, found.lower_bound is not None and found.lower_bound > -asked.margin)


def _floors(what: str, values: Mapping[str, float | None], floors: Mapping[str, float]) -> Iterator[Rule]:
    """A named floor that cannot be measured is not met; `*` speaks of what has a value."""
    for name, value in values.items():
        floor = floors.get(name, floors.get(ALL_OTHERS) if value is not None else None)
        if floor is not None:
            yield _rule(f"{what} {name}", _number(value), f"≥ {floor:g}", value is not None and value >= floor)
    for name in floors.keys() - values.keys() - {ALL_OTHERS}:
        yield _rule(f"{what} {name}", "there is none of this name", f"≥ {floors[name]:g}", False)


def _ratio(ours: Measured, champion: Measured | None, most: float) -> Rule:
    rule, bound = "latency to the champion's", f"≤ {most:g} ×"
    if champion is None:
        return Rule(rule, f"{ours.latency_ms:.2f} ms", bound, NOT_ASKED)
    ratio = ours.latency_ms / champion.latency_ms
    value = f"{ratio:.2f} × ({champion.latency_ms:.2f} → {ours.latency_ms:.2f} ms)"
    return _rule(rule, value, bound, ratio <= most)


def _parity(folder: Path, params: Params) -> Rule:
    parity, name = read_json(folder / "parity.json"), "export equals the original"
    value, bound = f"{parity['equal_fraction']:.4%} equal", f"≥ {params.export.min_equal_fraction:.4%}, within export.*"
    try:
        refuse_disagreement(parity, params.export)
    except GraftError:
        return _rule(name, value, bound, False)
    return _rule(name, value, bound, True)


def _lineage(chain: Chain) -> Rule:
    value = "; ".join(chain.problems) or f"{len(chain.records)} of 7 records, linked by digest"
    return _rule("lineage", value, "7 of 7", chain.is_complete)


def _committed(commits: Mapping[str, tuple[str | None, list[str]]]) -> Rule:
    lacking = {stage: missing for stage, (commit, missing) in commits.items() if commit is None}
    said = [
        f"{stage}: {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}" for stage, missing in lacking.items()
    ]
    shown = sorted({commit[:8] for commit, _ in commits.values() if commit})
    value = f"in no commit: {'; '.join(said)}" if said else f"in {', '.join(shown) or 'no commit'}"
    bound = "in a commit of this branch"
    return _rule("code and params of every stage", value, bound, bool(commits) and not lacking)


def _rule(rule: str, value: str, bound: str, is_met: bool) -> Rule:
    return Rule(rule, value, bound, HOLDS if is_met else FAILS)


def _number(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.4f}"
