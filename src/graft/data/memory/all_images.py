"""No choice: every training image of every delivery gets views."""

from __future__ import annotations

from pathlib import Path

from graft.data.memory.impression import Look


def all_images(train: Path, seed: int, look: Look | None) -> None:
    """Every training image of every delivery gets views.

    For a model that learns all deliveries together: the score that an update is compared with.
    """
