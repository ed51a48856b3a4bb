"""What training changes, and so what a checkpoint holds: weights, optimizer, average, position, history, best epoch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from graft.foundation.errors import GraftError
from graft.training.ema import Ema
from graft.training.epoch_cost import EpochCost
from graft.training.freezing import rate_of
from graft.training.gradients import Gradients

if TYPE_CHECKING:
    from graft.models.model import Model


@dataclass(frozen=True)
class ValidationResult:
    """What a validation found.

    Attributes:
        loss: Mean over the images.
        score: A fraction of one; the larger the better.
        collapsed_to: The class all is predicted as, or None.
        confusion: int64 [K, K], rows truth, columns prediction; None where nobody counted.
    """

    loss: float
    score: float
    collapsed_to: int | None
    confusion: np.ndarray | None = None


@dataclass(frozen=True)
class EpochReport:
    """What an epoch came to.

    Attributes:
        epoch: From 1.
        step: Steps taken since the start of training.
        train_loss: Mean over the epoch's steps.
        val_loss: Mean over the val images.
        val_score: Mean IoU (segmentation) or accuracy (classification) on val, a fraction of one.
        learning_rate: Of the epoch's last step.
        is_best: Whether no epoch before scored as high.
        collapsed_to: The class that all of val is predicted as, None if it is not so.
        cost: What the epoch cost; never written to a declared output.
    """

    epoch: int
    step: int
    train_loss: float
    val_loss: float
    val_score: float
    learning_rate: float
    is_best: bool
    collapsed_to: int | None
    cost: EpochCost

    def curve(self) -> dict[str, float]:
        """The numbers that make curves, the same for the same inputs."""
        names = ("step", "train_loss", "val_loss", "val_score", "learning_rate")
        return {name: getattr(self, name) for name in names}


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch normalisation layers of a model."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


class Trainee:
    """A model in training.

    Attributes:
        model: The live weights.
        gradients: Of the step that is under way.
        learning_rate: Of the last step, before rate factors.
        epoch: Epochs finished.
        batch: Batches of the current epoch that steps were taken on.
        step: Steps taken in all.
        history: A report for each finished epoch.
        best: State of the best epoch so far (of the averaged weights where there is an average), on the CPU.
    """

    def __init__(
        self,
        model: Model,
        optimizer: torch.optim.Optimizer,
        ema_decay: float | None,
        precision: str = "float32",
    ) -> None:
        self.model, self.optimizer, self.gradients = model, optimizer, Gradients(optimizer, precision)
        self.ema = None if ema_decay is None else Ema(model, ema_decay)
        self._norms = [(norm, norm.momentum) for norm in batch_norms(model) if norm.momentum is not None]
        self.learning_rate = 0.0
        self.epoch = self.batch = self.step = 0
        self.history: list[EpochReport] = []
        self.best: dict[str, Tensor] = {}
        self._losses: list[float] = []
        self._unseen: list[Tensor] = []

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.gradients.parameters[0].device

    @property
    def judged(self) -> Model:
        """The model that is validated and kept: the average where there is one."""
        return self.model if self.ema is None else self.ema.model

    @property
    def best_report(self) -> EpochReport:
        """The report of the epoch whose weights are kept."""
        return [report for report in self.history if report.is_best][-1]

    def has_stalled(self, patience_epochs: int | None) -> bool:
        """Whether the best epoch lies `patience_epochs` back."""
        return bool(patience_epochs and self.history and self.epoch - self.best_report.epoch >= patience_epochs)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Sets the rate of every parameter group, each times its own `rate_factor` where it has one."""
        self.learning_rate = learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate_of(group, learning_rate)

    def set_normalisation(self, batch: int) -> None:
        """Lets running statistics be the plain mean of the first batches, and only then a moving average.

        They start at variance one where a fresh network's may be 1e-4: momentum 0.1 takes 90 steps to forget it, which
        a short training does not have (40 steps on four images: mean IoU 0.19 at a training loss of 0.3). `batch`
        counts all batches of the training, from 0.
        """
        for norm, momentum in self._norms:
            norm.momentum = max(momentum, 1 / (batch + 1))

    def take_step(self, clip_norm: float | None, clip_value: float | None) -> None:
        """Moves the weights along the gradients that are gathered."""
        self.batch += self.gradients.num_batches
        self._unseen.append(self.gradients.use(clip_norm, clip_value))
        if self.ema is not None:
            self.ema.update(self.model)
        self.step += 1

    def look_at_losses(self) -> None:
        """Takes in the losses since the last look.

        Raises:
            GraftError: One of them is not finite.
        """
        if not self._unseen:
            return
        for back, loss in enumerate(torch.stack(self._unseen).tolist()):
            if not math.isfinite(loss):
                raise self._not_finite("training loss", loss, self.step - len(self._unseen) + back + 1)
            self._losses.append(loss)
        self._unseen.clear()

    def last_loss(self) -> float:
        """The loss of the last step, whatever it is; what was kept of losses is forgotten."""
        loss = float(self._unseen[-1])
        self._unseen.clear()
        return loss

    def end_epoch(self, held: ValidationResult, cost: EpochCost) -> EpochReport:
        """Takes in the validation of an epoch; keeps its weights if they are the best.

        Raises:
            GraftError: The validation loss is not finite.
        """
        if not math.isfinite(held.loss):
            raise self._not_finite("validation loss", held.loss, self.step)
        is_best = all(held.score > report.val_score for report in self.history)
        if is_best:
            self.best = {
                name: tensor.detach().to("cpu", copy=True) for name, tensor in self.judged.state_dict().items()
            }
        train_loss = math.fsum(self._losses) / len(self._losses)
        report = EpochReport(
            epoch=self.epoch + 1,
            step=self.step,
            train_loss=train_loss,
            val_loss=held.loss,
            val_score=held.score,
            learning_rate=self.learning_rate,
            is_best=is_best,
            collapsed_to=held.collapsed_to,
            cost=cost,
        )
        self.history.append(report)
        self.next_epoch()
        return report

    def next_epoch(self) -> None:
        """Goes on to the first batch of the next epoch."""
        self.epoch, self.batch, self._losses = self.epoch + 1, 0, []

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs, as tensors, numbers, lists and dicts."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.gradients.scaler.state_dict(),
            "learning_rate": self.learning_rate,
            "ema": None if self.ema is None else self.ema.model.state_dict(),
            "num_ema_updates": 0 if self.ema is None else self.ema.num_updates,
            "position": [self.epoch, self.batch, self.step],
            "losses": list(self._losses),
            "history": [asdict(report) for report in self.history],
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes back to a `state`, bit for bit."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.gradients.scaler.load_state_dict(state["scaler"])
        self.learning_rate = state["learning_rate"]
        if self.ema is not None:
            self.ema.model.load_state_dict(state["ema"])
            self.ema.num_updates = state["num_ema_updates"]
        self.epoch, self.batch, self.step = state["position"]
        self._losses = list(state["losses"])
        self.history = [EpochReport(**report | {"cost": EpochCost(**report["cost"])}) for report in state["history"]]
        self.best = state["best"]

    def _not_finite(self, what: str, value: float, step: int) -> GraftError:
        return GraftError(
            f"the {what} is {value} in epoch {self.epoch + 1} at step {step}",
            rule="training goes on only while the loss is a finite number",
            remedy="lower fine_tune.learning_rate, set fine_tune.clip_norm: 1.0, lengthen fine_tune.warmup_epochs, or "
            "use runtime.precision: float32",
        )
