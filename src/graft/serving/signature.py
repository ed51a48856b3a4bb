"""What the served model takes and gives, by example: a real request and the real answer to it."""

from __future__ import annotations

import base64
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.datasets.images import encode_png
from graft.serving.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE_HEIGHT_PX, EXAMPLE_WIDTH_PX = 48, 64
# What predicting imports; Graft itself is installed from its checkout, no index has it.
REQUIRED = ("numpy", "opencv-python-headless", "onnxruntime", "pandas", "pillow", "pydantic", "tqdm", "mlflow")


def described(model: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Inputs and outputs to infer a signature from, and the input example.

    Args:
        model: As `models/exported`.
    """
    import pandas as pd

    example = input_example()
    return example, pd.DataFrame(Predictor(model).answers(example["image"])), example


def input_example() -> pd.DataFrame:
    """One row with a column `image`: a small picture of two gradients, PNG, base64."""
    import pandas as pd

    rows = np.linspace(0, 255, EXAMPLE_HEIGHT_PX, dtype=np.uint8)[:, None]
    columns = np.linspace(0, 255, EXAMPLE_WIDTH_PX, dtype=np.uint8)[None]
    planes = np.broadcast_arrays(rows, columns, np.uint8(128))
    return pd.DataFrame({"image": [base64.b64encode(encode_png(np.stack(planes, axis=-1))).decode()]})


def requirements() -> list[str]:
    """The packages of the environment the model runs in, at the versions it was tried with."""
    return [f"{name}=={version(name)}" for name in REQUIRED]
