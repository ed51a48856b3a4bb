"""How layers that no source provides start: `(*, options) -> Initialise`, None for what their library gave them."""

from __future__ import annotations

from collections.abc import Callable

from graft.initialisations.applying import Initialise, apply
from graft.initialisations.he_normal import he_normal
from graft.initialisations.he_uniform import he_uniform
from graft.initialisations.library import library
from graft.initialisations.xavier_normal import xavier_normal
from graft.initialisations.xavier_uniform import xavier_uniform

INITIALISATIONS: dict[str, Callable[..., Initialise | None]] = {
    "library": library,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
}

__all__ = ["INITIALISATIONS", "Initialise", "apply"]
