"""Where pretrained weights come from. Each entry is `(task, model, download, *, options) -> Source`."""

from __future__ import annotations

from collections.abc import Callable

from graft.weights.bundled import bundled
from graft.weights.file import file
from graft.weights.none import none
from graft.weights.registry import registry
from graft.weights.source import Downloader, Source
from graft.weights.timm import timm
from graft.weights.torchvision import torchvision

__all__ = ["WEIGHTS", "Downloader", "Source"]

WEIGHTS: dict[str, Callable[..., Source]] = {
    "bundled": bundled,
    "torchvision": torchvision,
    "timm": timm,
    "registry": registry,
    "file": file,
    "none": none,
}
