"""Formats a data set can come in: `(task, seed, root, *, options) -> Listing`."""

from __future__ import annotations

from graft.formats.scenes import scenes

FORMATS = {"scenes": scenes}
