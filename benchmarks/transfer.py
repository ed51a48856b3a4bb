"""The value of transfer: starts × ways to adapt × labels × domains, three seeds each, for small models and images.

The whole grid is trained with forty labels. With fewer and with more, the better start from scratch and the best ways
go on, chosen by what forty labels gave. Each cell is a training by the stage functions and gives the val score of its
best epoch. Finished cells are kept in `build/transfer/`, so that an interrupted experiment continues where it was; a
cell whose params have changed since is trained anew.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import page, transfer_page
from benchmarks.domains import DOMAINS, LABELS, LITE0, data_of, digest_of_params, domains_here, params_of, train
from benchmarks.figures import Figure, Options
from graft.foundation.content import read_json, write_json
from graft.foundation.progress import progress
from graft.params.sections import Params

KEPT = Path("build/transfer")
WHOLE, OF_QUICK = "40", "10"  # the labels with which the whole grid is trained
# With these epochs the number of images seen grows with the number of labels, but more slowly; gradual needs six.
EPOCHS = {"10": 30, "40": 15, "120": 9, "all": 6}
NUM_VALIDATIONS, NUM_EPOCHS_OF_QUICK = 3, 6
SEEDS = (1, 2, 3)
NUM_BEST = 2
MODELS: dict[str, dict[str, Any]] = {
    "MobileNetV3": {
        "segmentation": {"name": "lraspp"},
        "classification": {"name": "mobilenet_v3", "variant": "large"},
    },
    "Lite0": {
        "segmentation": {"name": "lraspp", "backbone": "efficientnet_lite0"},
        "classification": {"name": "timm", "variant": "tf_efficientnet_lite0"},
    },
}


@dataclass(frozen=True)
class Start:
    """A network, and the weights it starts from."""

    network: str
    source: Any

    @property
    def is_pretrained(self) -> bool:
        return self.source != "none"


# Bundled weights are of MobileNetV3, those of the package of EfficientNet-Lite0: each network starts from scratch too.
STARTS = {
    "scratch (MobileNetV3)": Start("MobileNetV3", "none"),
    "scratch (Lite0)": Start("Lite0", "none"),
    "bundled": Start("MobileNetV3", "bundled"),
    "package": Start("Lite0", LITE0),
}
SCRATCH_RATES = {"segmentation": 4e-3, "classification": 1e-3}  # as the recipes of scenes and of ants and bees have it


@dataclass(frozen=True)
class Way:
    """A way to adapt: options of the strategy `supervised`, and the learning rate that suits them."""

    options: dict[str, Any]
    rate: float = 1e-3


EVERYTHING = "everything"
# Where pretrained layers rest or hardly move the new head wants a higher rate: on CamVid, from the package, a frozen
# backbone gave 15.7% at 1e-3 and 25.9% at 4e-3; everything 13.6% at 3e-4 and 25.4% at 1e-3 (forty labels, one seed).
WAYS = {
    EVERYTHING: Way({}),
    "frozen": Way({"train": "frozen_backbone", "reuse_features": True}, 4e-3),
    "gradual": Way({"unfreeze": "gradual"}),
    "l2_sp": Way({"l2_sp_alpha": 0.01}),
    "layer_wise": Way({"layer_decay": 0.4}, 4e-3),
}


@dataclass(frozen=True)
class Line:
    """A start and a way to adapt: what the picture shows as a line."""

    start: str
    way: str

    @property
    def weights(self) -> str:
        """`scratch`, `bundled` or `package`, whatever the network."""
        return self.start.partition(" ")[0]

    @property
    def how(self) -> str:
        """The way to adapt; from scratch the network, since there is one way only."""
        return self.way if STARTS[self.start].is_pretrained else STARTS[self.start].network

    def __str__(self) -> str:
        return f"{self.start}, {self.way}" if STARTS[self.start].is_pretrained else self.start


GRID = [Line(name, way) for name, start in STARTS.items() for way in WAYS if start.is_pretrained or way == EVERYTHING]


@dataclass(frozen=True)
class Cell:
    """One training of the experiment."""

    domain: str
    labels: str
    line: Line
    seed: int

    def params(self, options: Options) -> Params:
        """The params of its training."""
        start, way, task = STARTS[self.line.start], WAYS[self.line.way], DOMAINS[self.domain].task
        epochs = NUM_EPOCHS_OF_QUICK if options.quick else EPOCHS[self.labels]
        changes = {
            "seed": self.seed,
            "model": MODELS[start.network][task],
            "pretrain_load.source": start.source,
            "fine_tune.strategy": {"name": "supervised", **way.options},
            "fine_tune.learning_rate": way.rate if start.is_pretrained else SCRATCH_RATES[task],
            "fine_tune.epochs": epochs,
            "fine_tune.validate_every_epochs": epochs // NUM_VALIDATIONS,
        }
        return params_of(self.domain, options, changes)

    def kept(self, options: Options) -> Path:
        """The file that holds its result, named by all that the result depends on."""
        name = f"{self.domain}, {self.labels} labels, {self.line}, seed {self.seed}"
        return KEPT / f"{name}, {digest_of_params(self.params(options))}.json"


Scores = dict[tuple[str, str, Line], list[float]]


def run(options: Options) -> list[Figure]:
    """Trains every cell that is not finished; returns mean and deviation over the seeds."""
    if unknown := sorted(set(options.labels or ()) - set(LABELS)):
        raise SystemExit(f"benchmarks: no row for {', '.join(unknown)} labels; there are {', '.join(LABELS)}")
    domains, whole = domains_here(options), OF_QUICK if options.quick else WHOLE
    found = finish([cell for domain in domains for cell in cells(domain, whole, GRID, options)], options)
    best = {domain: choose({line: found[domain, whole, line] for line in GRID}) for domain in domains}
    others = [] if options.quick else [labels for labels in options.labels or LABELS if labels != whole]
    rest = [cell for labels in others for domain in domains for cell in cells(domain, labels, best[domain], options)]
    found |= finish(rest, options) if rest else {}
    transfer_page.draw(found, best, page.PAGE.with_name("transfer.png") if options.write else KEPT / "transfer.png")
    if options.write:
        transfer_page.write(found, best, whole)
    return list(figures(found))


def cells(domain: str, labels: str, lines: Iterable[Line], options: Options) -> Iterator[Cell]:
    """Lists the cells of some lines with so many labels."""
    for line in lines:
        yield from (Cell(domain, labels, line, seed) for seed in SEEDS[: 1 if options.quick else None])


def choose(scores: Mapping[Line, Sequence[float]]) -> list[Line]:
    """Chooses what goes on to other numbers of labels, from the scores of the whole grid.

    These are the better start from scratch, the two best ways to adapt, and, if both have the same start, the best way
    of the other: so each start is a line of the picture.
    """
    order = sorted(scores, key=lambda line: -statistics.fmean(scores[line]))
    pretrained = [line for line in order if STARTS[line.start].is_pretrained]
    chosen = [next(line for line in order if line not in pretrained), *pretrained[:NUM_BEST]]
    missing = [line for line in pretrained if line.start not in {one.start for one in chosen}]
    return chosen + missing[:1]


def finish(wanted: Sequence[Cell], options: Options) -> Scores:
    """Trains the cells without a result; returns the results of all, by domain, labels and line."""
    todo = [cell for cell in wanted if not cell.kept(options).is_file()]
    KEPT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="graft-transfer-") as name:
        for cell in progress(todo, "Trainings of the experiment", unit="training"):
            data = data_of(cell.domain, cell.labels, Path(name), options)
            write_json(cell.kept(options), {"score": train(cell.params(options), data)})
    found: Scores = {}
    for cell in wanted:
        found.setdefault((cell.domain, cell.labels, cell.line), []).append(read_json(cell.kept(options))["score"])
    return found


def figures(found: Scores) -> Iterator[Figure]:
    """The mean over the seeds of each cell; its spread is one deviation below and above."""
    for (domain, labels, line), values in found.items():
        mean = statistics.fmean(values)
        deviation = statistics.stdev(values) if len(values) > 1 else math.nan
        spread = None if math.isnan(deviation) else (mean - deviation, mean + deviation)
        yield Figure(f"{domain}, {labels} labels, {line}", mean, "%", spread)
