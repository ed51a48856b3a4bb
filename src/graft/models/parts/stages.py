"""A backbone's parameters in stages from input to output, for rates that grow and layers that thaw with depth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from torch import nn

Stages = list[tuple[str, list[nn.Parameter]]]
# A part with more than this of all parameters is no block but something that holds the blocks.
LARGEST_BLOCK_FRACTION = 0.6
# The first block of a ResNet's layer begins a stage also where dilation replaces its stride.
RESNET_LAYER = re.compile(r"(.*\.)?layer\d\.0")


def stages_of(backbone: nn.Module) -> Stages:
    """Names and parameters of the stages, every parameter of the backbone exactly once, no stage empty.

    A block that makes the image smaller begins a stage, and the blocks behind it join it. Where the image becomes
    smaller only at the entrance, as in vision transformers, each block is a stage. Parameters of no block, as position
    embeddings, belong to the first stage.
    """
    blocks = list(_blocks(backbone, "", LARGEST_BLOCK_FRACTION * _size(backbone)))
    has_resolutions = sum(_shrinks(name, block) for name, block in blocks) > 1
    stages: list[list[nn.Parameter]] = [[]]
    for name, block in blocks:
        begins = _shrinks(name, block) if has_resolutions else _is_composed(block) and _size(block) > 0
        if begins and stages[-1]:
            stages.append([])
        stages[-1].extend(block.parameters())
    grouped = {parameter for stage in stages for parameter in stage}
    stages[0][:0] = [parameter for parameter in backbone.parameters() if parameter not in grouped]
    parts = [list(dict.fromkeys(stage)) for stage in stages if stage]
    return [(f"stage {number}" if number else "stem", part) for number, part in enumerate(parts)]


def _blocks(module: nn.Module, prefix: str, largest: float) -> Iterator[tuple[str, nn.Module]]:
    """Blocks and single layers with their names, what holds them opened up, in the order in which images pass."""
    children = list(module.named_children())
    if hasattr(module, "patch_embed2"):  # a Mix Transformer defines its four embeddings before its blocks
        children.sort(key=lambda child: int(cast(re.Match[str], re.search(r"\d*$", child[0]))[0] or 9))
    for name, child in children:
        is_holder = isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict) or _size(child) > largest
        if is_holder and _is_composed(child):
            yield from _blocks(child, f"{prefix}{name}.", largest)
        else:
            yield f"{prefix}{name}", child


def _shrinks(name: str, block: nn.Module) -> bool:
    """Returns whether the output of a block is smaller than its input; attention on a smaller copy does not count."""
    strides = [getattr(module, "stride", 1) for part, module in block.named_modules() if "attn" not in part]
    is_strided = any(
        max(stride) > 1 if isinstance(stride, tuple | list) else stride not in (1, None) for stride in strides
    )
    return is_strided or "PatchMerging" in type(block).__name__ or RESNET_LAYER.fullmatch(name) is not None


def _is_composed(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
