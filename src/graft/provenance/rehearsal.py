"""Training as fine-tune would begin it here, for those who look at a training without being a stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from graft.foundation.errors import GraftError
from graft.params.sections import Params
from graft.provenance.seal import read_declaration
from graft.training.start import Beginning, begin


def begin_here(params: Params) -> Beginning:
    """What fine-tune would begin with, from where dvc.yaml says that it lies.

    Raises:
        GraftError: An earlier stage has not written it, or it cannot be used.
    """
    inputs = {Path(path).stem: Path(path) for path in read_declaration("fine-tune", params).inputs}
    _check(inputs)
    both = params.task, params.seed, params.model
    sections = params.preprocess, params.runtime, params.fine_tune
    return begin(*both, *sections, inputs["augmented"], inputs["class_map"], inputs["pretrained"])


def _check(inputs: Mapping[str, Path]) -> None:
    """Refuses to start where an earlier stage has not written what training begins with."""
    needed = [
        inputs["augmented"] / "index.json",
        inputs["class_map"],
        inputs["pretrained"] / "card.json",
        inputs["pretrained"] / "weights.safetensors",
    ]
    if missing := [str(path) for path in needed if not path.is_file()]:
        raise GraftError(
            f"not here: {', '.join(missing)}",
            rule="a training begins with the views and weights that fine-tune would take",
            remedy="dvc repro augment pretrain-load",
        )
