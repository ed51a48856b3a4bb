"""Sources of pretrained weights. Each entry is `(task, model, download, *, options) -> Source`."""

from __future__ import annotations

from collections.abc import Callable

from graft.models.weights.bundled import bundled
from graft.models.weights.file import file
from graft.models.weights.none import none
from graft.models.weights.package import package
from graft.models.weights.registry import registry
from graft.models.weights.self_supervised import self_supervised
from graft.models.weights.source import Source
from graft.models.weights.timm import timm
from graft.models.weights.torchvision import torchvision

__all__ = ["WEIGHTS", "Source"]

WEIGHTS: dict[str, Callable[..., Source]] = {
    "bundled": bundled,
    "torchvision": torchvision,
    "timm": timm,
    "package": package,
    "registry": registry,
    "file": file,
    "none": none,
    "self_supervised": self_supervised,
}
