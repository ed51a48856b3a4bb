"""Training from scratch."""

from __future__ import annotations

from graft.choices import Choice
from graft.weights.source import Downloader, Source


def none(task: str, model: Choice, download: Downloader) -> Source:
    """No weights: the model keeps its seeded initialisation."""
    return Source(None, "no pretrained weights: training from scratch", "seeded random initialisation", "none")
