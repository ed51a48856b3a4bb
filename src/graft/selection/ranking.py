"""From scores to an order: the mean of a candidate's ranks, a baseline that ignores the data, and their agreement."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graft.selection.candidates import Candidate, PublishedScore
from graft.selection.cost import Cost


@dataclass
class RankedCandidate:
    """A candidate with its scores, its cost and its places in the orders.

    Attributes:
        candidate: The architecture and its weights.
        cost: Cost on this machine.
        published: Score that its makers measured.
        scores: Scores by name; those that read a source head are missing where there is none.
        mean_rank: Mean of its ranks by the scores that all candidates have; 1 is the best.
        rank: Place in the order by mean rank, from 1.
        baseline_rank: Place in the order that ignores the data, from 1.
        verified: Val score after a brief fine-tuning.
    """

    candidate: Candidate
    cost: Cost
    published: PublishedScore | None
    scores: dict[str, float] = field(default_factory=dict)
    mean_rank: float = math.nan
    rank: int = 0
    baseline_rank: int = 0
    verified: float | None = None


def common_scores(scored: Sequence[RankedCandidate], names: Sequence[str]) -> list[str]:
    """Picks the scores that every candidate has; only these can order all of them."""
    return [name for name in names if all(name in one.scores for one in scored)]


def rank(scored: Sequence[RankedCandidate], names: Sequence[str]) -> list[RankedCandidate]:
    """Orders the candidates from best to worst and fills in their ranks; ties go to the one with fewer parameters.

    The ranks of several scores are averaged, since no single one is best everywhere (Agostinelli et al. 2022, "How
    stable are Transferability Metrics evaluations?").
    """
    common = common_scores(scored, names)
    for one in scored:
        places = [1 + sum(other.scores[name] > one.scores[name] for other in scored) for name in common]
        one.mean_rank = math.fsum(places) / len(places) if places else math.nan
    ordered = sorted(scored, key=lambda one: (one.mean_rank, one.cost.num_parameters, one.candidate.name))
    for place, one in enumerate(ordered, 1):
        one.rank = place
    for place, one in enumerate(sorted(scored, key=_without_data), 1):
        one.baseline_rank = place
    return ordered


def _without_data(one: RankedCandidate) -> tuple[bool, float, int, float, str]:
    """Sort key of the order that ignores the data: weights before none, the higher published score, more parameters."""
    known = one.published.value if one.published else 0.0
    return (
        one.candidate.is_random,
        -known,
        -one.cost.num_parameters,
        float(one.cost.operations),
        one.candidate.name,
    )


def agreement(predicted: Sequence[float], measured: Sequence[float]) -> float | None:
    """Weighted Kendall correlation: the share of pairs in the same order less that of the others; top ranks weigh most.

    From -1 to 1; a pair weighs 1 / (r + 1) + 1 / (s + 1) by the ranks of its members, averaged over the order by
    `predicted` and that by `measured` (Vigna 2015, "A Weighted Correlation Index for Rankings with Ties").

    Args:
        predicted: A score of each candidate, larger is better.
        measured: Measured result of each.

    Returns:
        None for fewer than two candidates, or where all have one value.
    """
    from scipy.stats import weightedtau

    if len(predicted) < 2:
        return None
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        found = float(weightedtau(predicted, measured).statistic)
    return None if math.isnan(found) else found


def agreements(scored: Sequence[RankedCandidate], names: Sequence[str]) -> dict[str, float | None]:
    """Correlations of each score, of the order by mean rank and of the baseline with the verified results."""
    verified = [one for one in scored if one.verified is not None]
    measured = [one.verified or 0.0 for one in verified]
    predictions: Mapping[str, list[float]] = {
        **{name: [one.scores[name] for one in verified] for name in common_scores(verified, names)},
        "mean rank": [-one.mean_rank for one in verified],
        "baseline": [-float(one.baseline_rank) for one in verified],
    }
    return {name: agreement(values, measured) for name, values in predictions.items()}


def recommendation(ordered: Sequence[RankedCandidate], names: Sequence[str]) -> str:
    """The candidate to take and the reason, in words."""
    best, common = ordered[0], common_scores(ordered, names)
    firsts = [name for name in common if all(best.scores[name] >= one.scores[name] for one in ordered)]
    said = [
        f"Take {best.candidate.name}: "
        + (f"it is the best by {_listed(firsts)}" if firsts else "it is the best by no score, but good by all of them")
        + f", with a mean rank of {best.mean_rank:.1f} over {len(common)} score{'s' * (len(common) != 1)} of "
        f"{len(ordered)} candidates."
    ]
    if best.candidate.is_random:
        said.append("It has no pretrained weights: those of the others do not help with your images.")
    if len(ordered) > 1:
        second = ordered[1]
        tells = "Next is" if second.mean_rank > best.mean_rank else "The scores do not separate it from"
        said.append(f"{tells} {second.candidate.name} ({second.mean_rank:.1f}).")
        said += _cheaper(ordered)
    without_data = next(one for one in ordered if one.baseline_rank == 1)
    if without_data is not best:
        name, place = without_data.candidate.name, without_data.rank
        said.append(f"Without a look at your data, the choice would be {name}, number {place} here.")
    verified = [one for one in ordered if one.verified is not None]
    if len(verified) > 1:
        winner = max(verified, key=lambda one: one.verified or 0.0)
        said.append(
            "The brief fine-tuning agrees."
            if winner is best
            else f"But fine-tuned briefly, {winner.candidate.name} came out best ({winner.verified:.3f} against "
            f"{best.verified:.3f}): prefer it."
        )
    return " ".join(said)


def _cheaper(ordered: Sequence[RankedCandidate]) -> list[str]:
    """A sentence on the best candidate that is at least twice as fast as the first, if the better half has one."""
    best = ordered[0]
    for one in ordered[1 : (len(ordered) + 1) // 2]:
        if one.cost.latency_ms * 2 <= best.cost.latency_ms and not one.candidate.is_random:
            times = best.cost.latency_ms / one.cost.latency_ms
            return [f"Where time counts, {one.candidate.name} (number {one.rank}) is {times:.1f} times as fast."]
    return []


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
