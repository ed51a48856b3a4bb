"""Adaptation to a domain without labels: colours, normalisation statistics, self-training, hidden patches."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graft.data.views.view import BatchSource, Views
from graft.foundation.choices import Choice
from graft.foundation.content import content_seed
from graft.foundation.progress import warn
from graft.models.architectures import Model
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.mixing.classmix import half_of_classes
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.mixing.partners import chosen_pixels, class_pixels
from graft.training.plan import Plan
from graft.training.state import EpochReport, Trainee, ValidationResult
from graft.training.strategies.ladder import Ladder
from graft.training.strategies.re_estimation import trained_norms
from graft.training.strategies.semi_supervised import (
    SemiSupervised,
    pseudo_label_loss,
)
from graft.training.strategies.strong_views import hide_patches
from graft.training.strategies.target_score import target_score
from graft.training.strategies.target_statistics import adapt_statistics, mixed_statistics
from graft.training.strategies.target_style import recolour
from graft.training.strategies.unlabelled_batches import UnlabelledBatch
from graft.training.strong_colours import change_colours

# The steps of adaptation, from cheap to dear, and the option that turns each off, with that value.
STEPS = {
    "style": ("style", "none"),
    "statistics": ("statistics", 0),
    "self_training": ("unlabelled_weight", 0),
    "masked": ("masked_weight", 0),
}
TAUGHT = frozenset(("self_training", "masked"))
READING = TAUGHT | {"style"}  # those that look at unlabelled images in each training step


def steps_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The steps that the options of a strategy turn on, in order; those that learn without labels have one of them."""
    return tuple(step for step, (name, off) in STEPS.items() if options.get(name, off) != off)


def without_steps(choice: Choice) -> Choice | None:
    """The same training without any step, to compare with; None where the options ask for none, or there is no step."""
    if not choice.options.get("source_only") or not steps_of(choice.options):
        return None
    return replace(choice, options={**choice.options, **dict(STEPS.values()), "ladder": "none"})


class Adapt(SemiSupervised):
    """Learns from labelled images of one domain for unlabelled images of another.

    Args:
        loss: Loss of the labels.
        options: Options of `adapt` but for those on movement.
        movement: Options of `supervised` on movement.

    Attributes:
        steps: Names of the steps that are taken.
    """

    def __init__(self, loss: WeightedSum, options: dict[str, Any], movement: dict[str, Any]) -> None:
        weight, threshold = options["unlabelled_weight"], options["confidence_threshold"]
        super().__init__("adapt", loss, weight, threshold, options["unlabelled_per_labelled"], movement)
        self.own, self.steps = options, frozenset(steps_of(options))
        self.steps_of_best, self.scored = self.steps, dict[str, float]()
        climbs = options["ladder"] == "auto" and self.steps
        self.ladder = Ladder(steps_of(options), options["source_share"]) if climbs else None
        self.options["statistics"] = options["statistics"]  # not every normalisation goes with it
        self.looks_at_unlabelled = self.uses_unlabelled = bool(self.steps)

    def factor(self) -> float:
        """One: each step has a weight of its own."""
        return 1.0

    def reads_unlabelled(self) -> bool:
        """Whether one of the steps that are taken looks at unlabelled images now."""
        return bool(self.steps & READING)

    def labelled_images(self, images: Tensor, weak: UnlabelledBatch) -> Tensor:
        """Labelled images in the colours of unlabelled ones, each of another, if that is a step."""
        if "style" not in self.steps:
            return images
        chosen = torch.randperm(len(weak.images))[: len(images)].to(images.device)
        looks = weak.images[chosen], weak.inside[chosen], self.context.channels
        return recolour(self.own["style"], images, *looks, self.own["style_beta"])

    def unlabelled_loss(self, weak: UnlabelledBatch, images: Tensor, targets: Tensor | MixedTargets) -> Tensor:
        """The losses of self-training and of hidden patches, each times its weight, as far as they are steps."""
        loss = torch.zeros((), device=weak.images.device)
        if not self.steps & TAUGHT:
            return loss
        labels, weights = self.weighed_labels(weak)
        if "self_training" in self.steps:
            mixed = weak.images, labels, weights
            if isinstance(targets, Tensor) and targets.ndim == 3:
                mixed = lay_classes(*mixed, images, targets, content_seed(self.context.seed, "classes", self.batch))
            strong = change_colours(mixed[0], self.context.channels)
            loss = loss + self.weight * pseudo_label_loss(self.learn(strong), *mixed[1:])
        if "masked" in self.steps:
            strong = change_colours(weak.images, self.context.channels)
            hidden = hide_patches(strong, self.own["masked_patch_px"], self.own["masked_share"], self.mean_colour)
            loss = loss + self.own["masked_weight"] * pseudo_label_loss(self.learn(hidden), labels, weights)
        return loss

    def weighed_labels(self, weak: UnlabelledBatch) -> tuple[Tensor, Tensor]:
        """The class that is likeliest to the teacher, and its weight: the share of the image that it is sure of."""
        confidence, labels = self.teach(weak.images).max(1)
        sure = (confidence >= self.threshold) & weak.inside
        self.watch.count(labels, sure, weak.inside)
        return torch.where(weak.inside, labels, self.ignored), share_of_each(sure, weak.inside)

    def teach(self, images: Tensor) -> Tensor:
        """The teacher's probabilities; where statistics are mixed, those of the batch are part of what it goes by."""
        norms = self.norms_of(self.trainee.judged) if "statistics" in self.steps else []
        with mixed_statistics(norms, self.own["statistics"]):
            return super().teach(images)

    def begin_epoch(self, model: Model, epoch: int, epochs: int) -> None:
        """Looks up the steps that the ladder has reached, if there is one."""
        super().begin_epoch(model, epoch, epochs)
        self.scored.clear()
        if self.ladder is not None:
            self.steps = self.ladder.begin_epoch(epoch, epochs)

    def parameter_groups(self, model: Model) -> list[dict[str, Any]]:
        """Notes which normalisation layers have statistics to mix; where there are none, that is no step."""
        groups = super().parameter_groups(model)
        trained = trained_norms(model)
        self.norms = [name for name, module in model.named_modules() if any(module is norm for norm in trained)]
        if "statistics" in self.steps and not self.norms:
            self.steps = self.steps_of_best = self.steps - {"statistics"}
            if self.ladder is not None:
                self.ladder.leave_out("statistics")
            warn("adapt mixes no statistics: nothing of this model that trains has batch normalisation")
        return groups

    def norms_of(self, model: nn.Module) -> list[Any]:
        """The normalisation layers whose statistics are mixed, in the model or a copy of it."""
        return [model.get_submodule(name) for name in self.norms]

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Notes the colour that is none to the network: that of a hidden patch."""
        colour = -forward.shift / forward.scale
        if self.looks_at_unlabelled:
            assert isinstance(views, Views)
            self.shares = views.class_counts.sum(0) / max(views.class_counts.sum(), 1)
        self.mean_colour = colour.round().clamp(0, 255).to(torch.uint8)
        return super().prepare(model, views, forward)

    def model_to_validate(self, model: Model) -> nn.Module:
        """A copy with mixed statistics, if they are a step: the weights in training keep their own.

        It is scored on the unlabelled images, too.
        """
        if "statistics" in self.steps:
            model = copy.deepcopy(model)
            self.adapt(model)
        if self.context.unlabelled is not None and self.looks_at_unlabelled:
            size, seed = self.context.batch_size, self.context.seed
            images = self.context.unlabelled, size, self.context.channels
            self.scored["target_score"] = target_score(self.student.of(model), *images, self.shares, seed)
        return model

    def worth(self, held: ValidationResult) -> float:
        """The mean of the val score and of the score on unlabelled images."""
        return statistics.fmean([held.score, *self.scored.values()])

    def adapt(self, model: Model) -> None:
        """Mixes the statistics of a model with those of the unlabelled images."""
        assert self.context.unlabelled is not None
        views, size = self.context.unlabelled, self.context.batch_size
        adapt_statistics(self.norms_of(model), self.student.of(model), views, size, self.own["statistics"])

    def finish(self, model: Model, views: BatchSource, forward: Forward, plan: Plan) -> None:
        """Mixes the statistics, if they are a step."""
        super().finish(model, views, forward, plan)
        if "statistics" in self.steps_of_best:
            self.adapt(model)

    def measures(self) -> dict[str, float]:
        """The score on unlabelled images, the steps that a ladder has reached, and what becomes of pseudo-labels."""
        found = dict(self.scored)
        if self.ladder is not None:
            found |= {f"step.{step}": float(step in self.steps) for step in self.ladder.rungs[1:]}
        return found | (super().measures() if self.steps & TAUGHT else {})

    def end_epoch(self, trainee: Trainee) -> None:
        """Answers a collapse of self-training; at the end of a rung of the ladder, keeps it or goes back."""
        if trainee.history[-1].is_best:
            self.steps_of_best = self.steps
        if self.steps & TAUGHT:
            super().end_epoch(trainee)
        if self.ladder is not None and self.ladder.judge(trainee):
            self.watch.begin_anew()

    def give_up(self) -> str:
        """Leaves out the steps that learn from pseudo-labels, on the ladder too; the others go on."""
        self.steps -= TAUGHT
        if self.ladder is not None:
            self.ladder.drop(TAUGHT)
        return "training goes on without pseudo-labels"

    def comparable(self, history: list[EpochReport]) -> list[EpochReport]:
        """With a ladder, those of the same rung: others may have other statistics."""
        return history if self.ladder is None else history[self.ladder.begin_of(len(history)) :]

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs."""
        known = super().state() | {"steps": sorted(self.steps), "steps_of_best": sorted(self.steps_of_best)}
        return known | ({} if self.ladder is None else {"dropped": list(self.ladder.dropped)})

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`."""
        super().restore(state)
        self.steps, self.steps_of_best = frozenset(state["steps"]), frozenset(state["steps_of_best"])
        if self.ladder is not None:
            self.ladder.dropped = list(state["dropped"])


def share_of_each(sure: Tensor, inside: Tensor) -> Tensor:
    """The share of what is inside each image that is sure, as the weight of each of its pixels: the shape of `sure`.

    Hoyer et al. 2022, "DAFormer", equation 5. Zero where nothing is inside.

    Args:
        sure: bool [B] or [B, H, W]; never where it is not inside.
        inside: bool, the same shape.
    """
    counts, totals = (pixels.reshape(len(pixels), -1).sum(1) for pixels in (sure, inside))
    shares = counts / totals.clamp_min(1)
    return shares.reshape(-1, *[1] * (sure.ndim - 1)).expand(sure.shape)


def lay_classes(
    images: Tensor, labels: Tensor, weights: Tensor, others: Tensor, masks: Tensor, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Half of the classes of a labelled image laid over each unlabelled one: images, labels, and weights.

    What is laid over has the weight one. Olsson et al. 2021, "ClassMix", algorithm 1; across domains as in Tranheden et
    al. 2021, "DACS", section 3.

    Args:
        images: uint8 [B, C, H, W].
        labels: Their pseudo-labels, long [B, H, W].
        weights: The weights of these, float [B, H, W].
        others: Labelled images, uint8 [L, C, H, W]; where they are fewer, each is used again.
        masks: Their masks, long [L, H, W].
        seed: Seed of the classes.
    """
    partners = torch.arange(len(images), device=images.device) % len(others)
    others, masks = others[partners], masks[partners]
    takes = chosen_pixels(masks, half_of_classes(class_pixels(masks) > 0, np.random.default_rng(seed)))
    mixed = torch.where(takes[:, None], others, images).contiguous(memory_format=torch.channels_last)
    return mixed, torch.where(takes, masks, labels), torch.where(takes, 1.0, weights)
