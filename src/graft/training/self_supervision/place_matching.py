"""The step of learning without labels: features of the same place in two views are compared.

Legend of shape suffixes: B images, D features, H and W the map's height and width, G places a side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graft.inference.embedding import deepest
from graft.models.model import Model
from graft.training.loop import Strategy
from graft.training.self_supervision.pairs import NUM_PLACES, ViewPairs
from graft.training.strong_colours import change_colours

WIDTH = 512  # of the projector; VICReg's 8192 is for a thousand times as many images


class SelfSupervisedModel(Model):
    """A backbone, a projector of its deepest features, and the loss, which may learn too.

    Args:
        model: Model whose backbone it shares.
        num_features: Number of the backbone's deepest features.
        loss: Function of the features of both views, [N, 512] each.
    """

    def __init__(self, model: Model, num_features: int, loss: nn.Module) -> None:
        projector = nn.Sequential(
            nn.Conv2d(num_features, WIDTH, 1, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 1),
        )
        super().__init__(
            model.backbone,
            projector,
            class_layers=(),
            padding_multiple=model.padding_multiple,
            min_side_px=model.min_side_px,
        )
        self.loss = loss

    def forward(self, images: Tensor) -> Tensor:
        """Projected features [B, 512, H, W] of normalised images."""
        return self.head(as_map(deepest(self.backbone(images))))


def as_map(features: Tensor) -> Tensor:
    """Features [B, D, H, W]; tokens [B, N, D] and vectors [B, D] become a map of one place."""
    if features.ndim == 4:
        return features
    return (features.mean(1) if features.ndim == 3 else features)[:, :, None, None]


class PlaceMatching(Strategy):
    """Trains a `SelfSupervisedModel` on `ViewPairs`.

    Args:
        model: The model.
        channels: Names of the channels of an image, in order.
        places: Number of places along each side of what both views show whose features are compared; each is the mean
            over its part of the side.
    """

    def __init__(self, model: SelfSupervisedModel, channels: Sequence[str], places: int) -> None:
        self.model, self.channels, self.places = model, channels, places
        self.deviations: list[Tensor] = []

    def parameter_groups(self, model: Model) -> list[dict[str, Any]]:
        """All parameters, as one group."""
        return [{"name": "all", "params": [*model.parameters()]}]

    def step(self, forward: Callable[[Any], Any], images: Any, targets: Any) -> dict[str, Tensor]:
        """The loss of a batch of pairs."""
        pairs = cast(ViewPairs, images)
        maps = forward(change_colours(pairs.images, self.channels))
        grids = F.avg_pool2d(features_at(maps, pairs.places), NUM_PLACES // self.places)
        first, second = grids.permute(0, 2, 3, 1).flatten(0, 2).chunk(2)
        self.deviations.append(deviation(first.detach()))
        return {"loss": self.model.loss(first, second)}

    def measures(self) -> dict[str, float]:
        """The mean deviation of the features in this epoch."""
        return {"feature_deviation": sum(map(float, self.deviations)) / len(self.deviations)}

    def end_epoch(self, trainee: Any) -> None:
        """Begins to measure anew."""
        self.deviations.clear()

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs."""
        return {"deviations": [*map(float, self.deviations)]}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`."""
        self.deviations = [torch.tensor(value) for value in state["deviations"]]


def features_at(maps_BDHW: Tensor, places: Tensor) -> Tensor:
    """The features at places of a map, between its pixels by bilinear interpolation: [B, D, G, G].

    By two products with matrices: grid_sample has no gradient on CUDA that is the same every time.

    Args:
        maps_BDHW: Features, float.
        places: Rows and columns of G by G places, as shares of the side: float [B, 2, G].
    """
    rows_BGH, columns_BGW = (tents(places[:, axis], size) for axis, size in enumerate(maps_BDHW.shape[-2:]))
    return torch.einsum("bdhw,bgh,bkw->bdgk", maps_BDHW, rows_BGH, columns_BGW)


def tents(places: Tensor, size: int) -> Tensor:
    """The weight of each of `size` pixels at each place along a side: [B, G, size], each row of sum one.

    Args:
        places: Shares of the side, [B, G]; the centre of pixel i is (i + 0.5) / size, and the edges are continued.
        size: Number of pixels.
    """
    pixels = torch.arange(size, device=places.device, dtype=places.dtype)
    at = (places * size - 0.5).clamp(0, size - 1)
    return (1 - (at[..., None] - pixels).abs()).clamp(min=0)


def deviation(features: Tensor) -> Tensor:
    """How far features [N, D] are from being the same everywhere: about one where they point in all directions.

    sqrt(D) · mean_d std_d(z / |z|), the measure of Chen & He 2021, "SimSiam", section 4.1; it falls to zero where a
    model has collapsed.
    """
    return F.normalize(features, dim=1).std(0, correction=0).mean() * features.shape[1] ** 0.5
