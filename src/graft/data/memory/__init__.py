"""Memories: which training images get views. One file each, `(train, seed, look, *, options) -> numbers, or None`.

Here a name in `augment.memory` finds its choice. `look` shows images as the pretrained weights see them.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from pathlib import Path

from graft.data.memory.all_images import all_images
from graft.data.memory.balanced import balanced
from graft.data.memory.impression import NO_PARENT, Impression, Look, parent_problem
from graft.data.memory.without import without
from graft.data.shards import read_columns

MEMORIES: dict[str, Callable[..., frozenset[int] | None]] = {
    "all": all_images,
    "balanced": balanced,
    "without": without,
}
# Which tasks each serves: a balance is one of classes, of which an image has one, or its pixels.
TASKS = {
    "all": ("segmentation", "classification", "multilabel"),
    "balanced": ("segmentation", "classification"),
    "without": ("segmentation", "classification", "multilabel"),
}

__all__ = ["MEMORIES", "NO_PARENT", "TASKS", "Impression", "Look", "list_by_delivery", "parent_problem"]


def list_by_delivery(train: Path, numbers: Set[int]) -> dict[str, dict[str, str]]:
    """Lists rows of the train shards: by delivery the id of each image, and the sha256 of its file."""
    listed: dict[str, dict[str, str]] = {}
    for number, (id, delivery, sha256) in enumerate(read_columns(train, ("id", "batch", "image_sha256"))):
        if number in numbers:
            listed.setdefault(delivery, {})[id] = sha256
    return listed
