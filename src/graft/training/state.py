"""The state of a training, which a checkpoint holds: weights, optimizer, average, position, history, best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from graft.foundation.errors import GraftError
from graft.models.widths import narrow
from graft.training.average import Average
from graft.training.epoch_cost import EpochCost
from graft.training.freezing import rate_of
from graft.training.gradients import Gradients

if TYPE_CHECKING:
    from graft.models.model import Model


@dataclass(frozen=True)
class ValidationResult:
    """The result of a validation.

    Attributes:
        loss: Mean loss of the images.
        score: Score of the model, a fraction of one; larger is better.
        collapsed_to: Class that nearly everything is predicted as, or None.
        confusion: int64 [K, K], rows truth, columns prediction; None if it was not counted.
        thresholds: Threshold of each class, where an image may have several labels.
    """

    loss: float
    score: float
    collapsed_to: int | None
    confusion: np.ndarray | None = None
    thresholds: tuple[float, ...] = ()


@dataclass(frozen=True)
class EpochReport:
    """The result of an epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        step: Number of steps taken since the start of training.
        train_loss: Mean loss of the epoch's steps.
        val_loss: Mean loss of the val images; None where they were not scored.
        val_score: Score on val, a fraction of one; None likewise. It is the mean IoU (segmentation), accuracy
            (classification) or mean average precision (multilabel).
        learning_rate: Learning rate of the epoch's last step.
        is_best: Whether no epoch before was worth as much.
        collapsed_to: Class that nearly all of val is predicted as, or None.
        cost: Time, speed and memory; never written to a declared output.
        measures: Numbers that the strategy measured, by name.
        worth: Worth of the epoch to the strategy, the val score to most; None where val was not scored.
    """

    epoch: int
    step: int
    train_loss: float
    val_loss: float | None
    val_score: float | None
    learning_rate: float
    is_best: bool
    collapsed_to: int | None
    cost: EpochCost
    measures: dict[str, float] = field(default_factory=dict)
    worth: float | None = None

    def curve(self) -> dict[str, float]:
        """The numbers that make curves, the same for the same inputs; val has none where it was not scored."""
        names = ("step", "train_loss", "val_loss", "val_score", "learning_rate")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None} | self.measures


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch normalisation layers of a model."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


class Trainee:
    """A model in training.

    Attributes:
        model: Model with the current weights.
        gradients: Gradients of the step in progress.
        average: Average of the weights, or None.
        learning_rate: Learning rate of the last step, before rate factors.
        epoch: Number of finished epochs.
        batch: Number of batches of the current epoch that steps were taken on.
        step: Number of steps taken in all.
        averaged_from: Number of steps after which the average began.
        history: Reports of the finished epochs.
        best: State of the best epoch so far (of the averaged weights where there is an average), on the CPU.
    """

    def __init__(
        self, model: Model, optimizer: torch.optim.Optimizer, average: Average | None = None, precision: str = "float32"
    ) -> None:
        self.model, self.optimizer, self.gradients = model, optimizer, Gradients(optimizer, precision)
        self.average = average
        self._norms = [(norm, norm.momentum) for norm in batch_norms(model) if norm.momentum is not None]
        self.learning_rate = 0.0
        self.epoch = self.batch = self.step = self.averaged_from = 0
        self.history: list[EpochReport] = []
        self.best: dict[str, Tensor] = {}
        self._losses: list[float] = []
        self._unseen: list[Tensor] = []

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.gradients.parameters[0].device

    @property
    def judged(self) -> Model:
        """Model that is validated and kept: the average if there is one."""
        return self.model if self.average is None else self.average.model

    @property
    def best_report(self) -> EpochReport:
        """Report of the epoch whose weights are kept."""
        return [report for report in self.history if report.is_best][-1]

    def has_stalled(self, patience_epochs: int | None) -> bool:
        """Whether the best epoch lies at least `patience_epochs` back; only a validation can tell."""
        is_known = bool(self.history) and self.history[-1].val_score is not None
        return bool(patience_epochs and is_known and self.epoch - self.best_report.epoch >= patience_epochs)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Sets the rate of every parameter group, each times its own `rate_factor` where it has one."""
        self.learning_rate = learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate_of(group, learning_rate)

    def set_normalisation(self, batch: int) -> None:
        """Makes running statistics the plain mean of the first batches, and a moving average after that.

        They start at variance one where a fresh network's may be 1e-4: with momentum 0.1 it takes 90 steps to forget
        it, which a short training does not have (40 steps on four images: mean IoU 0.19 at a training loss of 0.3).
        `batch` counts all batches of the training, from 0.
        """
        for norm, momentum in self._norms:
            norm.momentum = max(momentum, 1 / (batch + 1))

    def take_step(self, clip_norm: float | None, clip_value: float | None, num_steps: int) -> None:
        """Moves the weights along the gathered gradients, and the average with them.

        Args:
            clip_norm: Largest norm of the gradients, or None.
            clip_value: Largest absolute value of a gradient, or None.
            num_steps: Number of steps of the whole training, which an average goes by.
        """
        self.batch += self.gradients.num_batches
        self._unseen.append(self.gradients.use(clip_norm, clip_value))
        if self.average is not None:
            self.average.update(self.model, self.step - self.averaged_from, num_steps - self.averaged_from)
        self.step += 1

    def reshape(self, change: Callable[[Model], object]) -> None:
        """Lets `change` put other parameters of the same names into the model; momenta, average and best begin anew."""
        before = dict(self.model.named_parameters())
        change(self.model)
        after = dict(self.model.named_parameters())
        successors = {id(parameter): after[name] for name, parameter in before.items()}
        for group in self.optimizer.param_groups:
            group["params"] = [successors.get(id(parameter), parameter) for parameter in group["params"]]
        self.optimizer.state.clear()
        self.gradients.parameters = [tensor for group in self.optimizer.param_groups for tensor in group["params"]]
        if self.average is not None:
            self.average, self.averaged_from = Average(self.model, self.average.share), self.step
        self.best = {}

    def look_at_losses(self) -> None:
        """Reads the losses since the last call from the device.

        Raises:
            GraftError: A loss is not finite.
        """
        if not self._unseen:
            return
        for back, loss in enumerate(torch.stack(self._unseen).tolist()):
            if not math.isfinite(loss):
                raise self._not_finite("training loss", loss, self.step - len(self._unseen) + back + 1)
            self._losses.append(loss)
        self._unseen.clear()

    def last_loss(self) -> float:
        """The loss of the last step, finite or not; the losses kept so far are dropped."""
        loss = float(self._unseen[-1])
        self._unseen.clear()
        return loss

    def end_epoch(
        self,
        held: ValidationResult | None,
        cost: EpochCost,
        measures: dict[str, float] | None = None,
        worth: float | None = None,
    ) -> EpochReport:
        """Ends an epoch with its validation, if there was one, and keeps its weights if they are the best so far.

        They are where the epoch is worth more than any before; without a `worth`, by the val score.

        Raises:
            GraftError: The validation loss is not finite.
        """
        if held is not None and not math.isfinite(held.loss):
            raise self._not_finite("validation loss", held.loss, self.step)
        if held is not None and worth is None:
            worth = held.score
        is_best = worth is not None and all(worth > before.worth for before in self.history if before.worth is not None)
        if is_best:
            self.best = {
                name: tensor.detach().to("cpu", copy=True) for name, tensor in self.judged.state_dict().items()
            }
        train_loss = math.fsum(self._losses) / len(self._losses)
        val_loss, val_score, collapsed_to = (held.loss, held.score, held.collapsed_to) if held else (None, None, None)
        report = EpochReport(
            epoch=self.epoch + 1,
            step=self.step,
            train_loss=train_loss,
            val_loss=val_loss,
            val_score=val_score,
            learning_rate=self.learning_rate,
            is_best=is_best,
            collapsed_to=collapsed_to,
            cost=cost,
            measures=measures or {},
            worth=worth,
        )
        self.history.append(report)
        self.next_epoch()
        return report

    def return_to_best(self) -> EpochReport | None:
        """Goes back to the weights of the best epoch, if the last is not it, and forgets the momenta.

        Returns:
            Report of that epoch; None where the last is the best, or none was validated.
        """
        if not self.best or self.history[-1].is_best:
            return None
        for model in {self.model, self.judged}:
            model.load_state_dict(self.best)
        self.optimizer.state.clear()
        return self.best_report

    def next_epoch(self) -> None:
        """Moves the position to the first batch of the next epoch."""
        self.epoch, self.batch, self._losses = self.epoch + 1, 0, []

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs, as tensors, numbers, lists and dicts."""
        return {
            "model": self.model.state_dict(),
            "widths": self.model.widths,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.gradients.scaler.state_dict(),
            "learning_rate": self.learning_rate,
            "average": None if self.average is None else self.average.state(),
            "position": [self.epoch, self.batch, self.step],
            "averaged_from": self.averaged_from,
            "losses": list(self._losses),
            "history": [asdict(report) for report in self.history],
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`, bit for bit."""
        if (widths := state.get("widths", {})) != self.model.widths:
            self.reshape(lambda model: narrow(model, widths))
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.gradients.scaler.load_state_dict(state["scaler"])
        self.learning_rate = state["learning_rate"]
        if self.average is not None:
            self.average.restore(state["average"])
        self.epoch, self.batch, self.step = state["position"]
        self.averaged_from = state.get("averaged_from", 0)
        self._losses = list(state["losses"])
        self.history = [
            EpochReport(**{"worth": report["val_score"], **report, "cost": EpochCost(**report["cost"])})
            for report in state["history"]
        ]
        self.best = state["best"]

    def _not_finite(self, what: str, value: float, step: int) -> GraftError:
        return GraftError(
            f"the {what} is {value} in epoch {self.epoch + 1} at step {step}",
            rule="training goes on only while the loss is a finite number",
            remedy="lower fine_tune.learning_rate, set fine_tune.clip_norm: 1.0, lengthen fine_tune.warmup_epochs, or "
            "use runtime.precision: float32",
        )
