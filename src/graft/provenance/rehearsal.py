"""The start of a training, as fine-tune would make it here, for commands that look at a training without running it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from graft.foundation.errors import GraftError
from graft.params.sections import Params
from graft.provenance.seal import read_declaration
from graft.provenance.tracking.model_versions import download_model
from graft.training.start import TrainingStart, begin


def begin_here(params: Params) -> TrainingStart:
    """Reads from the paths in dvc.yaml everything that fine-tune would start from.

    Raises:
        GraftError: An earlier stage has not written its output, or the output cannot be used.
    """
    inputs = {Path(path).stem: Path(path) for path in read_declaration("fine-tune", params).inputs}
    _check(inputs)
    both = params.task, params.seed, params.model
    sections = params.preprocess, params.runtime, params.fine_tune
    paths = inputs["augmented"], inputs["class_map"], inputs["pretrained"]
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        return begin(*both, *sections, *paths, lambda uri: download_model(uri, Path(tempfile.mkdtemp(dir=folder))))


def _check(inputs: Mapping[str, Path]) -> None:
    """Refuses to start without the outputs of the earlier stages."""
    needed = [
        inputs["augmented"] / "index.json",
        inputs["class_map"],
        inputs["pretrained"] / "card.json",
        inputs["pretrained"] / "weights.safetensors",
    ]
    if missing := [str(path) for path in needed if not path.is_file()]:
        raise GraftError(
            f"not found: {', '.join(missing)}",
            rule="a training starts from the views and weights that fine-tune would read",
            remedy="dvc repro augment pretrain-load",
        )
