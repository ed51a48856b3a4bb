"""One training from start to end: where it resumes, what it says, what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from graft.foundation.progress import progress, say, warn
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import Model
from graft.training.assembly import Bench
from graft.training.checkpoint import Checkpoint
from graft.training.freezing import frozen_table, group_table
from graft.training.loop import Strategy, Training, fit
from graft.training.outcome import SCORE_NAMES, Outcome
from graft.training.state import EpochReport, Held, Trainee
from graft.training.validation import HeldOut, collapse_warning

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Fitting:
    """What the runs of a stage share: the same views, val rows, order, steps and normalisation."""

    bench: Bench
    held_out: HeldOut
    resume: Path | None = None
    listen: Callable[[str, EpochReport], None] | None = None

    def run(self, name: str, model: Model, strategy: Strategy, learning_rate: float) -> Outcome:
        """Trains `model`; goes on from a checkpoint in the folder `resume` where there is one.

        Raises:
            GraftError: An option cannot be used, the device is not there, or a loss is not finite.
        """
        training = self.bench.training(model, strategy, learning_rate)
        identity = f"{name} {self.bench.seed} {self.bench.params}"
        checkpoint = Checkpoint(self.resume and self.resume / f"{name}.checkpoint", identity)
        if (state := checkpoint.read()) is not None:
            training.trainee.restore(state)
            say(f"{name}: going on after epoch {training.trainee.epoch}, step {training.trainee.step}")
        for report in self._reports(name, training, checkpoint):
            self._tell(name, report)
            if self.listen is not None:
                self.listen(name, report)
        outcome = self._outcome(training)
        if facts := outcome.measured:
            say(f"{name}: runtime.compile: {', '.join(f'{fact} {value:.1f}' for fact, value in facts.items())}")
        return outcome

    def _reports(self, name: str, training: Training, checkpoint: Checkpoint) -> Iterator[EpochReport]:
        trainee, num_samples, params = training.trainee, self.bench.views.num_samples, self.bench.params
        seen = trainee.epoch * (num_samples + len(self.held_out)) + trainee.batch * params.batch_size
        total = params.epochs * (num_samples + len(self.held_out)) - seen
        tick = ticker(f"Training {name.replace('_', ' ')}", total)
        yield from fit(training, partial(self._validate, tick=tick), checkpoint, tick)
        tick(total)

    def _validate(self, model: torch.nn.Module, tick: Callable[[int], None]) -> Held:
        runtime = self.bench.runtime
        runner = torch_runner(
            model,
            self.bench.spec,
            device=next(model.parameters()).device,
            precision=runtime.precision,
            channels_last=runtime.channels_last,
        )
        return self.held_out.score(runner, tick)

    def _tell(self, name: str, report: EpochReport) -> None:
        say(
            f"{name} epoch {report.epoch}/{self.bench.params.epochs}: loss {report.train_loss:.3f}, val loss "
            f"{report.val_loss:.3f}, val {SCORE_NAMES[self.bench.spec.task]} {report.val_score:.3f}"
            f"{' (best so far)' if report.is_best else ''}, {report.seconds:.1f} s"
        )

    def _finished(self, training: Training) -> tuple[dict[str, Tensor], EpochReport]:
        """The best weights after the strategy's last word on them, and their report, scored anew if they moved."""
        trainee, model = training.trainee, training.trainee.model
        best = trainee.best_report
        model.load_state_dict(trainee.best)
        training.strategy.finish(model, self.bench.views, self.bench.forward(model), training.plan)
        state = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
        if any(not torch.equal(tensor, trainee.best[name]) for name, tensor in state.items()):
            held = self._validate(model, lambda _: None)
            best = replace(best, val_loss=held.loss, val_score=held.score, collapsed_to=held.collapsed_to)
        return state, best

    def _outcome(self, training: Training) -> Outcome:
        trainee = training.trainee
        state, best = self._finished(training)
        collapsed = None if best.collapsed_to is None else self.bench.spec.class_names[best.collapsed_to]
        if collapsed is not None:
            held = self._validate(trainee.model, lambda _: None)
            warn(collapse_warning(cast("np.ndarray", held.confusion), self.bench.spec.class_names))
        kept = {key: value for key, value in asdict(best).items() if key not in ("seconds", "is_best", "collapsed_to")}
        summary = {
            "best": kept,
            "collapsed_to": collapsed,
            "epochs": trainee.epoch,
            "stopped_early": trainee.epoch < training.plan.epochs,
            "steps": trainee.step,
            **self._made_of(training),
        }
        return Outcome(state, trainee.history, best, summary, training.compile_facts())

    def _made_of(self, training: Training) -> dict[str, Any]:
        """How it was trained, nothing left to a default."""
        bench, params, plan = self.bench, self.bench.params, training.plan
        table = table_of(training.trainee, plan.learning_rate)
        frozen = frozen_table(training.trainee.model, training.trainee.optimizer.param_groups)
        choices = {
            "optimizer": bench.optimizer(),
            "schedule": bench.schedule(),
            "sampling": bench.sampling(),
            "mixing": bench.mixing(),
        }
        plain = ("batch_size", "warmup", "warmup_epochs", "accumulate_steps", "clip_norm", "clip_value", "ema_decay")
        return {
            **{key: choice.as_dict() for key, choice in choices.items()},
            **{key: getattr(params, key) for key in plain},
            "learning_rate": plan.learning_rate,
            "parameter_groups": table,
            "frozen_parameters": frozen,
            "num_trained_parameters": sum(row["num_parameters"] for row in table),
            "num_frozen_parameters": sum(row["num_parameters"] for row in frozen),
        }


def table_of(trainee: Trainee, learning_rate: float) -> list[dict[str, Any]]:
    """A row for each parameter group: its size, its learning rate before the schedule, its weight decay."""
    groups = trainee.optimizer.param_groups
    return [
        {
            **row,
            "learning_rate": learning_rate * group.get("rate_factor", 1.0),
            "weight_decay": group["weight_decay"],
        }
        for row, group in zip(group_table(groups), groups, strict=True)
    ]


def ticker(doing: str, total: int) -> Callable[[int], None]:
    """A progress bar over images that is moved by hand: the returned function takes how many have been done."""
    bar = progress(range(total), doing, unit="image")
    next(bar, None)

    def tick(number: int) -> None:
        for _ in range(number):
            if next(bar, None) is None:
                break

    return tick
