"""The parts Graft's stages are made of: see docs/design.md for the map.

A program of one's own needs one name of it, `graft.load`, which is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graft.provenance.loaded_model import load as load


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return import_module("graft.provenance.loaded_model").load
