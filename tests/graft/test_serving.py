"""The served model: base64 or bytes in, answers out, through the real MLflow without a pickle."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from graft.data.images.codec import encode_png
from graft.deployment.serving import signature
from graft.deployment.serving.predictor import Predictor
from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from tests.graft.small_export import bands, flag, small_export

PNG = encode_png(flag(30, 45))


def mask_of(answer: dict[str, object]) -> np.ndarray:
    data = base64.b64decode(str(answer["mask"]))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_answers_bytes_and_base64_alike_with_the_mask_in_source_values(tmp_path: Path) -> None:
    predictor = Predictor(small_export(tmp_path, source_values=(10, 20, 30)))
    text = base64.b64encode(PNG).decode()
    answers = predictor.answers([PNG, text, f"data:image/png;base64,{text}"])
    for answer in answers:
        np.testing.assert_array_equal(mask_of(answer), (bands(30, 45) + 1) * 10)
        assert answer["class_shares"] == pytest.approx({"red": 1 / 3, "green": 1 / 3, "blue": 1 / 3})


def test_answers_with_label_and_probabilities(tmp_path: Path) -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[..., 2] = 3
    (answer,) = Predictor(small_export(tmp_path, "classification", ("r", "g", "b"))).answers([encode_png(image)])
    assert answer["label"] == "blue"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_images_that_cannot_be_read_are_listed_by_number(tmp_path: Path) -> None:
    predictor = Predictor(small_export(tmp_path))
    with pytest.raises(GraftError, match="images that cannot be read") as refused:
        predictor.answers([PNG, "not base64!", b"no image", 7, b""])
    for wanted in ("image 1: not base64 text", "image 2: ", "image 3: an image is bytes or base64", "image 4: "):
        assert wanted in str(refused.value)


def test_the_example_is_a_request_the_model_answers(tmp_path: Path) -> None:
    inputs, outputs, example = signature.describe(small_export(tmp_path))
    assert list(inputs.columns) == list(example.columns) == ["image"]
    assert list(outputs.columns) == ["mask", "class_shares"]
    assert mask_of(outputs.iloc[0].to_dict()).shape == (signature.EXAMPLE_HEIGHT_PX, signature.EXAMPLE_WIDTH_PX)
    assert any(line.startswith("onnxruntime==") for line in signature.requirements())


@pytest.mark.filterwarnings("ignore")  # MLflow and what it imports warn of their own affairs
@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_mlflow_loads_it_without_pickle_and_answers_both_kinds(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    import mlflow
    from mlflow.exceptions import MlflowException

    values = (0, 1, 2) if task == "segmentation" else ("r", "g", "b")
    folder = small_export(tmp_path / "exported", task, values)
    inputs, outputs, example = signature.describe(folder)
    mlflow.pyfunc.save_model(
        path=str(tmp_path / "saved"),
        python_model=str(Path(signature.__file__).with_name("model.py")),
        artifacts={"model": str(folder)},
        signature=mlflow.models.infer_signature(inputs, outputs),
        input_example=example,
        pip_requirements=signature.requirements(),
        model_config={"graft.model_digest": digest_of(folder)},
    )
    assert not [path for path in (tmp_path / "saved").rglob("*") if path.suffix in (".pkl", ".pickle")]
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    text = base64.b64encode(PNG).decode()
    of_text = loaded.predict(pd.DataFrame({"image": [text]}))
    of_bytes = loaded.predict(pd.DataFrame({"image": [PNG]}))
    pd.testing.assert_frame_equal(of_text, of_bytes)
    assert list(of_text.columns) == list(outputs.columns)
    with pytest.raises(MlflowException, match="cannot be read"):
        loaded.predict(pd.DataFrame({"image": ["not base64!"]}))
    described = tmp_path / "saved/MLmodel"
    described.write_text(re.sub(r"(?m)^.*graft\.model_digest.*\n", "", described.read_text()))
    with pytest.raises(MlflowException, match="no longer says the digest of its files"):
        mlflow.pyfunc.load_model(str(tmp_path / "saved"))


def test_nothing_but_the_logged_file_imports_mlflow() -> None:
    import subprocess

    code = "import sys, graft.deployment.serving.signature; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
