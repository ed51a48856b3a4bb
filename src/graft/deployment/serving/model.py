"""The registered model as MLflow runs it: this very file is logged (models from code), so nothing is pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from graft.deployment.serving.predictor import Predictor
from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError


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
        self.predictor = Predictor(folder)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow takes hints for a schema
        """Answers for the images in column `image`: encoded files as base64 text or bytes."""
        import pandas as pd

        table = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        if "image" not in table:
            raise MlflowException.invalid_parameter_value(f"no column image, only {list(map(str, table.columns))}")
        try:
            return pd.DataFrame(self.predictor.answers(table["image"]))
        except GraftError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(ServedModel())
