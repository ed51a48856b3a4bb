"""`graft drift` from files to page: night from day, no alarm between days, few images, and bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.commands.drift.drift import find_drift, observe
from graft.commands.drift.verdict import State
from graft.data.images.codec import encode_png
from graft.evaluation.observations import Observations
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError
from graft.inference.embedding import FeaturePredictor
from graft.inference.tiles import Tiling
from graft.models.architectures import build_fresh
from graft.models.saved_model import ModelSpec, save_state
from graft.scenes import CLASS_COLOURS, CLASSES, render

NUM_REFERENCE, NUM_NEW = 24, 16


def draw(folder: Path, domain: str, numbers: range) -> list[str]:
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / f"{number}.png").write_bytes(encode_png(render(5, domain, number, width=64, height=48).image))
    return [str(folder)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder without ONNX: an untrained model, whose reference is of streets by day."""
    root = tmp_path_factory.mktemp("model")
    choice = {"name": "plain_fcn"}
    network = build_fresh("segmentation", choice, len(CLASSES), 0).eval()
    spec = ModelSpec(
        "segmentation", choice, len(CLASSES), CLASSES, (0.5,) * 3, (0.25,) * 3, {"name": "none"}, 1, synthetic=True
    )
    folder = root / "exported"
    save_state(folder / "weights.safetensors", network.state_dict(), spec.as_dict())
    spec.write(folder / "spec.json")
    classes = ClassMap("segmentation", CLASSES, CLASS_COLOURS, tuple(range(len(CLASSES))), True, True, "scenes")
    classes.write(folder / "class_map.json")
    write_json(folder / "predict.json", {"max_pixels": 65536, "overlap_px": 16})
    draw(root / "day", "day", range(NUM_REFERENCE))
    predictor = FeaturePredictor(network, spec, Tiling(65536, 16))
    files = sorted((root / "day").iterdir())
    seen = list(observe(files, predictor, classes, [], []))
    Observations.of(seen).write(folder / "reference.parquet")
    return folder


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("new")
    draw(root / "day", "day", range(100, 100 + NUM_NEW))
    draw(root / "night", "night", range(NUM_NEW))
    return root


def test_night_is_told_from_day_and_the_page_says_where(model: Path, new: Path, tmp_path: Path) -> None:
    (new / "night" / "notes.txt").write_text("not an image")
    answer = CliRunner().invoke(
        with_commands(), ["drift", str(new / "night"), "--model", str(model), "--out", str(tmp_path)]
    )
    assert answer.exit_code == 3, answer.output
    assert "1 not an image by its ending (notes.txt)" in answer.output
    found = read_json(tmp_path / "drift.json")
    assert {"luminance", "features"} <= set(found["moved"])
    assert "darker" in found["measures"][0]["said"]
    assert found["unusual"]
    assert all("night" in one["image"] and one["reasons"] for one in found["unusual"])
    page = (tmp_path / "drift.html").read_text("utf-8")
    assert all(text in page for text in ("darker", found["unusual"][0]["image"], "data:image/jpeg;base64", "5.0%"))


def test_nothing_moved_between_two_samples_of_day(model: Path, new: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        with_commands(), ["drift", str(new / "day"), "--model", str(model), "--out", str(tmp_path)]
    )
    assert answer.exit_code == 0, answer.output
    assert State.NOTHING in answer.output
    assert read_json(tmp_path / "drift.json")["moved"] == []


def test_of_few_images_it_says_what_they_leave_open(model: Path, new: Path, tmp_path: Path) -> None:
    few = [str(path) for path in sorted((new / "day").iterdir())[:3]]
    found = find_drift(few, model, tmp_path, 0.05)
    assert found.verdict.state is State.NOTHING
    assert "3 new images are too few to tell any change from chance" in found.verdict.undecided


def test_an_unreadable_file_is_named_and_the_others_are_compared(model: Path, new: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "new" / "fine.png").write_bytes((new / "day" / "100.png").read_bytes())
    found = find_drift([str(tmp_path / "new")], model, tmp_path / "out", 0.05)
    assert [file.name for file in found.files] == ["fine.png"]
    assert len(found.problems) == 1
    assert "broken.png" in found.problems[0]
    (tmp_path / "new" / "fine.png").unlink()
    with pytest.raises(GraftError, match="not one image could be read"):
        find_drift([str(tmp_path / "new")], model, tmp_path / "out", 0.05)


def test_bad_input_is_refused(model: Path, new: Path, tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="no such image, or no image in it"):
        find_drift([str(tmp_path / "nowhere")], model, tmp_path, 0.05)
    with pytest.raises(GraftError, match="no rate of false alarms"):
        find_drift([str(new / "day")], model, tmp_path, 0.0)
    for name in ("weights.safetensors", "spec.json", "class_map.json", "predict.json"):
        (tmp_path / "old").mkdir(exist_ok=True)
        (tmp_path / "old" / name).write_bytes((model / name).read_bytes())
    with pytest.raises(GraftError, match="carries no reference") as caught:
        find_drift([str(new / "day")], tmp_path / "old", tmp_path, 0.05)
    assert "dvc repro" in (caught.value.remedy or "")


def test_images_of_other_channels_are_named(model: Path, new: Path, tmp_path: Path) -> None:
    for name in ("weights.safetensors", "predict.json", "reference.parquet"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    for name in ("spec.json", "class_map.json"):
        stack = {"channels": ["red", "green", "blue", "infrared"], "max_value": 1000}
        write_json(tmp_path / name, read_json(model / name) | stack)
    weights = build_fresh("segmentation", {"name": "plain_fcn"}, len(CLASSES), 0, 4)
    save_state(tmp_path / "weights.safetensors", weights.state_dict(), {})
    with pytest.raises(GraftError, match="channels"):
        find_drift([str(new / "day" / "100.png")], tmp_path, tmp_path / "out", 0.05)
