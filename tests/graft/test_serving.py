"""The served model: base64 or bytes in, answers out, through the real MLflow without a pickle."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import graft
from graft.data.images.codec import encode_png
from graft.deployment.serving import request, signature
from graft.deployment.serving.predictor import Predictor
from graft.foundation.content import digest_of
from graft.foundation.errors import GraftError
from tests.end_to_end.served import free_port
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


def test_the_target_that_is_named_answers(tmp_path: Path) -> None:
    model = small_export(tmp_path, source_values=(10, 20, 30))
    (model / "model.onnx").rename(model / "model_fp16.onnx")
    (answer,) = Predictor(model, target="onnx_fp16").answers([PNG])
    np.testing.assert_array_equal(mask_of(answer), (bands(30, 45) + 1) * 10)


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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The scoring server of MLflow with a small model; its address, and the folder of a photograph."""
    import mlflow
    import uvicorn
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import scoring_server

    folder = tmp_path_factory.mktemp("served")
    exported = small_export(folder / "exported")
    inputs, outputs, example = signature.describe(exported)
    with warnings.catch_warnings(action="ignore"):
        mlflow.pyfunc.save_model(
            path=str(folder / "saved"),
            python_model=str(Path(signature.__file__).with_name("model.py")),
            artifacts={"model": str(exported)},
            signature=ModelSignature(outputs=mlflow.models.infer_signature(inputs, outputs).outputs),
            input_example=example,
            pip_requirements=signature.requirements(),
            model_config={"graft.model_digest": digest_of(exported)},
        )
        app = scoring_server.init(mlflow.pyfunc.load_model(str(folder / "saved")))
    (folder / request.FILE).write_bytes(PNG)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/invocations", folder
    server.should_exit = True
    thread.join()


def test_the_requests_of_the_readme_and_the_card_really_run(served: tuple[str, Path], repository: Path) -> None:
    url, folder = served
    readme = (repository / "README.md").read_text("utf-8")
    for text in (
        request.CURL,
        request.PYTHON,
        request.serve_command("segmentation"),
        request.load_example("segmentation"),
    ):
        assert f"\n{text}\n```" in readme
    curl = subprocess.run(
        ["sh", "-c", request.CURL.replace(request.URL, url)], cwd=folder, capture_output=True, check=True
    )
    code = request.PYTHON.replace(request.URL, url) + "\nprint(json.dumps(answer))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=True)
    for answer in (json.loads(curl.stdout)["predictions"][0], json.loads(done.stdout)):
        np.testing.assert_array_equal(mask_of(answer), bands(30, 45))


IMAGE = base64.b64encode(PNG).decode()
LARGE = "A" * 50_000
WRONG = {
    "a null": ({"inputs": {"image": [IMAGE, None]}}, "image 1: null, where an image is bytes or base64 text"),
    "a null in a table": ({"dataframe_split": {"columns": ["image"], "data": [[None]]}}, "image 0: null"),
    "a number": ({"dataframe_records": [{"image": 5}]}, "image 0: an image is bytes or base64 text, not int"),
    "another column": ({"dataframe_split": {"columns": ["img"], "data": [[LARGE]]}}, "no column image, only ['img']"),
    "what is no image": ({"inputs": [LARGE]}, "image 0: not an image of a known kind"),
    "too many": ({"inputs": [LARGE[:1000]] * 65}, "65 images in one request. Rule: a request holds 1 to 64."),
    "none": ({"inputs": {"image": []}}, "0 images in one request"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_answered_with_400_in_one_line(served: tuple[str, Path], case: str) -> None:
    content, message = WRONG[case]
    asked = urllib.request.Request(served[0], json.dumps(content).encode(), {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=60)
    with refused.value as answer:
        said = json.loads(answer.read())
    assert refused.value.code == 400
    assert message in said["message"]
    assert "\n" not in said["message"]
    assert len(said["message"]) < 1100


def test_a_program_predicts_with_paths_bytes_and_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = graft.load(small_export(tmp_path / "exported"))
    (tmp_path / "flag.png").write_bytes(PNG)
    answers = model.predict([str(tmp_path / "flag.png"), tmp_path / "flag.png", PNG, flag(30, 45)])
    for answer in [*answers, *model.predict(PNG)]:
        assert answer.class_ids is not None
        np.testing.assert_array_equal(answer.class_ids, bands(30, 45))
        assert answer.confidence.shape == (30, 45)
        assert (answer.class_names, answer.version) == (("red", "green", "blue"), None)
    with pytest.raises(GraftError) as refused:
        model.predict([tmp_path / "gone.png", flag(9, 9).astype(np.float32), b"x"])
    for words in (
        "gone.png: No such file",
        "image 1: this is float32 [9, 9, 3]",
        "image 2: not an image of a known kind",
    ):
        assert words in str(refused.value)
    assert "was not verified" in capsys.readouterr().err
    classifier = graft.load(small_export(tmp_path / "labels", "classification", ("r", "g", "b")))
    (answer,) = classifier.predict(np.full((8, 8, 3), (0, 0, 2), np.uint8))
    assert (answer.label, answer.class_ids) == ("blue", None)
    assert answer.confidence == answer.probabilities["blue"]
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_importing_graft_is_instant() -> None:
    code = "import sys, graft; sys.exit('numpy' in sys.modules or hasattr(graft, 'lode'))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_but_the_logged_file_imports_mlflow() -> None:
    code = "import sys, graft.deployment.serving.signature; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
