"""The usual recipe: a training as in torchvision's segmentation references and most tutorials.

Files are decoded by PIL and transformed by torchvision v2 in two persistent DataLoader workers; the network is
torchvision's or that of segmentation-models-pytorch, channels first, in float32, trained by AdamW. No part of it is
slower than that approach requires.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.transforms import v2

from graft.models.weights.source import IMAGENET_MEAN, IMAGENET_STD, Source

NUM_WORKERS = 2
IGNORED = 255
ENCODER = "tu-tf_efficientnet_lite0"


class Files(Dataset):
    """Pairs of an image file and an index PNG, augmented when they are read."""

    def __init__(
        self, pairs: Sequence[tuple[Path, Path]], size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.pairs = list(pairs)
        self.transforms = v2.Compose(
            [
                v2.ToImage(),
                v2.RandomResizedCrop(size, scale=(0.3, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(mean), list(std)),
            ]
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        image_path, mask_path = self.pairs[number]
        mask = tv_tensors.Mask(torch.from_numpy(np.array(Image.open(mask_path))))
        image, mask = self.transforms(Image.open(image_path).convert("RGB"), mask)
        return image, mask.long()


class OutputAlone(nn.Module):
    """A segmenter of torchvision that returns only its logits, the entry `out` of its dict."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)["out"]


@dataclass(frozen=True)
class Network:
    """A network that somebody starts from.

    Attributes:
        build: Function that builds it for a number of classes; it returns logits.
        backbone: Name of its part that was pretrained; None if none was.
        mean: Mean of each channel in its normalisation.
        std: Standard deviation of each channel.
    """

    build: Callable[[int], nn.Module]
    backbone: str | None = None
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD


def untrained_lraspp() -> Network:
    """LR-ASPP of torchvision, from scratch."""
    options = {"weights": None, "weights_backbone": None}
    return Network(lambda num_classes: OutputAlone(lraspp_mobilenet_v3_large(**options, num_classes=num_classes)))


def pretrained_fpn(source: Source) -> Network:
    """FPN of segmentation-models-pytorch over EfficientNet-Lite0, with the weights of a source that has timm's names.

    The encoder is timm's own network (`tu-`): the library's `timm-tf_efficientnet_lite0` pads otherwise, and computes
    other features from the same weights.
    """
    import segmentation_models_pytorch as smp

    def build(num_classes: int) -> nn.Module:
        model = smp.FPN(ENCODER, encoder_weights=None, classes=num_classes)
        state = {f"model.{name}": tensor for name, tensor in (source.state or {}).items()}
        model.encoder.load_state_dict({name: state[name] for name in model.encoder.state_dict()})
        return model

    return Network(build, "encoder", source.mean, source.std)


class UsualRecipe:
    """A training that runs one epoch at a time.

    Args:
        pairs: Pairs of an image and a mask.
        size: Height and width of the crops.
        network: Network to train.
        num_classes: Number of classes.
        batch_size: Number of images of a step.
        rate: Learning rate.
        backbone_rate: Learning rate of what was pretrained; None for the same.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        size: tuple[int, int],
        network: Network,
        num_classes: int,
        batch_size: int,
        rate: float,
        backbone_rate: float | None = None,
    ) -> None:
        torch.manual_seed(0)
        self.model = network.build(num_classes)
        pretrained = list(getattr(self.model, network.backbone).parameters()) if network.backbone else []
        known = set(pretrained)
        rest = [parameter for parameter in self.model.parameters() if parameter not in known]
        groups = [{"params": pretrained, "lr": backbone_rate or rate}, {"params": rest, "lr": rate}]
        self.optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.01)
        self.loss = torch.nn.CrossEntropyLoss(ignore_index=IGNORED)
        self.loader = DataLoader(
            Files(pairs, size, network.mean, network.std),
            batch_size,
            shuffle=True,
            drop_last=len(pairs) % batch_size == 1,
            num_workers=NUM_WORKERS,
            persistent_workers=True,
        )

    def epoch(self) -> None:
        """Trains for one pass over the files."""
        self.model.train()
        for images, targets in self.loader:
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(self.model(images), targets).backward()
            self.optimizer.step()
