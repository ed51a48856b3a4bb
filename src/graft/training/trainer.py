"""One training from start to end: it resumes from a checkpoint, reports each epoch, and ends in an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from graft.foundation.progress import say, start_ticker, warn
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import Model
from graft.training.assembly import Assembly
from graft.training.checkpoint import Checkpoint
from graft.training.freezing import frozen_table, group_table
from graft.training.loop import Strategy, Training, fit
from graft.training.outcome import SCORE_NAMES, TrainingOutcome
from graft.training.state import EpochReport, ValidationResult
from graft.training.validation import Validation, collapse_warning

if TYPE_CHECKING:
    import numpy as np

# Settings of `fine_tune` that `summary.json` repeats as they are.
SETTINGS = (
    "batch_size",
    "sizes",
    "validate_every_epochs",
    "warmup",
    "warmup_epochs",
    "accumulate_steps",
    "clip_norm",
    "clip_value",
)


@dataclass(frozen=True)
class Trainer:
    """Runs the trainings of a stage, which share views, val images, order, steps and normalisation.

    Attributes:
        assembly: The parts of a training.
        validation: The val images.
        resume: Folder of the checkpoints; None keeps none.
        listen: Called with the name of the run and the report of each epoch; None where nobody listens.
    """

    assembly: Assembly
    validation: Validation
    resume: Path | None = None
    listen: Callable[[str, EpochReport], None] | None = None

    def run(self, name: str, model: Model, strategy: Strategy, learning_rate: float) -> TrainingOutcome:
        """Trains `model`, from the checkpoint in the folder `resume` on if there is one.

        Raises:
            GraftError: An option cannot be used, the device is not there, or a loss is not finite.
        """
        training = self.assembly.training(model, strategy, learning_rate)
        identity = f"{name} {self.assembly.seed} {self.assembly.params}"
        checkpoint = Checkpoint(self.resume and self.resume / f"{name}.checkpoint", identity)
        if (state := checkpoint.read()) is not None:
            training.restore(state)
            say(f"{name}: going on after epoch {training.trainee.epoch}, step {training.trainee.step}")
        for report in self._reports(name, training, checkpoint):
            self._tell(name, report)
            if self.listen is not None:
                self.listen(name, report)
        outcome = self._outcome(training)
        if facts := outcome.compile_cost:
            say(f"{name}: runtime.compile: {', '.join(f'{fact} {value:.1f}' for fact, value in facts.items())}")
        return outcome

    def _reports(self, name: str, training: Training, checkpoint: Checkpoint) -> Iterator[EpochReport]:
        trainee, plan, num_samples = training.trainee, training.plan, self.assembly.views.num_samples
        epochs = range(trainee.epoch, plan.epochs)
        total = sum(num_samples + plan.validates(epoch) * len(self.validation) for epoch in epochs)
        total -= trainee.batch * plan.batch_size
        tick = start_ticker(f"Training {name.replace('_', ' ')}", total)
        yield from fit(training, partial(self._validate, tick=tick), checkpoint, tick)
        tick(total)

    def _validate(self, model: torch.nn.Module, tick: Callable[[int], None]) -> ValidationResult:
        runtime = self.assembly.runtime
        runner = torch_runner(
            model,
            self.assembly.spec,
            device=next(model.parameters()).device,
            precision=runtime.precision,
            channels_last=runtime.channels_last,
        )
        return self.validation.score(runner, tick)

    def _tell(self, name: str, report: EpochReport) -> None:
        val = ""
        if report.val_score is not None:
            score = f"val {SCORE_NAMES[self.assembly.spec.task]} {report.val_score:.3f}"
            val = f", val loss {report.val_loss:.3f}, {score}{' (best so far)' if report.is_best else ''}"
        epoch = f"{name} epoch {report.epoch}/{self.assembly.params.epochs}"
        say(f"{epoch}: loss {report.train_loss:.3f}{val}, {report.cost.seconds:.1f} s")

    def _finish(self, training: Training) -> tuple[dict[str, Tensor], EpochReport]:
        """Lets the strategy finish the best weights; returns them and their report, scored again if they changed."""
        trainee, model = training.trainee, training.trainee.model
        best = trainee.best_report
        model.load_state_dict(trainee.best)
        training.strategy.finish(model, self.assembly.views, self.assembly.forward(model), training.plan)
        state = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
        if any(not torch.equal(tensor, trainee.best[name]) for name, tensor in state.items()):
            held = self._validate(model, lambda _: None)
            best = replace(best, val_loss=held.loss, val_score=held.score, collapsed_to=held.collapsed_to)
        return state, best

    def _outcome(self, training: Training) -> TrainingOutcome:
        trainee = training.trainee
        state, best = self._finish(training)
        collapsed = None if best.collapsed_to is None else self.assembly.spec.class_names[best.collapsed_to]
        if collapsed is not None:
            held = self._validate(trainee.model, lambda _: None)
            warn(collapse_warning(cast("np.ndarray", held.confusion), self.assembly.spec.class_names))
        summary = {
            "best": {"epoch": best.epoch, **best.curve()},
            "collapsed_to": collapsed,
            "epochs": trainee.epoch,
            "stopped_early": trainee.epoch < training.plan.epochs,
            "steps": trainee.step,
            **training.strategy.facts(),
            **self._recipe(training),
        }
        widths, thresholds = trainee.model.widths, self._thresholds(trainee.model)
        return TrainingOutcome(state, trainee.history, best, summary, training.compile_facts(), widths, thresholds)

    def _thresholds(self, model: torch.nn.Module) -> tuple[float, ...]:
        """The thresholds of the finished weights, chosen on val where an image may have several labels."""
        if self.assembly.spec.task != "multilabel":
            return ()
        return self._validate(model, lambda _: None).thresholds

    def _recipe(self, training: Training) -> dict[str, Any]:
        """The settings of the training, defaults included, for `summary.json`."""
        assembly, params, plan = self.assembly, self.assembly.params, training.plan
        groups = training.trainee.optimizer.param_groups
        table, frozen = group_table(groups, plan.learning_rate), frozen_table(training.trainee.model, groups)
        choices = {
            "optimizer": assembly.optimizer(),
            "schedule": assembly.schedule(),
            "averaging": assembly.averaging(),
            "sampling": assembly.sampling(),
            "mixing": assembly.mixing(),
        }
        return {
            **{key: choice.as_dict() for key, choice in choices.items()},
            **{key: getattr(params, key) for key in SETTINGS},
            "learning_rate": plan.learning_rate,
            "parameter_groups": table,
            "frozen_parameters": frozen,
            "num_trained_parameters": sum(row["num_parameters"] for row in table),
            "num_frozen_parameters": sum(row["num_parameters"] for row in frozen),
        }
