"""The card that says where the weights of a model are from and what of them was taken over."""

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
        name: Of the source, a key of WEIGHTS.
        source: What it handed over.
        match: What became of each tensor.
        model: The architecture that took them.
        classes: What it is going to tell apart.
        filled: How each reinitialised tensor was filled, by name.
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
        "model": model.as_dict(),
        "class_names": list(classes.names),
        **asdict(match),
        "initialisation": dict(filled),
    }
