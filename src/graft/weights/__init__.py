"""Where pretrained weights come from. Each entry is `(task, model, *, options) -> Source`."""

from __future__ import annotations

from graft.weights.bundled import bundled
from graft.weights.file import file
from graft.weights.none import none
from graft.weights.source import Source
from graft.weights.torchvision import torchvision

__all__ = ["WEIGHTS", "Source"]

WEIGHTS = {"bundled": bundled, "torchvision": torchvision, "file": file, "none": none}
