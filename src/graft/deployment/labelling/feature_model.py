"""An exported model opened for choosing images: its weights, because ONNX gives no features."""

from __future__ import annotations

from pathlib import Path

import torch

from graft.deployment.export.exported_model import PREDICT_FILE
from graft.deployment.labelling.unlabelled import PredictFeatures
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.inference.embedding import FeaturePredictor
from graft.inference.tiles import Tiling
from graft.models.saved_model import load_model


def open_feature_model(folder: Path) -> tuple[PredictFeatures, ClassMap]:
    """A function that predicts and embeds an image, on the GPU where there is one, and the classes.

    Args:
        folder: Folder like `models/exported`.

    Raises:
        GraftError: A file is missing or damaged, or the model takes no pictures.
    """
    if not folder.is_dir():
        raise GraftError("no such folder", where=folder, rule="a model is a folder written by graft export")
    model, spec = load_model(folder, weights="weights.safetensors")
    if spec.max_value is not None:
        raise GraftError(
            f"this model takes stacks of {', '.join(spec.channels)}",
            where=folder,
            rule="labelling tools show pictures",
            remedy="choose with a model of pictures",
        )
    tiling = Tiling(**read_json(folder / PREDICT_FILE))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return FeaturePredictor(model, spec, tiling, device=device).predict, ClassMap.read(folder / "class_map.json")
