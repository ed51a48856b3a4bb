"""The rankings of `graft select` compared with short fine-tunings, on three domains: weighted Kendall correlations.

Candidates are ranked and fine-tuned by the parts of `graft select --verify`, so what is measured is what it does. A
correlation is that with the mean score of the seeds. Its spread is the middle nine tenths of what draws of candidates
give: drawn with replacement, each counted once, with the score of one seed. Finished fine-tunings are kept in
`build/rankings/`, so that an interrupted comparison continues where it was.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.domains import data_of, domains_here, params_of
from benchmarks.figures import Figure, Options
from graft.foundation.choices import Choice
from graft.foundation.progress import say
from graft.models.architectures import resolve_model
from graft.models.pins import no_download
from graft.selection.candidates import Candidate, read_candidates
from graft.selection.ranking import RankedCandidate, agreements
from graft.selection.select import resolve_scores, select
from graft.selection.verification import Stages, Workspace, verify
from pipeline.fine_tune import fine_tune
from pipeline.pretrain_load import pretrain_load

KEPT = Path("build/rankings")
LISTED, ZOO = Path(__file__).with_name("candidates.yaml"), Path("zoo/candidates.yaml")
ENOUGH = 0.6
DEFAULT = "mean rank"  # graft select orders candidates by it
# Network of a segmenter of the zoo -> the classifier on the same backbone.
CLASSIFIERS = {"lraspp": {"name": "mobilenet_v3", "variant": "large"}}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    labels: str
    epochs: int
    seeds: tuple[int, ...]
    num_draws: int
    pixels_per_class: int | None = None


WHOLE, QUICK = Size("120", 3, (1, 2), 500), Size("10", 1, (1,), 10, pixels_per_class=4)


@dataclass(frozen=True)
class Agreement:
    """The correlation of a criterion with fine-tuning, and what all but a tenth of the draws give."""

    value: float
    low: float
    high: float


def run(options: Options) -> list[Figure]:
    """Compares on every domain; figures of its candidates and criteria, then of each criterion over the domains."""
    size = QUICK if options.quick else WHOLE
    found: dict[str, dict[str, Agreement]] = {}
    figures: list[Figure] = []
    with TemporaryDirectory(prefix="graft-rankings-") as name:
        for domain in domains_here(options):
            data = data_of(domain, size.labels, Path(name), options)
            ordered, scores = measure(domain, data, size, options)
            found[domain] = compare(ordered, scores, size.num_draws)
            figures += [*of_candidates(domain, ordered, scores), *of_domain(domain, found[domain])]
    return figures + list(over_domains(found))


def measure(
    domain: str, data: Path, size: Size, options: Options
) -> tuple[list[RankedCandidate], dict[str, list[float]]]:
    """Ranks the candidates of a domain and fine-tunes all; returns them in order, and their scores with each seed."""
    params = params_of(domain, options, {"fine_tune.validate_every_epochs": size.epochs})
    sampling = {"interim": data, "cache": KEPT / "features", "pixels_per_class": size.pixels_per_class}
    selection = select(candidates_of(params.task), resolve_scores([]), params, no_download, **sampling)
    for name, why in selection.unusable.items():
        say(f"{name} is left out: {why}")
    stages = Stages(pretrain_load, fine_tune)
    workspace = Workspace(data / "augmented", data / "val", data / "class_map.json")
    scores: dict[str, list[float]] = {one.candidate.name: [] for one in selection.ordered}
    for seed in size.seeds:
        seeded = params.model_copy(update={"seed": seed})
        verify(selection.ordered, seeded, size.epochs, stages, workspace, folder=KEPT / "fine-tuned")
        for one in selection.ordered:
            assert one.verified is not None
            scores[one.candidate.name].append(one.verified)
    return selection.ordered, scores


def candidates_of(task: str) -> list[Candidate]:
    """The candidates listed for a task, and those of the zoo if it was built: its segmenters, or their backbones."""
    zoo = [one for one in read_candidates(ZOO, "segmentation") if not one.is_random] if ZOO.is_file() else []
    if task == "classification":
        zoo = [replace(one, model=_classifier_on(one)) for one in zoo if one.model.name in CLASSIFIERS]
    return read_candidates(LISTED, task) + zoo


def _classifier_on(one: Candidate) -> Choice:
    return resolve_model("classification", CLASSIFIERS[one.model.name])


def compare(
    ordered: Sequence[RankedCandidate], scores: Mapping[str, Sequence[float]], num_draws: int
) -> dict[str, Agreement]:
    """Correlates each criterion that all candidates have with their scores, and draws its spread.

    Args:
        ordered: Ranked candidates.
        scores: Fine-tuned score with each seed, by candidate.
        num_draws: Number of draws for the spread.
    """
    names = list(dict.fromkeys(name for one in ordered for name in one.scores))
    whole = agreements([with_score(one, statistics.fmean(scores[one.candidate.name])) for one in ordered], names)
    generator = np.random.default_rng(0)
    draws = [agreements(list(draw(ordered, scores, generator)), names) for _ in range(num_draws)]
    found = {}
    for name, value in whole.items():
        drawn = [known for one in draws if (known := one.get(name)) is not None]
        if value is not None and drawn:
            found[name] = Agreement(value, *map(float, np.quantile(drawn, (0.05, 0.95))))
    return found


def draw(
    ordered: Sequence[RankedCandidate], scores: Mapping[str, Sequence[float]], generator: np.random.Generator
) -> Iterator[RankedCandidate]:
    """Draws candidates with replacement and yields each once: copies would be ties that nothing measured."""
    for number in sorted(set(generator.integers(len(ordered), size=len(ordered)).tolist())):
        yield with_score(ordered[number], float(generator.choice(scores[ordered[number].candidate.name])))


def with_score(one: RankedCandidate, score: float) -> RankedCandidate:
    """The candidate with this score as that of its fine-tuning."""
    return replace(one, verified=score)


def of_candidates(
    domain: str, ordered: Sequence[RankedCandidate], scores: Mapping[str, Sequence[float]]
) -> Iterator[Figure]:
    """The fine-tuned score of each candidate in the order of the ranking, with the range over the seeds."""
    for one in ordered:
        measured = scores[one.candidate.name]
        spread = (min(measured), max(measured)) if len(measured) > 1 else None
        yield Figure(f"{domain}, number {one.rank}: {one.candidate.name}", statistics.fmean(measured), "%", spread)


def of_domain(domain: str, found: Mapping[str, Agreement]) -> Iterator[Figure]:
    """The correlation of each criterion; the order that `graft select` recommends by has to reach `ENOUGH`."""
    for name, agreement in found.items():
        bound = {"at_least": ENOUGH} if name == DEFAULT else {}
        yield Figure(f"{domain}: {name}", agreement.value, "", (agreement.low, agreement.high), **bound)


def over_domains(found: Mapping[str, Mapping[str, Agreement]]) -> Iterator[Figure]:
    """For each criterion, the lowest of its correlations and the number of domains on which it reaches `ENOUGH`."""
    for name in dict.fromkeys(name for of_one in found.values() for name in of_one):
        values = [of_one[name].value for of_one in found.values() if name in of_one]
        reached = sum(value >= ENOUGH for value in values)
        yield Figure(f"{name}: lowest of {len(values)} domains ({ENOUGH} reached on {reached})", min(values), "")
