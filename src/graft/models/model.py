"""What all models have in common: a backbone, a head, a class layer, and a training mode that respects freezing."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_MOMENTUM = 0.1


class Model(nn.Module):
    """A backbone (what was pretrained) and a head (everything else).

    Args:
        backbone: Images to features.
        head: Features to logits; the decoder and the class layers.
        class_layers: Names, below this module, of the layers whose output channels are the classes.
        padding_multiple: Height and width that reach the model should be multiples of this.
        min_side_px: Smallest height and width the model works with, also in training with one image.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        class_layers: tuple[str, ...],
        padding_multiple: int = 1,
        min_side_px: int = 32,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.class_layers = class_layers
        self.padding_multiple, self.min_side_px = padding_multiple, min_side_px
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # MobileNetV3's 0.01 lags far behind in short training: test mean IoU of 4% at a training loss of 0.9.
                module.momentum = max(module.momentum or 0.0, BATCH_NORM_MOMENTUM)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalised images.

        Args:
            images: Float `[B, 3, H, W]`.

        Returns:
            `[B, K, H, W]` for segmentation, `[B, K]` for classification.
        """
        return self.head(self.backbone(images))

    def train(self, mode: bool = True) -> Model:
        """As in torch, except that a part with frozen parameters only stays in evaluation mode.

        Its normalisation statistics and dropout then rest as its weights do, whoever calls `train` and how often.
        """
        super().train(mode)
        for module in self.modules() if mode else ():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self


class Segmenter(Model):
    """A model whose head works at a coarser size: its logits are enlarged to the images' size."""

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.backbone(images))
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


class LastFeature(nn.Module):
    """Hands the deepest of a backbone's features, a mapping, to a head that wants one tensor."""

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        return features["out"]


def with_dropout(head: nn.Module, dropout: float) -> nn.Module:
    """The head with this probability in each of its dropout layers."""
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return head


def on_last_feature(head: nn.Sequential) -> nn.Sequential:
    """The head behind `LastFeature`, its layers keeping the names they have in torchvision's checkpoints."""
    named: dict[str, Any] = {"last": LastFeature(), **dict(head.named_children())}
    chained = nn.Sequential()
    for name, module in named.items():
        chained.add_module(name, module)
    return chained
