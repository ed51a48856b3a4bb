"""Hints: the student's features are drawn to its teachers', behind a learned layer that makes them as many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graft.foundation.content import content_seed
from graft.foundation.errors import GraftError
from graft.models.architectures import Model
from graft.training.strategies.local_pooling import maps_of
from graft.training.strategies.parent import WHERE

Size = tuple[int, ...]


def keep_last(maps: Sequence[Tensor]) -> list[Tensor]:
    """The last map [B, C, H, W] that a backbone hands to the head, float32, in memory of its own."""
    return [maps[-1].float().clone()]


def hint_loss(adapted: Tensor, of_teacher: Tensor, seen: Size, seen_by_teacher: Size) -> Tensor:
    """The mean of ½ (r - t)² over all values, where r is resized to the places of t; a scalar.

    Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", equation 3, as a mean instead of a sum. Where one of the
    models pads the view further than the other, only what both see counts.

    Args:
        adapted: The student's features behind its adapter, [B, C, H, W].
        of_teacher: The teacher's, [B, C, H', W'].
        seen: Height and width, in pixels, of the view as the student pads it.
        seen_by_teacher: As the teacher pads it.
    """
    return 0.5 * F.mse_loss(*align(adapted, of_teacher, seen, seen_by_teacher))


def align(ours: Tensor, theirs: Tensor, seen: Size, seen_by_teacher: Size) -> tuple[Tensor, Tensor]:
    """Both maps over what both models see, ours resized to the places of theirs; arguments as for `hint_loss`."""
    if seen == seen_by_teacher:
        return F.interpolate(ours, size=theirs.shape[-2:], mode="bilinear", align_corners=False), theirs
    sides = zip(ours.shape[-2:], seen, theirs.shape[-2:], seen_by_teacher, strict=True)
    factors = tuple(their_cells * px / (cells * their_px) for cells, px, their_cells, their_px in sides)
    sized = F.interpolate(ours, scale_factor=factors, mode="bilinear", align_corners=False)
    height, width = map(min, sized.shape[-2:], theirs.shape[-2:])
    return sized[..., :height, :width], theirs[..., :height, :width]


class Hints(nn.Module):
    """An adapter for each teacher: a 1×1 convolution from the student's channels to the teacher's.

    Args:
        student: Model that learns, on the device of the training.
        teachers: Models it learns from.
        num_channels: Number of channels of an image.
        seed: Seed of the adapters' first values; the global generator is left as it was.

    Raises:
        GraftError: A backbone hands no map of features to its head.
    """

    def __init__(self, student: Model, teachers: Sequence[Model], num_channels: int, seed: int) -> None:
        super().__init__()
        ours, *theirs = (num_features(model, num_channels) for model in (student, *teachers))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(content_seed(seed, "hints"))
            self.adapters = nn.ModuleList(nn.Conv2d(ours, each, kernel_size=1) for each in theirs)
        self.to(next(student.parameters()).device)

    def forward(
        self, features: Tensor, of_teachers: Sequence[Tensor], seen: Size, by_teachers: Sequence[Size]
    ) -> Tensor:
        """The mean over the teachers of their hint losses, a scalar; the sizes are as for `hint_loss`."""
        pairs = zip(self.adapters, of_teachers, by_teachers, strict=True)
        return torch.stack([hint_loss(adapt(features), each, seen, size) for adapt, each, size in pairs]).mean()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The adapters' parameters as a group for an optimizer.

        They do not decay: they are no part of the model, and have to reach the scale of the teachers' features.
        """
        group = {"name": "hint adapters, not decaying", "params": [*self.parameters()], "weight_decay": 0.0}
        return [group | {"rate_factor": 1.0, "trains_from_epoch": 1}]


def num_features(model: Model, num_channels: int) -> int:
    """The number of channels of the last map that a model's backbone hands to its head.

    Raises:
        GraftError: It hands none.
    """
    side = model.fixed_size_px or -(-max(model.min_side_px, 64) // model.padding_multiple) * model.padding_multiple
    was_training = model.training
    parameter = next(model.parameters())
    with torch.no_grad():
        pixels = torch.zeros(1, num_channels, side, side, device=parameter.device)
        maps = maps_of(model.eval().backbone(pixels), pixels)
    model.train(was_training)
    if not maps:
        raise GraftError(
            "feature_weight, and a backbone hands no maps of features to its head",
            where=WHERE,
            rule="hints compare the last map of features, [channels, height, width], of student and teacher",
            remedy="set feature_weight: 0",
        )
    return maps[-1].shape[1]
