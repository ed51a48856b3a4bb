"""The card of a model's pretrained weights: their origin, and which of them were taken over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from graft.foundation.choices import Choice
from graft.foundation.class_map import ClassMap
from graft.models.weights.match import Match
from graft.models.weights.source import Source


def card_of(
    name: str, source: Source, match: Match, model: Choice, classes: ClassMap, filled: Mapping[str, str]
) -> dict[str, Any]:
    """The content of `card.json`.

    Args:
        name: Name of the source, a key of WEIGHTS.
        source: Result of the source.
        match: Fate of each tensor.
        model: The architecture that took them.
        classes: Classes that the model is going to tell apart.
        filled: Name of the initialisation of each reinitialised tensor, by tensor name.
    """
    return {
        "name": name,
        "description": source.description,
        "origin": source.origin,
        "licence": source.licence,
        "sha256": source.sha256,
        "metrics": dict(source.metrics),
        "mean": list(source.mean),
        "std": list(source.std),
        **source.details,
        "model": model.as_dict(),
        "class_names": list(classes.names),
        **asdict(match),
        "initialisation": dict(filled),
        "widths": {name: dict(changed) for name, changed in source.widths_for(model).items()},
    }
