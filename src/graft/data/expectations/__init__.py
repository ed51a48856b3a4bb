"""Whether the data is fit to learn from: the rules, the facts they look at, the verdict and the report.

The only door to great_expectations, which takes 6.7 s to import: only `graft.data.expectations.verdict` imports it,
inside the function that runs it.
"""

from __future__ import annotations

from graft.foundation.errors import GraftError


class GateClosed(GraftError):  # noqa: N818
    """A critical expectation failed. The report was written first, and is published although the stage stops."""
