"""The fastest section `runtime` for this model on this machine: real training steps of each candidate, in turns."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.errors import GraftError
from graft.foundation.progress import say
from graft.foundation.workers import num_usable_cores
from graft.inference.runtime import use_runtime
from graft.params.params_file import PARAMS_FILE, read_complete
from graft.params.yaml_tree import write_tree
from graft.training.loop import Training, epoch_steps
from graft.training.start import TrainingStart

if TYPE_CHECKING:
    from graft.params.sections import Runtime

# The keys that are tried: device and deterministic stay, for they are no question of speed alone.
KEYS = ("num_threads", "precision", "channels_last", "compile")
PRECISIONS = {"cpu": ("float32", "bf16"), "cuda": ("float32", "bf16", "fp16"), "mps": ("float32",)}
FEWEST_STEPS = 3
# A candidate that takes so many times as long as the fastest is measured no further.
HOPELESS = 1.5
# A candidate must beat the present section by this much; two measurements of one section differ by 2 to 4 %.
LEAST_GAIN = 1.05


@dataclass(frozen=True)
class Timing:
    """The time that a section `runtime` takes for a step.

    Attributes:
        runtime: The section.
        seconds: Median over its steps.
        speed: How many times as fast it is as the present section, measured in turns with it.
        num_steps: Number of steps that were measured.
    """

    runtime: Runtime
    seconds: float
    speed: float
    num_steps: int

    def change(self, present: Runtime) -> str:
        """By how much results differ from those of the present section, in words."""
        if self.runtime == present:
            return "nothing: it is the present section"
        if self.runtime.precision != present.precision:
            return f"another precision, {self.runtime.precision}: compare the scores"
        return "the last bits"


def find_runtime(
    start: TrainingStart, *, seconds: float, precisions: Sequence[str] | None = None, with_compile: bool = False
) -> list[Timing]:
    """Measures candidates for the section `runtime`, fastest first; nothing is written and no weight is kept.

    First numbers of threads, then precisions and memory layouts with the best number, at last torch.compile with the
    best of all. Each group is measured together with the present section, a step each in turns, so that what else the
    machine does slows all alike.

    Args:
        start: Data, params and the pretrained model; steps are those of the last epoch, when all that is to train does.
        seconds: Time to spend, without building the models; the present section takes `FEWEST_STEPS` steps at least,
            and each candidate two, the first of which is not counted.
        precisions: Precisions to try; all that the device has by default.
        with_compile: Whether to try torch.compile, which takes a minute or more to start.

    Raises:
        GraftError: No time is given, or something cannot be used as in fine-tune.
    """
    if seconds <= 0:
        raise GraftError(f"--seconds is {seconds:g}", rule="a time to measure in", remedy="graft find-runtime")
    present = start.assembly.runtime
    if precisions is None:
        precisions = PRECISIONS[present.device]
    found: list[Timing] = []
    for group in ("threads", "arithmetic", *(["compile"] if with_compile else [])):
        base = best_of(found).runtime if found else present
        runtimes = list(dict.fromkeys([present, *candidates_of(group, base, precisions)]))
        if len(runtimes) > 1:
            say(f"measuring {group}: {len(runtimes)} sections in turns")
            found += measure(start, runtimes, seconds / (3 if with_compile else 2))
    once = {timing.runtime: timing for timing in found}  # the present section was measured in each group
    return sorted(once.values(), key=lambda timing: -timing.speed)


def candidates_of(group: str, base: Runtime, precisions: Sequence[str]) -> list[Runtime]:
    """The sections that differ from `base` in one group of keys; those keys have every value worth trying."""
    cores = num_usable_cores()
    values: dict[str, Sequence[Any]] = {
        "threads": sorted({1, max(cores // 4, 1), max(cores // 2, 1), cores}) if base.device == "cpu" else [],
        "arithmetic": [*itertools.product(precisions, (True, False))],
        "compile": [True],
    }
    keys = {"threads": ("num_threads",), "arithmetic": ("precision", "channels_last"), "compile": ("compile",)}[group]
    return [
        base.model_copy(update=dict(zip(keys, value if isinstance(value, tuple) else (value,), strict=True)))
        for value in values[group]
    ]


def measure(start: TrainingStart, runtimes: Sequence[Runtime], seconds: float) -> list[Timing]:
    """Times the steps of trainings that differ in `runtime` alone; the first is what the others are compared with."""
    taken: list[list[float]] = [[] for _ in runtimes]
    with ExitStack() as stack:
        steps = [stack.enter_context(closing(timed_steps(start, runtime))) for runtime in runtimes]
        for each in steps:
            next(each)  # the first step allocates, chooses kernels and compiles
        began = time.perf_counter()
        while len(taken[0]) < FEWEST_STEPS or time.perf_counter() - began < seconds:
            fastest = min(map(statistics.median, filter(None, taken)), default=math.inf)
            for number, (times, each) in enumerate(zip(taken, steps, strict=True)):
                if number == 0 or not times or statistics.median(times) <= HOPELESS * fastest:
                    times.append(next(each))
    medians = [statistics.median(times) for times in taken]
    return [
        Timing(runtime, median, medians[0] / median, len(times))
        for runtime, median, times in zip(runtimes, medians, taken, strict=True)
    ]


def timed_steps(start: TrainingStart, runtime: Runtime) -> Generator[float, None, None]:
    """The seconds of one training step after the other, as fine-tune takes them in its last epoch, without end."""
    assembly = replace(start.assembly, runtime=runtime)
    training = replace(start, assembly=assembly).training(start.assembly.params.learning_rate)
    trainee = training.trainee
    trainee.epoch = training.plan.epochs - 1  # views of full size, everything unfrozen, normalisation settled
    while True:
        trainee.batch = trainee.step = 0  # schedules end with the last step
        with closing(epoch_steps(training)) as steps:
            yield from _timed(training, steps, runtime)


def _timed(training: Training, steps: Iterator[int], runtime: Runtime) -> Iterator[float]:
    while True:
        use_runtime(runtime)  # another candidate has had its turn
        began = time.perf_counter()
        if next(steps, None) is None:
            return
        training.trainee.last_loss()  # waits for the device
        yield time.perf_counter() - began


def best_of(found: Sequence[Timing]) -> Timing:
    """The fastest, or the present section (the first of `found`) where no other gains enough to be worth a change."""
    fastest = max(found, key=lambda timing: timing.speed)
    return fastest if fastest.speed >= LEAST_GAIN else next(timing for timing in found if timing.speed == 1)


def changes(present: Runtime, chosen: Runtime) -> dict[str, Any]:
    """The keys whose values differ, with those of `chosen`."""
    return {key: getattr(chosen, key) for key in KEYS if getattr(chosen, key) != getattr(present, key)}


def write_runtime(changed: dict[str, Any], path: Path = PARAMS_FILE) -> None:
    """Writes the keys into the section `runtime` of the params file, in one step; comments stay."""
    tree = read_complete(path)
    tree["runtime"].update(changed)
    write_tree(path, tree)
