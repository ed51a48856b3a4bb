"""Batches as they are."""

from __future__ import annotations


def none() -> None:
    """Batches as they are: every image is one photograph.

    The default. It is also the only choice beside reused features, which are computed once and cannot be mixed.
    """
