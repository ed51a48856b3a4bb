"""How layers that no source provides start: `(*, options) -> Initialise`, which fills a weight in place."""

from __future__ import annotations

from graft.initialisations.library import library

INITIALISATIONS = {
    "library": library,
}

__all__ = ["INITIALISATIONS", "library"]
