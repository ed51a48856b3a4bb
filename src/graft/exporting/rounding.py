"""Weights in half precision: rounded once, and everything exported is computed from the rounded ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graft.datasets.shards import num_rows, read_rows
from graft.errors import GraftError
from graft.exporting.parity import HEADLINE
from graft.metrics.calibration import Calibration
from graft.metrics.confusion import Marginals
from graft.metrics.summaries import stacked, summarise
from graft.predicting import Preparation, Runner
from graft.progress import progress
from graft.sample import content_seed
from graft.scoring import Contender, score_rows

if TYPE_CHECKING:
    from graft.params import Predict

BATCH_SIZE, NUM_SAMPLES, NUM_BINS = 8, 1000, 15


def stored_state(model: nn.Module, dtype: str) -> dict[str, Tensor]:
    """The state as it is stored: floating point tensors as `dtype` (`float32` or `float16`), the others as they are.

    Raises:
        GraftError: A value does not fit into half precision.
    """
    wanted = getattr(torch, dtype)
    state = {name: t.to(wanted) if t.is_floating_point() else t for name, t in model.state_dict().items()}
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise GraftError.of_all(
            f"tensors with values beyond {dtype}", broken, remedy="set export.weights_dtype: float32"
        )
    return state


def restored(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """A copy of `model` that computes in float32 with exactly the stored values."""
    rounded = copy.deepcopy(model)
    rounded.load_state_dict(dict(state))
    return rounded.eval()


def scores_of(
    runners: Mapping[str, Runner],
    spec: Preparation,
    images: Path,
    names: Sequence[str],
    predict: Predict,
) -> dict[str, dict[str, Any]]:
    """`metrics.json` of each runner on the whole split: every score with its interval, and the calibration error."""
    contenders = {name: Contender(runner, spec, Calibration(NUM_BINS)) for name, runner in runners.items()}
    marginals: dict[str, list[Marginals]] = {name: [] for name in runners}
    domains = []
    rows = progress(read_rows(images), "Scoring the rounded weights", total=num_rows(images), unit="image")
    for scored in score_rows(rows, contenders, len(names), BATCH_SIZE, predict):
        domains.append(scored.row.domain)
        for name, prediction in scored.predictions.items():
            marginals[name].append(Marginals.of(prediction.confusion))
    seed = content_seed(0, "bootstrap")
    return {
        name: summarise(stacked(counted), domains, task=spec.task, names=names, num_samples=NUM_SAMPLES, seed=seed)
        | {"calibration_error": contenders[name].calibration.error}
        for name, counted in marginals.items()
    }


def rounding_of(found: Mapping[str, Mapping[str, Any]], task: str) -> dict[str, Any]:
    """What rounding cost on the whole split, for `parity.json`."""
    original, exported = (found[name][HEADLINE[task]] or 0.0 for name in ("original", "exported"))
    return {
        "score": HEADLINE[task],
        "original_score": original,
        "exported_score": exported,
        "score_difference": abs(original - exported),
    }
