"""The registered model as MLflow runs it: this very file is logged (models from code), so nothing is pickled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from graft.deployment.serving.predictor import Predictor, images_of
from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError

MOST_CHARACTERS = 1000  # of an answer that names what is wrong with a request


class RefusedRequest(MlflowException):
    """A wrong request: status 400 and one line.

    MLflow's server puts the whole request, images and all, in front of the message of an exception; that is not taken.
    """

    def __init__(self, reason: str) -> None:
        line = " ".join(reason.split())
        self._line = line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]} …"
        super().__init__(self._line, error_code=BAD_REQUEST)

    @property
    def message(self) -> str:
        """The line."""
        return self._line

    @message.setter
    def message(self, _: str) -> None:
        """Leaves the line as it is."""


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]  # mlflow loads pyfunc lazily
    """A table with a column `image` in, a table of answers out."""

    def load_context(self, context: Any) -> None:
        """Opens the exported folder among the model's artifacts, if it is what was registered."""
        folder = Path(context.artifacts["model"])
        registered = (context.model_config or {}).get("graft.model_digest")
        if registered is None:
            raise MlflowException(f"{folder}: the config of this model no longer says the digest of its files")
        if registered != digest_of(folder):
            raise MlflowException(f"{folder}: not the files that were registered, whose digest is {registered}")
        log = os.environ.get("GRAFT_PREDICTION_LOG")
        target = os.environ.get("GRAFT_SERVED_TARGET", "onnx")
        self.predictor = Predictor(folder, Path(log) if log else None, f"digest {registered}", target)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow takes hints for a schema
        """Answers for the images in column `image`: encoded files as base64 text or bytes."""
        import pandas as pd

        try:
            return pd.DataFrame(self.predictor.answers(images_of(model_input)))
        except GraftError as error:
            raise RefusedRequest(str(error)) from None


mlflow.models.set_model(ServedModel())
