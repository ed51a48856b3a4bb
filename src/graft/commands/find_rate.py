"""The learning-rate range test: a short training whose rate grows by the same ratio at every step."""

from __future__ import annotations

import csv
import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.models.saved_model import MODEL_COLOURS
from graft.training.loop import Training, epoch_steps
from graft.training.schedules import Moment
from graft.training.start import TrainingStart

# Standard deviation of the Gaussian that smooths the losses, as a fraction of all steps: 3 steps of 100.
SMOOTHING_FRACTION = 0.03
# The test ends when the mean of the last five losses is four times the smallest such mean, as in fast.ai.
DIVERGED_TIMES, LAST_LOSSES = 4.0, 5


@dataclass(frozen=True)
class RangeTest:
    """The outcome of a range test, one value for each step.

    Attributes:
        rates: Learning rates, rising.
        losses: Loss of the step at each rate; finite.
        smoothed: Losses without the noise of single batches.
        steepest: Rate at which the smoothed loss falls fastest over the logarithm of the rate.
        at_minimum: Rate at which the smoothed loss is smallest.
        has_diverged: Whether the test ended before its highest rate because the loss grew.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    smoothed: Sequence[float]
    steepest: float
    at_minimum: float
    has_diverged: bool

    @property
    def tenth_of_minimum(self) -> float:
        """A tenth of the rate at which the smoothed loss is smallest."""
        return self.at_minimum / 10

    @property
    def peak_of_one_cycle(self) -> float:
        """A third of the rate at which the smoothed loss is smallest.

        One cycle peaks near the highest rate that the test bears (Smith & Topin 2018, section 3), which it reaches for
        a moment only; at the minimum itself the test is about to diverge.
        """
        return self.at_minimum / 3


def find_rate(start: TrainingStart, *, lowest: float, highest: float, num_steps: int) -> RangeTest:
    """Trains on the views as fine-tune would, the rate rising from `lowest` to `highest` by the same ratio a step.

    Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3, with the exponential sweep and the
    rules of fast.ai (Gugger 2018, "How Do You Find A Good Learning Rate"). Strategy, optimizer, losses, sampling,
    mixing, clipping and accumulation are those of the params; schedule and warm-up make room for the sweep, and views
    are whole from the start. Nothing is written, the weights on disk included.

    Args:
        start: Data, params and the pretrained model.
        lowest: Rate of the first step.
        highest: Rate of the last step.
        num_steps: Most steps to take: the test ends early when the loss grows fourfold.

    Raises:
        GraftError: The range is no range, the loss never fell, or something cannot be used as in fine-tune.
    """
    if not 0 < lowest < highest or num_steps < 10:
        raise GraftError(
            f"rates from {lowest:g} to {highest:g} in {num_steps} steps are no range",
            rule="0 < lowest < highest, in at least 10 steps",
            remedy="graft find-rate --lowest 1e-6 --highest 1 --steps 100",
        )
    rates: list[float] = []
    losses: list[float] = []
    has_diverged = False
    steps = progress(_sweep(_training(start, lowest, highest, num_steps), num_steps), "Sweeping", total=num_steps)
    with closing(steps):
        for rate, loss in steps:
            if has_diverged := _diverges([*losses, loss]):
                break
            rates.append(rate)
            losses.append(loss)
    return _judge(rates, losses, num_steps, has_diverged)


def write_range_test(found: RangeTest, folder: Path, present_rate: float) -> None:
    """Writes `range_test.csv`, a row a step, and `range_test.png`, with the rate that params.yaml has at present."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "range_test.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("learning_rate", "loss", "smoothed_loss"))
        rows.writerows(zip(found.rates, found.losses, found.smoothed, strict=True))
    _draw(found, folder / "range_test.png", present_rate)


def _training(start: TrainingStart, lowest: float, highest: float, num_steps: int) -> Training:
    training = start.training(lowest)

    def rising(moment: Moment) -> float:
        return (highest / lowest) ** (moment.step / (num_steps - 1))

    return replace(training, plan=replace(training.plan, schedule=rising, warmup_epochs=0, sizes=()))


def _sweep(training: Training, num_steps: int) -> Generator[tuple[float, float], None, None]:
    """Yields the rate and the loss of each step, over as many epochs as it takes."""
    trainee = training.trainee
    while trainee.step < num_steps:
        with closing(epoch_steps(training)) as steps:
            for _ in steps:
                yield trainee.learning_rate, trainee.last_loss()
                if trainee.step == num_steps:
                    return
        trainee.next_epoch()


def _diverges(losses: Sequence[float]) -> bool:
    if not math.isfinite(losses[-1]):
        return True
    means: Sequence[float] | np.ndarray = (
        np.convolve(losses, np.full(LAST_LOSSES, 1 / LAST_LOSSES), "valid") if len(losses) >= LAST_LOSSES else []
    )
    return len(means) > 0 and means[-1] > DIVERGED_TIMES * min(means)


def _judge(rates: Sequence[float], losses: Sequence[float], num_steps: int, has_diverged: bool) -> RangeTest:
    from scipy.ndimage import gaussian_filter1d

    if len(losses) < 3:
        raise _no_fall(rates, losses, "the loss was not finite, or grew, from the start")
    smoothed = gaussian_filter1d(np.asarray(losses), SMOOTHING_FRACTION * num_steps, mode="nearest")
    lowest_at = int(smoothed.argmin())
    slopes = np.gradient(smoothed, np.log10(rates))[: lowest_at + 1]
    if lowest_at == 0 or slopes.min() >= 0:
        raise _no_fall(rates, losses, "the loss never fell")
    return RangeTest(
        rates=rates,
        losses=losses,
        smoothed=smoothed.tolist(),
        steepest=rates[int(slopes.argmin())],
        at_minimum=rates[lowest_at],
        has_diverged=has_diverged,
    )


def _no_fall(rates: Sequence[float], losses: Sequence[float], what: str) -> GraftError:
    last = f" (it ended at rate {rates[-1]:.1e} with loss {losses[-1]:.3g})" if rates else ""
    return GraftError(
        f"{what}{last}: no learning rate can be suggested",
        rule="the loss falls somewhere between the lowest and the highest rate",
        remedy="try a lower --lowest and a higher --highest, or more --steps",
    )


def _draw(found: RangeTest, path: Path, present_rate: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color="#b8c9c2", lw=1.0, label="loss of each step")
    axes.plot(found.rates, found.smoothed, color=MODEL_COLOURS["fine_tuned"], lw=2.2, label="smoothed")
    marks = {
        "steepest slope": (found.steepest, "#c8553d", "-"),
        "a tenth of the minimum": (found.tenth_of_minimum, "#3d6bc8", "-"),
        "params.yaml": (present_rate, "#777777", ":"),
    }
    for name, (rate, colour, style) in marks.items():
        axes.axvline(rate, color=colour, lw=1.4, ls=style, label=f"{name}: {rate:.1e}")
    axes.set_xscale("log")
    low, high = min(found.smoothed), max(found.smoothed[: len(found.smoothed) * 2 // 3 + 1])
    axes.set_ylim(low - 0.15 * (high - low), high + 0.4 * (high - low))
    axes.set_xlabel("learning rate")
    axes.set_title("Loss while the learning rate grows", loc="left", fontsize=11, fontweight="bold")
    axes.grid(axis="y", color="#dddddd", lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, metadata={"Software": None})
