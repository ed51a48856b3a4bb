"""Learning that goes on: one delivery after the other, by each way to keep what the model knows, three seeds each.

Small streets, drawn and (with `--camvid`) filmed. A model learns the first delivery, starting from the bundled weights;
each way then updates it by the next one, and by the one after. Every model is scored on the test images of every
delivery. Two bounds stand beside the ways: plain fine-tuning, which keeps nothing, with the best of three rates; and
joint training on all deliveries. Finished stories are kept in `build/continual/`, so that an interrupted experiment
continues where it was.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.domains import STREETS, change_default_job, digest_of_params
from benchmarks.figures import Figure, Options
from benchmarks.small_trainings import (
    CLIPS,
    OF_QUICK,
    REAL,
    drawn,
    filmed,
    is_here,
    judge,
    learn,
    mean_iou,
    over_seeds,
    processor_seconds,
    read_source,
)
from graft.foundation.content import content_digest, read_json, write_json
from graft.foundation.progress import say
from graft.params.sections import Params

KEPT = Path("build/continual")
SEEDS = (1, 2, 3)
EPOCHS, EPOCHS_OF_QUICK = 12, 2
OLD, NEW = ("background", "sky", "building", "road", "tree"), ("pavement", "car")
RATES = (5e-4, 1e-3, 2e-3)  # of plain fine-tuning


@dataclass(frozen=True)
class Way:
    """A way to learn a delivery after others.

    Attributes:
        strategy: Strategy of the updates.
        num_remembered: Number of images of earlier deliveries that are trained on again; None trains on all of them,
            together, once.
        rate: Learning rate of the updates.
        choice: How these images are chosen.
    """

    strategy: str
    num_remembered: int | None = 0
    rate: float = 1e-3
    choice: str = "random"


JOINT, DEFAULT = "joint", "incremental"
BOUNDS = {f"fine-tuning, rate {rate}": Way("supervised", 0, rate) for rate in RATES} | {JOINT: Way("supervised", None)}


@dataclass(frozen=True)
class Story:
    """Deliveries in their order, the images that judge, and the ways to learn.

    Attributes:
        deliveries: Source of each delivery.
        judges: Source of the images that models are scored on, by what they show.
        ways: Ways beside the bounds.
        groups: Names of classes whose mean IoU is reported by itself; empty where every judge has a score of its own.
        together: Source of each delivery where joint training has other labels than the updates; else those above.
        changes: What its params change in the default job, by dotted key.
    """

    deliveries: Mapping[str, Mapping[str, Any]]
    judges: Mapping[str, Mapping[str, Any]]
    ways: Mapping[str, Way]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    together: Mapping[str, Mapping[str, Any]] | None = None
    changes: Mapping[str, Any] = field(default_factory=lambda: {"preprocess.resize": "none"})


def labelled_as(classes: Sequence[str], hidden: Sequence[str] = ()) -> dict[str, Any]:
    """The source of streets by day in which all but these classes is background, also those of them that are hidden."""
    mapping = dict.fromkeys(("*", *hidden), "background")
    return {"name": "joined", "sources": [{"source": drawn("day"), "classes": mapping}], "classes": [*classes]}


OF_A_NEW_DOMAIN = {
    "lwf": Way("lwf"),
    "ewc": Way("ewc"),
    "memory": Way("supervised", 20),
    DEFAULT: Way(DEFAULT, 20),
    "incremental, by herding": Way(DEFAULT, 20, choice="herding"),
    "incremental, by loss": Way(DEFAULT, 20, choice="loss"),
}
DRIVES = {clip: filmed(clips=[clip]) for clip in CLIPS}
LIGHTS = {light: drawn(light) for light in ("day", "night", "rain")}
STORIES = {
    "day, night, rain": Story(LIGHTS, LIGHTS, OF_A_NEW_DOMAIN),
    "CamVid clips": Story(DRIVES, DRIVES, OF_A_NEW_DOMAIN, changes=REAL),
    "two new classes": Story(
        {"first": labelled_as(OLD), "second": labelled_as(OLD + NEW, hidden=OLD[1:])},
        {"all-classes": labelled_as(OLD + NEW)},
        {
            "lwf": Way("lwf"),
            "mib": Way("mib"),
            "plop": Way("plop"),
            "incremental, no memory": Way(DEFAULT),
            DEFAULT: Way(DEFAULT, 20),
        },
        {"classes known before": OLD[1:], "new classes": NEW},
        {"first": labelled_as(OLD + NEW), "second": labelled_as(OLD + NEW)},
    ),
}


def run(options: Options) -> list[Figure]:
    """Tells every story that is not kept, in each way; returns means and deviations over the seeds."""
    KEPT.mkdir(parents=True, exist_ok=True)
    seeds = SEEDS[: 1 if options.quick else options.seeds]
    figures: list[Figure] = []
    for name, story in STORIES.items():
        if not is_here(f"the story {name}", next(iter(story.deliveries.values())), options):
            continue
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in BOUNDS | dict(story.ways)}
        for seed in seeds:
            with TemporaryDirectory(prefix="graft-continual-") as folder:
                for way, results in found.items():
                    results.append(Telling(name, way, seed, options).result(Path(folder)))
        figures += compare(name, story, found)
    return figures


@dataclass(frozen=True)
class Telling:
    """One story, in one way, with one seed."""

    story_name: str
    way_name: str
    seed: int
    options: Options

    @property
    def story(self) -> Story:
        return STORIES[self.story_name]

    @property
    def way(self) -> Way:
        return (BOUNDS | dict(self.story.ways))[self.way_name]

    @property
    def deliveries(self) -> Mapping[str, Mapping[str, Any]]:
        """Source of each delivery, as this way sees it."""
        is_joint = self.way.num_remembered is None
        return self.story.together if is_joint and self.story.together else self.story.deliveries

    def params(self, learnt: str, rate: float, strategy: str, memory: Any = "all") -> Params:
        """The params of the training that learns a delivery."""
        changes = {
            "seed": self.seed,
            "ingest.source": dict(self.deliveries[learnt]),
            "augment.memory": memory,
            "augment.parent": "none" if memory == "all" or memory["choice"] == "random" else "pretrained",
            "fine_tune.strategy": {"name": strategy},
            "fine_tune.learning_rate": rate,
            "fine_tune.epochs": EPOCHS_OF_QUICK if self.options.quick else EPOCHS,
            "fine_tune.validate_every_epochs": 3,
            "runtime.num_threads": self.options.threads,
        }
        return change_default_job(STREETS | dict(self.story.changes) | changes)

    def result(self, folder: Path) -> dict[str, Any]:
        """IoU by class and judge after each delivery, and the processor seconds of the last training.

        Ways of one story and seed share a folder, and in it the images and what they all learn first.
        """
        plan = [digest_of_params(params) for _, params in self.plan()]
        key = content_digest([plan, dict(self.deliveries), dict(self.story.judges), self.options.quick])[:12]
        kept = KEPT / f"{self.story_name}, {self.way_name}, seed {self.seed}, {key}.json"
        if not kept.is_file():
            say(kept.stem)
            write_json(kept, self.tell(folder))
        return read_json(kept)

    def plan(self) -> Iterator[tuple[list[str], Params]]:
        """The deliveries known to each training, and its params."""
        first, *later = names = [*self.deliveries]
        if self.way.num_remembered is None:
            yield names, self.params(first, 1e-3, "supervised")
            return
        yield [first], self.params(first, 1e-3, "supervised")
        for number, name in enumerate(later, start=1):
            num_remembered = min(self.way.num_remembered, OF_QUICK["num_train"] if self.options.quick else math.inf)
            memory = {"name": "balanced", "new": [name], "num_images": num_remembered, "choice": self.way.choice}
            yield names[: number + 1], self.params(name, self.way.rate, self.way.strategy, memory)

    def tell(self, folder: Path) -> dict[str, Any]:
        """Trains one model after the other, each of which grows out of the one before, and scores each."""
        sources = dict(self.deliveries) | dict(self.story.judges)
        ingested = folder / f"ingested-{content_digest(sources)[:12]}"
        for number, (name, source) in enumerate(sources.items()):
            read_source(name, source, ingested, 7 + number, self.options)
        work, model, found, seconds = folder, None, [], 0.0
        for known, params in self.plan():
            work /= content_digest([known, digest_of_params(params)])[:12]
            start = processor_seconds()
            model = learn(ingested, work, known, params, model)
            seconds = processor_seconds() - start
            judges = {name: ingested / name for name in self.story.judges}
            found.append({name: judge(data, model, params) for name, data in judges.items()})
        return {"scores": found, "seconds": seconds}


def compare(name: str, story: Story, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Figure]:
    """The final scores of each way beside joint training, what it forgot, and the share of joint training's time."""
    rates = [way for way in BOUNDS if way != JOINT]
    best = max(rates, key=lambda way: statistics.fmean(final_scores(story, found[way])[0]))
    ways = {best: found[best]} | {way: found[way] for way in story.ways} | {JOINT: found[JOINT]}
    together, _ = final_scores(story, found[JOINT])
    for way, results in ways.items():
        whole, parts = final_scores(story, results)
        yield over_seeds(f"{name}: {way}, mean IoU of all", whole, "%")
        for part, values in parts.items():
            yield over_seeds(f"the same, {part}", values, "%")
        if way == JOINT:
            return
        at_least = 0.95 if way == DEFAULT and not story.groups else None
        shares = [one / other for one, other in zip(whole, together, strict=True)]
        yield over_seeds("the same, share of joint training", shares, "%", at_least)
        costs = [a["seconds"] / b["seconds"] for a, b in zip(results, found[JOINT], strict=True)]
        yield over_seeds("the same, processor time of the last update, of joint training's", costs, "%")


def final_scores(story: Story, results: Sequence[Mapping[str, Any]]) -> tuple[list[float], dict[str, list[float]]]:
    """Mean IoU of the last model by seed: over all judges, and by judge or group of classes."""
    last = [result["scores"][-1] for result in results]
    if story.groups:
        (only,) = story.judges
        parts = {
            group: [mean_iou({name: scores[only][name] for name in names}) for scores in last]
            for group, names in story.groups.items()
        }
        return [mean_iou(scores[only]) for scores in last], parts
    parts = {name: [mean_iou(scores[name]) for scores in last] for name in story.judges}
    return [statistics.fmean(values) for values in zip(*parts.values(), strict=True)], parts
