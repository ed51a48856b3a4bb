"""The parts that every model has: a backbone, a head, class layers, and a training mode that respects freezing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from graft.models.parts.pooling import PooledBatchNorm
from graft.models.parts.stages import Stages, stages_of

BATCH_NORM_MOMENTUM = 0.1


class WithAuxiliary(NamedTuple):
    """Result of a model with an auxiliary head while it trains.

    Attributes:
        logits: Logits `[B, K, H, W]` or `[B, K]`.
        auxiliary: Logits of the auxiliary head, of the same shape.
        weight: Factor of the loss of the auxiliary logits before it is added.
    """

    logits: Tensor
    auxiliary: Tensor
    weight: float


class Model(nn.Module):
    """A backbone (what was pretrained), a head (everything else), and for training only, maybe an auxiliary head.

    Args:
        backbone: Layers from images to features.
        head: Layers from features to logits: the decoder and the class layers.
        class_layers: Names, below this module, of the layers whose output channels are the classes.
        padding_multiple: Height and width that reach the model should be multiples of this.
        min_side_px: Smallest height and width the model works with, also in training with one image.
        fixed_size_px: The only height and width the model works with; None where any will do.
        is_transformer: True if the model sees images as patches, so that the sides of training views must be multiples
            of `padding_multiple`; views of other models are padded.
        auxiliary: Layers from features to logits of a second loss, which helps the middle of the backbone to learn.
        auxiliary_weight: Weight of that second loss.

    Attributes:
        widths: Widths of the layers that were narrowed, by name, as `graft.models.widths` has them; mostly none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        class_layers: tuple[str, ...],
        padding_multiple: int = 1,
        min_side_px: int = 32,
        fixed_size_px: int | None = None,
        is_transformer: bool = False,
        auxiliary: nn.Module | None = None,
        auxiliary_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.auxiliary = backbone, head, auxiliary
        self.class_layers, self.auxiliary_weight = class_layers, auxiliary_weight
        self.padding_multiple, self.min_side_px = padding_multiple, min_side_px
        self.fixed_size_px, self.is_transformer = fixed_size_px, is_transformer
        self.widths: dict[str, dict[str, int]] = {}
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # MobileNetV3's 0.01 lags far behind in short training: test mean IoU of 4% at a training loss of 0.9.
                module.momentum = max(module.momentum or 0.0, BATCH_NORM_MOMENTUM)

    def needs_two(self, height_px: int, width_px: int, num_channels: int = 3) -> bool:
        """Returns whether a single image is too few to train on: one value per channel, normalised, has no variance.

        It is found by a forward pass on the meta device; layers that `freezing` keeps in evaluation mode do not count.

        Args:
            height_px: Height of the images, a multiple of `padding_multiple`.
            width_px: Width of the images, a multiple of it too.
            num_channels: Number of channels of the images.
        """
        outline = copy.deepcopy(self).to("meta").train()
        norms = [module for module in outline.modules() if isinstance(module, _BatchNorm) and module.training]
        if not norms or any(isinstance(module, PooledBatchNorm) for module in norms):
            return bool(norms)
        try:
            outline(torch.empty(1, num_channels, height_px, width_px, device="meta"))
        except Exception as error:  # libraries raise many kinds of exception for a size that does not fit
            return "more than 1 value per channel" in str(error)
        return False

    def forward(self, images: Tensor) -> Tensor | WithAuxiliary:
        """Logits of normalised images; in training mode with the auxiliary ones, where there is an auxiliary head.

        Args:
            images: Float `[B, C, H, W]`.

        Returns:
            `[B, K, H, W]` for segmentation, `[B, K]` for classification.
        """
        return self.on_features(self.backbone(images), images.shape[-2:])

    def on_features(self, features: Any, size: Sequence[int]) -> Tensor | WithAuxiliary:
        """Computes logits out of features: the part of `forward` behind the backbone.

        Args:
            features: Features of a batch of images, as the backbone returned them.
            size: Height and width of the images.
        """
        logits = self.at_size(self.head(features), size)
        if self.auxiliary is None or not self.training:
            return logits
        return WithAuxiliary(logits, self.at_size(self.auxiliary(features), size), self.auxiliary_weight)

    def at_size(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Enlarges what the head returns to the size of the images, where the head works at a coarser one."""
        return logits

    def stages(self) -> Stages:
        """Parameters from input to output: `stem`, `stage 1`, …, `head`; every one exactly once, the head's last."""
        heads = [self.head] if self.auxiliary is None else [self.auxiliary, self.head]
        return [*stages_of(self.backbone), ("head", [p for head in heads for p in head.parameters()])]

    def train(self, mode: bool = True) -> Model:
        """As in torch, except that a part with frozen parameters only stays in evaluation mode.

        Its normalisation statistics and dropout then rest as its weights do, whoever calls `train` and how often.
        """
        super().train(mode)
        if mode:
            _rest_frozen(self)
        return self


def _rest_frozen(module: nn.Module) -> set[bool]:
    """Puts each part whose parameters are all frozen into evaluation mode; returns the values of `requires_grad`."""
    own = {parameter.requires_grad for parameter in module.parameters(recurse=False)}
    found = own.union(*map(_rest_frozen, module.children()))
    if found == {False}:
        module.eval()
    return found


class Segmenter(Model):
    """A model whose head works at a coarser size: its logits are enlarged to the images' size."""

    def at_size(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class Feature(nn.Module):
    """Hands one of a backbone's features, a mapping, to a head that wants one tensor."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        return features[self.name]


def set_dropout(head: nn.Module, dropout: float) -> nn.Module:
    """The head with this probability in each of its dropout layers."""
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return head
