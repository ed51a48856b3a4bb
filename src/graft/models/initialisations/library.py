"""The initialisation of the architecture's own library."""

from __future__ import annotations


def library() -> None:
    """New layers as the library that wrote the architecture initialises them.

    Mostly He et al. 2015 for convolutions, and uniform in plus or minus one over the root of the inputs for linear
    layers. The default: published results were reached with it.
    """
