"""Vision transformer for classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from graft.models.model import Model, set_dropout
from graft.models.parts.heads import Dropout, HeadKind, Layers, dense_layers
from graft.models.parts.pooling import resample_bicubic
from graft.models.parts.stem import set_channels

if TYPE_CHECKING:
    from torchvision.models import VisionTransformer


def vit(
    num_classes: int,
    num_channels: int,
    *,
    variant: Literal["vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"] = "vit_b_16",
    head: HeadKind = "original",
    dropout: Dropout = 0.0,
) -> Model:
    """Vision transformer of torchvision: patches as words, a class token as the summary.

    Needs pretrained weights or very many images. Position embeddings are resampled to the image at hand, so that any
    size will do that its patches divide (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", section 3).

    Args:
        variant: Size of the backbone and of its patches in pixels.
        head: Layers behind the backbone: `original` is torchvision's, one layer that starts at zero; `linear` one layer
            with dropout; `mlp` a dense layer of 1024 with ReLU before that layer.
        dropout: Probability of dropout before the class layer; the original has none.
    """
    from torchvision import models

    network = models.get_model(variant, weights=None, num_classes=num_classes)
    layers, class_layer = Layers(dropout=nn.Dropout(dropout), heads=network.heads), "heads.head"
    if head != "original":
        layers, class_layer = dense_layers(head, network.hidden_dim, num_classes, dropout=dropout)
    patch_px = network.patch_size
    return Model(
        set_channels(VitBackbone(network), num_channels),
        set_dropout(nn.Sequential(layers), dropout),
        class_layers=(f"head.{class_layer}",),
        padding_multiple=patch_px,
        is_transformer=True,
        min_side_px=2 * patch_px,
    )


class VitBackbone(nn.Module):
    """torchvision's transformer without its head, under its names: images of any size to the class token [B, D]."""

    def __init__(self, network: VisionTransformer) -> None:
        super().__init__()
        self.class_token, self.conv_proj, self.encoder = network.class_token, network.conv_proj, network.encoder
        self.grid = network.image_size // network.patch_size

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv_proj(images)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        encoder = self.encoder
        positions = resample_positions(encoder.pos_embedding, self.grid, patches.shape[-2], patches.shape[-1])
        return encoder.ln(encoder.layers(encoder.dropout(tokens + positions)))[:, 0]


def resample_positions(embedding: Tensor, grid: int, rows: int, columns: int) -> Tensor:
    """Position embeddings for another size of image, bicubic between those of a square grid.

    Args:
        embedding: Embeddings `[1, 1 + grid², D]`; the first, that of the class token, is not resampled.
        grid: Number of patches on a side of the images it was learnt on.
        rows: Number of rows of patches wanted.
        columns: Number of columns wanted.

    Returns:
        `[1, 1 + rows x columns, D]`.
    """
    patches = embedding[:, 1:].transpose(1, 2).unflatten(2, (grid, grid))
    return torch.cat([embedding[:, :1], resample_bicubic(patches, rows, columns).flatten(2).transpose(1, 2)], 1)
