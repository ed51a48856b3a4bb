"""The usual recipe: a training as in torchvision's segmentation references and most tutorials.

Files are decoded by PIL and transformed by torchvision v2 in two persistent DataLoader workers; the network is
torchvision's, channels first, in float32, trained by AdamW. No part of it is slower than that approach requires.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.transforms import v2

from graft.models.weights.source import IMAGENET_MEAN, IMAGENET_STD

NUM_WORKERS = 2
IGNORED = 255


class Files(Dataset):
    """Pairs of an image file and an index PNG, augmented when they are read."""

    def __init__(self, pairs: Sequence[tuple[Path, Path]], size: tuple[int, int]) -> None:
        self.pairs = list(pairs)
        self.transforms = v2.Compose(
            [
                v2.ToImage(),
                v2.RandomResizedCrop(size, scale=(0.3, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        image_path, mask_path = self.pairs[number]
        mask = tv_tensors.Mask(torch.from_numpy(np.array(Image.open(mask_path))))
        image, mask = self.transforms(Image.open(image_path).convert("RGB"), mask)
        return image, mask.long()


class UsualRecipe:
    """A training from scratch that runs one epoch at a time."""

    def __init__(
        self, pairs: Sequence[tuple[Path, Path]], size: tuple[int, int], num_classes: int, batch_size: int, rate: float
    ) -> None:
        torch.manual_seed(0)
        self.model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.01)
        self.loss = torch.nn.CrossEntropyLoss(ignore_index=IGNORED)
        self.loader = DataLoader(
            Files(pairs, size),
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
            self.loss(self.model(images)["out"], targets).backward()
            self.optimizer.step()
