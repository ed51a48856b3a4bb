"""The watch on a model that learns from its own answers: how many are accepted, of which classes, and a collapse."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graft.training.state import EpochReport

# One class takes nearly all that is accepted, though it is far from all that is labelled.
NEARLY_ALL, MOST_OF_TRUTH = 0.98, 0.9
# Fewer accepted than this say nothing about their classes, or about a fall.
LEAST_ACCEPTED = 0.1
FALLEN_TO = 0.1  # of the largest share of accepted pixels that an epoch had
FAR_BELOW = 0.6  # of the best val score
MOST_CURVES = 20  # classes; of more, only the share of the largest becomes a curve


class CollapseWatch:
    """The counts of an epoch, and what they say.

    Args:
        class_names: Names of the K classes.
        largest_labelled: Share of the commonest class among the labels.
        device: Device of the counts.

    Attributes:
        accepted: Accepted pseudo-labels of each class in this epoch, int64 [K].
        asked: Pixels (or images) that could have been accepted, int64 [].
        highest_share: Largest share of accepted ones that an epoch had.
    """

    def __init__(self, class_names: Sequence[str], largest_labelled: float, device: torch.device) -> None:
        self.class_names, self.largest_labelled = class_names, largest_labelled
        self.accepted = torch.zeros(len(class_names), dtype=torch.int64, device=device)
        self.asked = torch.zeros((), dtype=torch.int64, device=device)
        self.highest_share = 0.0

    def count(self, labels: Tensor, accepted: Tensor, inside: Tensor) -> None:
        """Takes in the pseudo-labels of a batch.

        Args:
            labels: Long [B] or [B, H, W].
            accepted: bool, the same shape.
            inside: bool, the same shape; those that are not are never accepted.
        """
        self.accepted += torch.bincount(labels[accepted], minlength=len(self.accepted))
        self.asked += inside.sum()

    @property
    def share(self) -> float:
        """The share of accepted ones in this epoch."""
        return float(self.accepted.sum()) / max(float(self.asked), 1.0)

    def measures(self) -> dict[str, float]:
        """The curves of this epoch: the share of accepted ones, and the shares of the classes among them."""
        counts = self.accepted.tolist()
        of_class = [count / max(sum(counts), 1) for count in counts]
        found = {"accepted_share": self.share}
        if len(of_class) > MOST_CURVES:
            return found | {"largest_pseudo_label_share": max(of_class)}
        names = (re.sub(r"[^\w. -]", "_", name, flags=re.ASCII) for name in self.class_names)
        return found | {f"pseudo_label.{name}": share for name, share in zip(names, of_class, strict=True)}

    def finding(self, history: Sequence[EpochReport]) -> str | None:
        """Says how the model has collapsed in the epoch that ended; None if it has not.

        Args:
            history: Reports of all epochs.
        """
        counts = self.accepted.tolist()
        largest, share = max(counts) / max(sum(counts), 1), self.share
        if share >= LEAST_ACCEPTED and largest > NEARLY_ALL and self.largest_labelled < MOST_OF_TRUTH:
            return f"{largest:.0%} of the pseudo-labels are {self.class_names[counts.index(max(counts))]}"
        if self.highest_share >= LEAST_ACCEPTED and share < FALLEN_TO * self.highest_share:
            return f"only {share:.1%} of the pseudo-labels are accepted, after {self.highest_share:.0%}"
        scores = [report.val_score for report in history if report.val_score is not None]
        score = history[-1].val_score
        if score is not None and score < FAR_BELOW * max(scores):
            return f"the val score is {score:.3f}, after {max(scores):.3f}"
        return None

    def end_epoch(self) -> None:
        """Begins to count anew."""
        self.highest_share = max(self.highest_share, self.share)
        self.accepted.zero_()
        self.asked.zero_()

    def begin_anew(self) -> None:
        """Forgets the epochs before: they say nothing of the weights and steps that training goes on with."""
        self.highest_share = 0.0

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs."""
        return {"accepted": self.accepted, "asked": self.asked, "highest_share": self.highest_share}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`."""
        self.accepted.copy_(state["accepted"])
        self.asked.copy_(state["asked"])
        self.highest_share = state["highest_share"]
