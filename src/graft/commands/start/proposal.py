"""A source that reads a folder, proposed with the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SEGMENTATION, CLASSIFICATION, MULTILABEL = "segmentation", "classification", "multilabel"


@dataclass(frozen=True)
class Proposal:
    """A source that reads a folder.

    Attributes:
        source: Value of `ingest.source`.
        task: Value of `task`.
        reason: The evidence for it, as a sentence without its full stop.
        doubts: Doubts, a sentence each.
    """

    source: dict[str, Any]
    task: str
    reason: str
    doubts: tuple[str, ...] = field(default=())

    @property
    def recipe(self) -> str:
        """The recipe to begin with."""
        if self.task != SEGMENTATION:
            return f"photographs-{self.task}"
        return "camvid" if self.source["name"] == "camvid" else "photographs"
