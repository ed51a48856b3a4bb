"""One training from start to end: what it is made of, where it resumes, what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graft.checkpoints import ModelSpec
from graft.choices import Choice, resolve
from graft.datasets.views import Views
from graft.freezing import group_table
from graft.held_out import HeldOut
from graft.models import Model
from graft.optimizers import OPTIMIZERS
from graft.outcomes import SCORE_NAMES, Outcome
from graft.predicting_torch import normalisation, torch_runner
from graft.progress import progress, say
from graft.resuming import Checkpoint
from graft.runtimes import use_runtime
from graft.schedules import SCHEDULES
from graft.trainee import EpochReport, Trainee
from graft.training import Forward, Plan, Strategy, fit

if TYPE_CHECKING:
    from graft.params import FineTune, Runtime


@dataclass(frozen=True)
class Fitting:
    """What the runs of a stage share: the same views, val rows, order, steps and normalisation."""

    seed: int
    params: FineTune
    runtime: Runtime
    views: Views
    held_out: HeldOut
    spec: ModelSpec
    resume: Path | None = None
    listen: Callable[[str, EpochReport], None] | None = None

    def run(self, name: str, model: Model, strategy: Strategy, learning_rate: float) -> Outcome:
        """Trains `model`; goes on from a checkpoint in the folder `resume` where there is one.

        Raises:
            GraftError: An option cannot be used, the device is not there, or a loss is not finite.
        """
        device = use_runtime(self.runtime)
        layout = torch.channels_last if self.runtime.channels_last else torch.contiguous_format
        model.to(device, memory_format=layout)
        groups = strategy.parameter_groups(model)
        optimizer = resolve(OPTIMIZERS, self.params.optimizer, where="fine_tune.optimizer")
        trainee = Trainee(model, optimizer(groups, learning_rate), self.params.ema_decay)
        checkpoint = Checkpoint(self.resume and self.resume / f"{name}.checkpoint", f"{name} {self.seed} {self.params}")
        if (state := checkpoint.read()) is not None:
            trainee.restore(state)
            say(f"{name}: going on after epoch {trainee.epoch}, step {trainee.step}")
        table = [
            {**row, "weight_decay": group["weight_decay"]}
            for row, group in zip(group_table(groups), trainee.optimizer.param_groups, strict=True)
        ]
        for report in self._reports(name, trainee, strategy, learning_rate, checkpoint):
            self._tell(name, report)
            if self.listen is not None:
                self.listen(name, report)
        return self._outcome(trainee, table, learning_rate, optimizer)

    def _reports(
        self, name: str, trainee: Trainee, strategy: Strategy, learning_rate: float, checkpoint: Checkpoint
    ) -> Iterator[EpochReport]:
        scale, shift = (
            tensor.to(trainee.parameters[0].device) for tensor in normalisation(self.spec.mean, self.spec.std)
        )
        forward = Forward(trainee.model, (scale, shift), self.runtime.precision, self.runtime.channels_last)
        as_runner = partial(
            torch_runner,
            spec=self.spec,
            device=scale.device,
            precision=self.runtime.precision,
            channels_last=self.runtime.channels_last,
        )
        seen = trainee.epoch * (self.views.num_samples + len(self.held_out)) + trainee.batch * self.params.batch_size
        total = self.params.epochs * (self.views.num_samples + len(self.held_out)) - seen
        tick = ticker(f"Training {name.replace('_', ' ')}", total)
        plan = self._plan(learning_rate)
        yield from fit(
            trainee,
            plan,
            self.views,
            strategy,
            forward,
            lambda model: self.held_out.score(as_runner(model), tick),
            checkpoint,
            tick,
        )
        tick(total)

    def _plan(self, learning_rate: float) -> Plan:
        return Plan(
            seed=self.seed,
            epochs=self.params.epochs,
            batch_size=self.params.batch_size,
            learning_rate=learning_rate,
            schedule=resolve(SCHEDULES, self.params.schedule, where="fine_tune.schedule"),
            warmup_epochs=self.params.warmup_epochs,
            clip_norm=self.params.clip_norm,
            early_stopping_epochs=self.params.early_stopping_epochs,
        )

    def _tell(self, name: str, report: EpochReport) -> None:
        say(
            f"{name} epoch {report.epoch}/{self.params.epochs}: loss {report.train_loss:.3f}, val loss "
            f"{report.val_loss:.3f}, val {SCORE_NAMES[self.spec.task]} {report.val_score:.3f}"
            f"{' (best so far)' if report.is_best else ''}, {report.seconds:.1f} s"
        )

    def _outcome(
        self, trainee: Trainee, table: list[dict[str, Any]], learning_rate: float, optimizer: Choice
    ) -> Outcome:
        best = trainee.best_report
        collapsed = None if best.collapsed_to is None else self.spec.class_names[best.collapsed_to]
        if collapsed is not None:
            say(
                f"graft: warning: the model predicts {collapsed} for all of val: it has collapsed to one class. Lower "
                "fine_tune.learning_rate, train longer, or set fine_tune.class_weights: median_frequency."
            )
        kept = {key: value for key, value in asdict(best).items() if key not in ("seconds", "is_best", "collapsed_to")}
        summary = {
            "best": kept,
            "collapsed_to": collapsed,
            "epochs": trainee.epoch,
            "stopped_early": trainee.epoch < self.params.epochs,
            "steps": trainee.step,
            "learning_rate": learning_rate,
            "optimizer": optimizer.as_dict(),
            "schedule": resolve(SCHEDULES, self.params.schedule, where="fine_tune.schedule").as_dict(),
            "parameter_groups": table,
            "num_trained_parameters": sum(row["num_parameters"] for row in table),
            "num_frozen_parameters": sum(p.numel() for p in trainee.model.parameters() if not p.requires_grad),
        }
        return Outcome(trainee.best, trainee.history, best, summary)


def ticker(doing: str, total: int) -> Callable[[int], None]:
    """A progress bar over images that is moved by hand: the returned function takes how many have been done."""
    bar = progress(range(total), doing, unit="image")
    next(bar, None)

    def tick(number: int) -> None:
        for _ in range(number):
            if next(bar, None) is None:
                break

    return tick
