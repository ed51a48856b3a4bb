"""What mixes the images of a batch: `(*, options) -> Mix`.

A `Mix` is `(images, targets, seed) -> (images, targets)`: uint8 [B, 3, H, W] and long [B, H, W] or [B] (or
`MixedTargets`), a pure function of its arguments.
"""

from __future__ import annotations

from graft.mixing.none import none

MIXINGS = {
    "none": none,
}

__all__ = ["MIXINGS", "none"]
