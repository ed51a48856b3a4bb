"""Training from scratch."""

from __future__ import annotations

from graft.foundation.choices import Choice
from graft.models.pins import Downloader
from graft.models.weights.source import Source


def none(task: str, model: Choice, download: Downloader) -> Source:
    """No weights: the model keeps its seeded initialisation.

    Training from scratch: right for very many images, or for images unlike all that was ever pretrained on, and the
    honest yardstick otherwise, which `fine_tune.baseline` trains beside any other start.
    """
    return Source(None, "no pretrained weights: training from scratch", "seeded random initialisation", "none")
