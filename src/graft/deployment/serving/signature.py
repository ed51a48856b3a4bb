"""Input and output of the served model by example: a real request and the real answer to it."""

from __future__ import annotations

import base64
import io
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.data.images.codec import encode_png
from graft.data.images.stacks import ImageKind
from graft.deployment.serving.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE_HEIGHT_PX, EXAMPLE_WIDTH_PX = 48, 64
# Packages that predicting imports; Graft itself is installed from its checkout, because no index has it.
REQUIRED = (
    "filelock",
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "pandas",
    "pillow",
    "pydantic",
    "tifffile",
    "tqdm",
    "mlflow",
)


def describe(model: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Returns inputs and outputs to infer a signature from, and the input example.

    Args:
        model: Folder like `models/exported`.
    """
    import pandas as pd

    predictor = Predictor(model)
    example = input_example(predictor.model.spec)
    answers = predictor.answers(example["image"])
    for answer in answers:  # MLflow takes no type from an empty list
        if answer.get("labels") == []:
            answer["labels"] = list(predictor.model.class_map.names)
    return example, pd.DataFrame(answers), example


def input_example(kind: ImageKind) -> pd.DataFrame:
    """One row with a column `image`: a small picture of two gradients, PNG (a stack: NumPy's .npy), base64."""
    import pandas as pd

    rows = np.linspace(0, 255, EXAMPLE_HEIGHT_PX, dtype=np.uint8)[:, None]
    columns = np.linspace(0, 255, EXAMPLE_WIDTH_PX, dtype=np.uint8)[None]
    grey = [np.uint8(128)] * (len(kind.channels) - 2)
    image = np.stack(np.broadcast_arrays(rows, columns, *grey)[: len(kind.channels)], axis=-1)
    data = encode_png(image) if kind.max_value is None else _npy(image)
    return pd.DataFrame({"image": [base64.b64encode(data).decode()]})


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def requirements() -> list[str]:
    """The packages of the environment the model runs in, at the versions it was tried with."""
    return [f"{name}=={version(name)}" for name in REQUIRED]
