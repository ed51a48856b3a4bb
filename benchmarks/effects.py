"""Single effects on the time to quality: a short training with one choice changed at a time, and with several together.

Trainings are made and kept as those of the benchmark quality, of today's build alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.figures import Figure, Options
from benchmarks.quality import open_sides
from benchmarks.quality_goals import AS_USUAL, SHORT, UNSEEN, curve_of, over
from benchmarks.recipe_runs import RecipeResult, best_of, seconds_until, whole_seconds

# Half of the epochs and views of goal 5, on the drive that training never saw.
PLAIN = AS_USUAL | {"augment.views": 5, "fine_tune.epochs": 5, "fine_tune.sizes": [1]}
TOGETHER: dict[str, dict[str, Any]] = {
    "growing sizes": {"fine_tune.sizes": [0.5, 0.75, 1]},
    "an exponential average": {"fine_tune.averaging": "ema"},
    "val every second epoch": {"fine_tune.validate_every_epochs": 2},
    "label smoothing": {
        "fine_tune.losses": [
            {"name": "cross_entropy", "weight": 1.0, "label_smoothing": 0.1},
            {"name": "dice", "weight": 0.5},
        ]
    },
}
ALONE = TOGETHER | {
    "the mean of the last weights": {
        "fine_tune.averaging": "swa",
        "fine_tune.schedule": {"name": "cosine", "final_factor": 0.2},
    },
    "one cycle": {"fine_tune.schedule": "one_cycle", "fine_tune.warmup_epochs": 0, "fine_tune.learning_rate": 2e-3},
    "batches of 16": {"fine_tune.batch_size": 16, "fine_tune.learning_rate": 1.4e-3},  # the root of two
}


def run(options: Options) -> list[Figure]:
    """Trains each choice alone, and those that need no other rate together; compares scores and times."""
    sides = open_sides(options)
    together = {key: value for changes in TOGETHER.values() for key, value in changes.items()}
    data = [{**sides.camvid(seed, **UNSEEN), **PLAIN} for seed in sides.seeds(1)]
    rows = {
        name: [sides.train(sides.now, SHORT, {**plain, **changes}) for plain in data]
        for name, changes in {"plain": {}, **ALONE, "together": together}.items()
    }
    plain = rows.pop("plain")
    figures = [
        over("plain, val mean IoU", [best_of(curve_of(result)) for result in plain], "%"),
        over("the same, whole time", [whole_seconds(curve_of(result)) for result in plain], "s"),
    ]
    for name, results in rows.items():
        figures += compare(name if name in ALONE else f"{', '.join(TOGETHER)}", results, plain)
    return figures


def compare(name: str, results: list[RecipeResult], plain: list[RecipeResult]) -> Iterator[Figure]:
    """Two figures: the score, and the share of the plain training's time until it is as good, or of the whole."""
    pairs = [(curve_of(result), curve_of(other)) for result, other in zip(results, plain, strict=True)]
    yield over(f"{name}, val mean IoU", [best_of(ours) for ours, _ in pairs], "%")
    times = [seconds_until(ours, best_of(theirs)) for ours, theirs in pairs]
    reached = None not in times
    spent = times if reached else [whole_seconds(ours) for ours, _ in pairs]
    shares = [seconds / whole_seconds(theirs) for seconds, (_, theirs) in zip(filter(None, spent), pairs, strict=True)]
    yield over("time until the plain score" if reached else "plain score not reached, whole time", shares, "%")
