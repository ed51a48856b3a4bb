"""Adapting to a domain without labels: each step, the ladder, and what labels would have brought, three seeds each.

A model learns labelled images of one domain beside unlabelled ones of another, starting from the bundled weights, and
is scored on test images of both. Without unlabelled images it is *source only*; the *oracle* has labels for both. Each
step of `adapt` is taken alone, then all together, then by the ladder, which judges them by itself; and once more by a
ladder with a last step that does harm. All trainings take as many steps at the same rate. Finished trainings are kept
in `build/adaptation/`, so that an interrupted experiment continues where it was.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.domains import STREETS, change_default_job, digest_of_params
from benchmarks.figures import Figure, Options, Skipped
from benchmarks.small_trainings import (
    COUNTS,
    REAL,
    drawn,
    filmed,
    is_here,
    judge,
    learn,
    mean_iou,
    over_seeds,
    read_source,
)
from graft.foundation.content import content_digest, read_json, write_json
from graft.foundation.progress import say
from graft.params.sections import Params

KEPT = Path("build/adaptation")
SEEDS = (1, 2, 3)
EPOCHS, EPOCHS_OF_QUICK = 20, 5
SOURCE_ONLY, ORACLE, LADDER, HARMED = "source only", "oracle", "ladder", "ladder with a harmful step"
OFF = {"style": "none", "statistics": 0.0, "unlabelled_weight": 0.0, "masked_weight": 0.0, "source_only": False}
HARMFUL = {"masked_weight": 30.0, "masked_share": 0.98}  # what little is seen outweighs every label
CLIMBING = {"name": "adapt", "ladder": "auto", "source_only": False}
WAYS: dict[str, dict[str, Any]] = {
    SOURCE_ONLY: {"name": "supervised"},
    "colours (LAB)": {"name": "adapt", **OFF, "style": "lab"},
    "colours (Fourier)": {"name": "adapt", **OFF, "style": "fourier"},
    "statistics": {"name": "adapt", **OFF, "statistics": 0.5},
    "self-training": {"name": "adapt", **OFF, "unlabelled_weight": 1.0},
    "hidden patches": {"name": "adapt", **OFF, "masked_weight": 1.0},
    "all steps": {"name": "adapt", "source_only": False},
    LADDER: CLIMBING,
    HARMED: CLIMBING | HARMFUL,
    ORACLE: {"name": "supervised"},
}


@dataclass(frozen=True)
class Pair:
    """Two domains, labels for one.

    Attributes:
        half: Source of the images of which those of the target have no labels.
        whole: Source of the same kind of images, all with labels, for the oracle.
        judges: Source of the test images of each domain, that of the labels first.
        changes: What its params change in the default job, by dotted key.
    """

    half: Mapping[str, Any]
    whole: Mapping[str, Any]
    judges: Mapping[str, Mapping[str, Any]]
    changes: Mapping[str, Any] = field(default_factory=lambda: {"preprocess.resize": "none"})


DAY, NIGHT = "day", "night_rain"
BOTH = {"num_train": 2 * COUNTS["num_train"], "num_val": 2 * COUNTS["num_val"]}
PAIRS = {
    "day to rain at night": Pair(
        drawn(DAY, num_unlabelled=COUNTS["num_train"], unlabelled_domain=NIGHT),
        drawn([DAY, NIGHT], **BOTH),
        {DAY: drawn(DAY), NIGHT: drawn(NIGHT)},
    ),
    "CamVid, day to dusk": Pair(
        filmed(unlabelled_clips=["0001TP"]),
        filmed(),
        {"bright-clips": filmed(clips=["0006R0", "0016E5"]), "0001TP": filmed(clips=["0001TP"])},
        REAL,
    ),
}


def run(options: Options) -> list[Figure]:
    """Trains in every way that is not kept; returns means and deviations over the seeds."""
    pairs = {name: pair for name, pair in PAIRS.items() if is_here(f"the pair {name}", pair.half, options)}
    if not pairs:
        raise Skipped("no pair of domains is here")
    KEPT.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    for name, pair in pairs.items():
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for seed in SEEDS[: 1 if options.quick else options.seeds]:
            with TemporaryDirectory(prefix="graft-adaptation-") as folder:
                for way, results in found.items():
                    results.append(result(name, way, seed, Path(folder), options))
        figures += compare(name, pair, found)
    return figures


def params_of(pair: Pair, way: str, seed: int, options: Options) -> Params:
    """The params of a training."""
    adapts = WAYS[way]["name"] == "adapt"
    changes = {
        "seed": seed,
        "ingest.source": dict(pair.whole if way == ORACLE else pair.half),
        "augment.unlabelled": "unlabelled" if adapts else "none",
        "fine_tune.strategy": WAYS[way],
        "fine_tune.averaging": "ema",
        "fine_tune.schedule": "constant",
        "fine_tune.epochs": EPOCHS_OF_QUICK if options.quick else EPOCHS,
        "runtime.num_threads": options.threads,
    }
    return change_default_job(STREETS | dict(pair.changes) | changes)


def result(name: str, way: str, seed: int, folder: Path, options: Options) -> dict[str, Any]:
    """The mean IoU of a training by domain, and the steps that its ladder ended with."""
    pair = PAIRS[name]
    params = params_of(pair, way, seed, options)
    key = content_digest([digest_of_params(params), dict(pair.judges), options.quick])[:12]
    kept = KEPT / f"{name}, {way}, seed {seed}, {key}.json"
    if not kept.is_file():
        say(kept.stem)
        write_json(kept, train(pair, params, way, folder, options))
    return read_json(kept)


def train(pair: Pair, params: Params, way: str, folder: Path, options: Options) -> dict[str, Any]:
    """Trains and scores; ways of one pair and seed share a folder, and in it the images."""
    sources = {"half": pair.half, "whole": pair.whole} | dict(pair.judges)
    for number, (name, source) in enumerate(sources.items()):
        read_source(name, source, folder / "ingested", 7 + number, options)
    work = folder / content_digest([way])[:12]
    model = learn(folder / "ingested", work, ["whole" if way == ORACLE else "half"], params, None)
    judged = {name: judge(folder / "ingested" / name, model, params) for name in pair.judges}
    scores = {name: mean_iou(score) for name, score in judged.items() if score is not None}
    return {"scores": scores, "steps": kept_steps(work / "curves" / "curves.csv")}


def kept_steps(curves: Path) -> dict[str, float]:
    """Whether each step of a ladder was taken in the epoch that is worth most, and kept; empty without a ladder."""
    with curves.open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    best = max(rows, key=lambda row: float(row["val_score"] or 0) + float(row.get("target_score") or 0))
    return {name.removeprefix("step."): float(value) for name, value in best.items() if name.startswith("step.")}


def compare(name: str, pair: Pair, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Figure]:
    """The scores of each way on both domains, and the share of the gap on that without labels that it closes."""
    source, target = pair.judges
    at = {way: [result["scores"][target] for result in results] for way, results in found.items()}
    gap = statistics.fmean(at[ORACLE]) - statistics.fmean(at[SOURCE_ONLY])
    for way, results in found.items():
        yield over_seeds(f"{name}: {way}, mean IoU of {target}", at[way], "%")
        yield over_seeds(f"the same, {source}", [result["scores"][source] for result in results], "%")
        if way in (SOURCE_ONLY, ORACLE) or gap <= 0:
            continue
        gained = statistics.fmean(at[way]) - statistics.fmean(at[SOURCE_ONLY])
        yield Figure(
            "the same, share of the gap that is closed", gained / gap, "%", at_least=0.5 if way == LADDER else None
        )
    kept = [result["steps"]["masked"] for result in found[HARMED]]
    yield Figure(f"{name}: harmful steps that the ladder keeps", statistics.fmean(kept), "%", at_most=0.0)
