"""Initialisations of layers that no source provides: `(*, options) -> Initialise`, None to keep the library's own."""

from __future__ import annotations

from collections.abc import Callable

from graft.models.initialisations.fill import Initialise, apply
from graft.models.initialisations.he_normal import he_normal
from graft.models.initialisations.he_uniform import he_uniform
from graft.models.initialisations.library import library
from graft.models.initialisations.xavier_normal import xavier_normal
from graft.models.initialisations.xavier_uniform import xavier_uniform

INITIALISATIONS: dict[str, Callable[..., Initialise | None]] = {
    "library": library,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
}

__all__ = ["INITIALISATIONS", "Initialise", "apply"]
