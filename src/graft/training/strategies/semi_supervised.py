"""Supervised training that learns from unlabelled images too, by what a teacher answers to them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from graft.data.views.view import BatchSource, Views
from graft.foundation.class_map import ignored_target
from graft.foundation.content import content_seed
from graft.foundation.errors import GraftError
from graft.foundation.progress import warn
from graft.models.architectures import Model, WithAuxiliary
from graft.training.context import TrainingContext
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.losses.pixelwise import true_class_losses
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.state import EpochReport, Trainee, batch_norms
from graft.training.strategies.collapse import CollapseWatch
from graft.training.strategies.parent import logits_of
from graft.training.strategies.shared_options import completed
from graft.training.strategies.strong_views import paste_boxes
from graft.training.strategies.supervised import Supervised
from graft.training.strategies.unlabelled_batches import UnlabelledBatch, UnlabelledBatches
from graft.training.strong_colours import change_colours

WHERE = "fine_tune.strategy"
TAUGHT_BY_AVERAGE = ("mean_teacher",)
MOST_ANSWERS = 3  # to a collapse; the next one ends learning without labels
UnlabelledWeight = Annotated[float, Field(ge=0)]
Threshold = Annotated[float, Field(ge=0, lt=1)]
PerLabelled = Annotated[int, Field(ge=1)]
RampUp = Annotated[int, Field(ge=0)]


class SemiSupervised(Supervised):
    """Adds to the loss of the labels that of unlabelled images, times a weight.

    The teacher is the average of the weights where `fine_tune.averaging` keeps one, else the model itself as it stands,
    in evaluation mode. The student sees unlabelled images in training mode, but they move no running statistics: these
    stay those of images as val and test have them.

    Args:
        name: Name of the strategy.
        loss: Loss of the labels.
        weight: Factor of the loss of unlabelled images; 0 leaves them out, and the teacher is not asked.
        threshold: Least probability of a pseudo-label.
        per_labelled: Number of unlabelled images beside each labelled one.
        movement: Options of `supervised` on movement.
    """

    def __init__(
        self,
        name: str,
        loss: WeightedSum,
        weight: float,
        threshold: float,
        per_labelled: int,
        movement: dict[str, Any],
    ) -> None:
        super().__init__(loss, completed(movement))
        self.name, self.weight, self.threshold, self.per_labelled = name, weight, threshold, per_labelled
        self.looks_at_unlabelled = self.uses_unlabelled = weight > 0
        self.num_answers = 0

    @abstractmethod
    def unlabelled_loss(self, weak: UnlabelledBatch, images: Any, targets: Tensor | MixedTargets) -> Tensor:
        """The loss of a batch of unlabelled images, a scalar.

        Args:
            weak: The unlabelled images.
            images: The labelled ones of the same step, as they were learnt from.
            targets: Their targets.
        """

    def factor(self) -> float:
        """The factor of the loss of unlabelled images at this step."""
        return self.weight

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Refuses to begin without unlabelled images, or with an average that cannot teach."""
        super().begin(model, context)
        self.context = context
        if not self.looks_at_unlabelled:
            return
        if context.unlabelled is None:
            raise no_unlabelled_views(self.name)
        if problem := unfit_teacher(self.name, context.averaging):
            raise problem

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Gives the unlabelled images an order and a forward pass of their own."""
        if self.looks_at_unlabelled:
            assert isinstance(views, Views)
            device, counts = forward.scale.device, views.class_counts.sum(axis=0)
            batch_size = self.per_labelled * self.context.batch_size
            assert self.context.unlabelled is not None
            self.batches = UnlabelledBatches(self.context.unlabelled, self.context.seed, batch_size, device)
            largest = float(counts.max()) / max(float(counts.sum()), 1.0)
            self.watch = CollapseWatch(self.context.class_names, largest, device)
            self.student, self.ignored = forward.of(model), ignored_target(len(self.context.class_names))
        return super().prepare(model, views, forward)

    def begin_batch(self, trainee: Trainee, batch: int) -> None:
        """Takes note of the teacher and of the batch, by whose number all that is random is seeded."""
        self.trainee, self.batch = trainee, batch

    def step(
        self, forward: Callable[[Any], Tensor | WithAuxiliary], images: Any, targets: Tensor | MixedTargets
    ) -> dict[str, Tensor]:
        """`loss`, and as a part of it `unlabelled`."""
        if not self.reads_unlabelled():
            return self.in_all(self.loss(forward(images), targets))
        height, width = images.shape[-2:]
        weak = self.batches.take(self.batch, (height, width))
        images = self.labelled_images(images, weak)
        loss = self.loss(forward(images), targets)
        return self.in_all(loss, unlabelled=self.factor() * self.unlabelled_loss(weak, images, targets))

    def reads_unlabelled(self) -> bool:
        """Whether this step has a use for unlabelled images."""
        return self.uses_unlabelled

    def labelled_images(self, images: Any, weak: UnlabelledBatch) -> Any:
        """Labelled images as they are learnt from, beside these unlabelled ones."""
        return images

    @torch.no_grad()
    def teach(self, images: Tensor) -> Tensor:
        """The teacher's probabilities [B, K, …], in evaluation mode."""
        teacher = self.trainee.judged
        was_training = teacher.training
        teacher.eval()
        logits = logits_of(self.student.of(teacher)(images))
        if was_training:
            teacher.train()
        return logits.softmax(1)

    def learn(self, images: Tensor) -> Tensor:
        """The student's logits [B, K, …], in training mode."""
        with resting_statistics(self.trainee.model):
            return logits_of(self.student(images))

    def pseudo_labels(self, weak: UnlabelledBatch) -> Tensor:
        """Targets [B, …]: the class that is likeliest to the teacher where it is sure enough; ignored elsewhere."""
        confidence, labels = self.teach(weak.images).max(1)
        accepted = (confidence >= self.least_confidence(labels)) & weak.inside
        self.watch.count(labels, accepted, weak.inside)
        return torch.where(accepted, labels, self.ignored)

    def least_confidence(self, labels: Tensor) -> float | Tensor:
        """The least probability at which each of these labels is accepted."""
        return self.threshold

    def strong_view(self, images: Tensor, targets: Tensor, number: int = 0) -> tuple[Tensor, Tensor]:
        """Strong view number `number` of a batch, with its targets: for masks, boxes are pasted too."""
        strong = change_colours(images, self.context.channels)
        if targets.ndim == 1:
            return strong, targets
        return paste_boxes(strong, targets, content_seed(self.context.seed, "paste", self.batch, number))

    def measures(self) -> dict[str, float]:
        """The share of accepted pseudo-labels in this epoch, and those of the classes."""
        return self.watch.measures() if self.uses_unlabelled else {}

    def end_epoch(self, trainee: Trainee) -> None:
        """Answers a collapse: back to the best weights, and on more strictly; in the end without pseudo-labels."""
        if not self.uses_unlabelled:
            return
        found = self.watch.finding(self.comparable(trainee.history))
        self.watch.end_epoch()
        if found is None:
            return
        self.num_answers += 1
        answer = self.tighten() if self.num_answers <= MOST_ANSWERS else self.give_up()
        best = trainee.return_to_best()
        back = "" if best is None else f"back to the weights of epoch {best.epoch}, and "
        warn(f"{self.name} has collapsed in epoch {trainee.epoch}: {found}; {back}{answer}")

    def comparable(self, history: list[EpochReport]) -> list[EpochReport]:
        """The epochs whose val scores the last one's is compared with, itself among them."""
        return history

    def tighten(self) -> str:
        """Makes learning from unlabelled images stricter; returns what was done, in words."""
        self.threshold = (1 + self.threshold) / 2
        return f"the confidence threshold is {self.threshold:.4g} now"

    def give_up(self) -> str:
        """Ends learning from pseudo-labels; returns what was done, in words."""
        self.uses_unlabelled = False
        return "training goes on without unlabelled images"

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs; the teacher is part of the trainee."""
        known = {"threshold": self.threshold, "weight": self.weight, "num_answers": self.num_answers}
        known["uses_unlabelled"] = self.uses_unlabelled
        return known | ({"watch": self.watch.state()} if self.looks_at_unlabelled else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`."""
        self.threshold, self.weight, self.num_answers = state["threshold"], state["weight"], state["num_answers"]
        self.uses_unlabelled = state["uses_unlabelled"]
        if self.looks_at_unlabelled:
            self.watch.restore(state["watch"])


def pseudo_label_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """1/N sum_i -w_i log p_i[t_i] over what is not ignored, where N counts what is ignored too.

    Sohn et al. 2020, "FixMatch", equation 4: fewer accepted pseudo-labels weigh less.

    Args:
        logits: [B, K] or [B, K, H, W], float.
        targets: Long [B] or [B, H, W], class ids or what is ignored.
        weights: Weight of each target, in their shape; ones where there are none.
    """
    losses = true_class_losses(logits, targets)[0]
    return (losses if weights is None else losses * weights.reshape(-1)).sum() / targets.numel()


@contextmanager
def resting_statistics(model: Model) -> Iterator[None]:
    """Lets batch normalisation in training mode go by the statistics of the batch and leave its running ones alone."""
    norms = [norm for norm in batch_norms(model) if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def no_unlabelled_views(name: str) -> GraftError:
    """The error of a strategy that has no unlabelled images to learn from."""
    return GraftError(
        f"the strategy {name} learns from unlabelled images, and there are none",
        where=WHERE,
        rule="augment makes views of the split that augment.unlabelled names",
        remedy="set augment.unlabelled: unlabelled and give the source such images (ingest.unlabelled, a folder named "
        "unlabelled), or set fine_tune.strategy: supervised",
    )


def unfit_teacher(name: str, averaging: str) -> GraftError | None:
    """The error of an average that cannot teach, or of a strategy whose teacher has to be one."""
    allowed = ("ema",) if name in TAUGHT_BY_AVERAGE else ("ema", "none")
    if averaging in allowed:
        return None
    return GraftError(
        f"the strategy {name} with averaging: {averaging}",
        where=WHERE,
        rule="the teacher is the average of the weights where there is one, and of those ema can answer at every step",
        remedy=f"set fine_tune.averaging: {' or '.join(allowed)}",
    )
