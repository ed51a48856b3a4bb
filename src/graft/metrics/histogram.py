"""What is predicted beside what is true, class by class, as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graft.metrics.confusion import Marginals


def prediction_histogram(confusion: np.ndarray, names: Sequence[str], *, width: int = 30) -> list[str]:
    """Two bars for each class, of the share that is predicted as it and the share that is it, a line each.

    Args:
        confusion: int64 [K, K], rows truth, columns prediction.
        names: The K classes.
        width: Characters of a bar that is everything.
    """
    longest, marginals = max(map(len, names)), Marginals.of(confusion)
    lines = []
    for name, predicted, true in zip(names, marginals.predicted_share, marginals.true_share, strict=True):
        for label, what, share in ((name, "predicted", predicted), ("", "true", true)):
            bar = "" if np.isnan(share) else "█" * int(np.ceil(share * width))
            amount = "    —" if np.isnan(share) else f"{share:6.1%}"
            lines.append(f"{label:<{longest}}  {what:<9} {amount} {bar}".rstrip())
    return lines
