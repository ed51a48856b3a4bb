"""The result of every weights source: tensors, and the facts for their card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from graft.foundation.choices import Choice
from graft.models.widths import Widths

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Source:
    """Foreign weights and what a card says about them.

    Attributes:
        state: Tensors under the names their own program gave them; None for training from scratch.
        description: One sentence for a person: what was trained on what.
        origin: Address, path or program the weights come from.
        licence: Licence of the weights.
        sha256: Digest of the file, in hex; None without a file.
        class_names: Names of the classes in the class layers, in order of channel; None where unknown.
        mean: Mean of each channel in the normalisation that the weights expect, in 0..1; RGB unless they say otherwise.
        std: Standard deviation of each channel, in the same unit.
        metrics: Scores that their makers measured, name to fraction.
        details: Further facts for the card, by key.
        architecture: Architecture that the weights are of, with every option, as in a spec; None where it is unknown.
        widths: Widths of its layers that pruning narrowed, as in a spec.
        timm_name: Name of the model of timm that the weights are of; None for those of other programs.
    """

    state: Mapping[str, Tensor] | None
    description: str
    origin: str
    licence: str
    sha256: str | None = None
    class_names: tuple[str, ...] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    metrics: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    architecture: Mapping[str, Any] | None = None
    widths: Widths = field(default_factory=dict)
    timm_name: str | None = None

    def widths_for(self, model: Choice) -> Widths:
        """The widths of the layers of a model that is to take the weights: theirs, if it is the same architecture."""
        return self.widths if self.architecture == model.as_dict() else {}
