"""Images with several labels through all seven stages: squares of three colours, any of which may be there."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from graft.data.deliveries import renumber
from graft.data.shards import read_rows
from graft.deployment.export.exported_model import classifier_of, open_exported
from graft.deployment.export.onnx_file import ExportedModule
from graft.deployment.prediction_files import predict_files
from graft.deployment.serving.predictor import Predictor
from graft.deployment.serving.signature import describe
from graft.evaluation.observations import Observations
from graft.foundation.class_map import refuse_several_labels
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.inference.label_decisions import decide_labels, label_probabilities
from graft.models.saved_model import ModelSpec
from graft.params.recipes import compose
from graft.params.registries import resolve_choice
from graft.params.sections import Params
from graft.params.source_rules import find_source_problems
from graft.params.yaml_tree import plain
from graft.provenance.loaded_model import load
from tests.dotted_keys import put
from tests.seven_stages import SMALL, run_stages

NAMES = ("red", "green", "blue")
SIZE = 48
CHANGES = SMALL | {
    "task": "multilabel",
    "preprocess.resize": "none",
    "ingest.source": {"name": "csv", "label_columns": [*NAMES], "split_column": "split"},
    "validate.min_class_fraction": 0.0,
    "validate.near_duplicate_bits": 0,
    "augment.crop": {"height_px": SIZE, "width_px": SIZE},
    "augment.policy": {"name": "flip"},
    "augment.views": 2,
    "fine_tune.losses": [{"name": "binary_cross_entropy", "weight": 1.0}],
    "fine_tune.class_weights": "median_frequency",
    "fine_tune.log_prior_bias": True,
    "fine_tune.epochs": 6,
    "fine_tune.warmup_epochs": 0,
    "fine_tune.batch_size": 8,
    "fine_tune.learning_rate": 0.003,
}


def squares(number: int, labels: tuple[int, ...]) -> np.ndarray:
    """Grey noise with a square of each colour that is there, uint8 [48, 48, 3]."""
    generator = np.random.default_rng(number)
    image = generator.integers(90, 130, (SIZE, SIZE, 3), dtype=np.uint8)
    for channel, there in enumerate(labels):
        if there:
            top, left = generator.integers(0, SIZE - 16, 2)
            image[top : top + 16, left : left + 16, channel] = 250
    return image


def make_squares(root: Path) -> None:
    """64 images, each set of colours eight times, and their table."""
    root.mkdir()
    lines = ["image,split,red,green,blue"]
    for number, labels in enumerate(list(product((0, 1), repeat=3)) * 8):
        Image.fromarray(squares(number, labels)).save(root / f"{number:02d}.png")
        split = ("train", "train", "val", "test")[number // 8 % 4]
        lines.append(f"{number:02d}.png,{split},{','.join(map(str, labels))}")
    (root / "data.csv").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of all stages."""
    folder = tmp_path_factory.mktemp("multilabel")
    make_squares(folder / "raw")
    tree = plain(compose("plain-cnn"))
    put(tree, CHANGES)
    run_stages(folder / "raw", folder / "work", Params(**tree))
    return folder / "work"


def test_colours_are_found_and_scored(work: Path) -> None:
    metrics = read_json(work / "exported/metrics.json")
    assert metrics["mean_average_precision"] > 0.9
    assert metrics["macro_f1"] > 0.7
    assert metrics["true_share"] == dict.fromkeys(NAMES, 0.5)
    low, high = metrics["interval"]["mean_average_precision"]
    assert low <= metrics["mean_average_precision"] <= high
    assert {"accuracy", "calibration_error"}.isdisjoint(metrics)


def test_thresholds_travel_with_the_model(work: Path) -> None:
    thresholds = ModelSpec.read(work / "model/spec.json").thresholds
    assert len(thresholds) == 3
    assert all(0 < one < 1 for one in thresholds)
    assert open_exported(work / "exported").spec.thresholds == list(thresholds)
    assert "Thresholds, chosen on val" in (work / "exported/model_card.md").read_text("utf-8")


def test_the_file_decides_by_the_thresholds(work: Path) -> None:
    images = np.stack([squares(900 + number, labels) for number, labels in enumerate(product((0, 1), repeat=3))])
    model, decided = open_exported(work / "exported"), classifier_of(work / "exported/model.onnx")(images)
    assert decided.dtype == np.uint8
    assert decided.shape == (8, 3)
    assert (decided == [model.predict_labels(image).decided for image in images]).all()
    parity = read_json(work / "exported/parity.json")
    assert parity["score"] == "mean_average_precision"
    assert parity["equal_fraction"] == 1
    assert 0 <= parity["max_probability_difference"] < 1e-4


class FixedLogits(nn.Module):
    """Answers with the same logits, float32 [1, 3], whatever the image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_the_file_decides_as_predict_does_where_probabilities_round_to_one(work: Path) -> None:
    logits, thresholds = (40.0, 20.0, -100.0), (1.0, 1.0, 0.0)
    spec = replace(ModelSpec.read(work / "model/spec.json"), thresholds=thresholds)
    _, decided = ExportedModule(FixedLogits(*logits), spec)(torch.zeros(1))  # type: ignore[arg-type]  # no network
    assert decided.tolist() == [[1, 0, 1]]
    assert decide_labels(label_probabilities(np.array(logits)), thresholds).tolist() == [1, 0, 1]


def test_tables_of_the_report(work: Path) -> None:
    with (work / "scores/confusion.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["actual"] for row in rows[:4]] == ["not red", "not red", "red", "red"]
    assert sum(int(row["count"]) for row in rows[:4]) == 16
    page = (work / "scores/report.html").read_text("utf-8")
    assert "Mean average precision" in page
    assert "What is taken for what" not in page
    reference = Observations.read(work / "scores/reference.parquet")
    assert set(reference.class_shares.ravel()) == {0.0, 1.0}


def test_predictions_are_columns_and_answers_name_labels(work: Path, tmp_path: Path) -> None:
    raw = work.parent / "raw"
    predict_files([str(raw / "07.png"), str(raw / "00.png")], work / "exported", tmp_path / "out", log=tmp_path / "log")
    with (tmp_path / "out/labels.csv").open(newline="") as file:
        rows = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    with (tmp_path / "log/predictions.csv").open(newline="") as file:
        logged = {Path(row["file"]).name: row["label"] for row in csv.DictReader(file)}
    for name, row in rows.items():
        (answer,) = Predictor(work / "exported").answers([(raw / name).read_bytes()])
        (loaded,) = load(work / "exported").predict(raw / name)
        has = [colour for colour in NAMES if row[colour] == "1"]
        assert answer["labels"] == has == list(loaded.labels or ())
        assert logged[name] == "|".join(has)
        for colour in NAMES:
            assert float(row[f"probability_{colour}"]) == pytest.approx(answer["probabilities"][colour], abs=1e-6)
            assert (answer["probabilities"][colour] >= answer["thresholds"][colour]) == (colour in has)
    assert rows["00.png"].keys() == {"image", *NAMES, *(f"probability_{name}" for name in NAMES)}


def test_the_signature_knows_what_labels_are_made_of(work: Path) -> None:
    _, answers, _ = describe(work / "exported")
    assert answers["labels"][0]
    assert set(answers["labels"][0]) <= set(NAMES)


def test_classes_of_a_later_delivery_follow(work: Path) -> None:
    row = next(row for row in read_rows(work / "interim/train") if row.mask == bytes([0, 1, 1]))
    other = renumber(row, {0: 2, 1: 0, 2: 3}, 4)
    assert other is not None
    assert other.mask == bytes([1, 0, 0, 1])
    assert other == replace(row, mask=other.mask, mask_sha256=other.mask_sha256)


@pytest.mark.parametrize(
    ("key", "choice", "usable"),
    [
        ("fine_tune.mixing", "cutmix", "one of none"),
        ("fine_tune.sampling", "balanced", "one of shuffled"),
        ("fine_tune.strategy", "incremental", "one of supervised"),
        ("fine_tune.strategy", "fix_match", "one of supervised"),
        ("fine_tune.losses", {"name": "dice", "weight": 1.0}, "one of asymmetric, binary_cross_entropy"),
        ("augment.memory", {"name": "balanced", "new": ["a"], "num_images": 1}, "one of all"),
    ],
)
def test_what_takes_one_label_for_granted_is_refused(key: str, choice: object, usable: str) -> None:
    with pytest.raises(GraftError, match="is not for multilabel") as error:
        resolve_choice(key, choice, "multilabel")
    assert usable in str(error.value)


def test_check_refuses_a_source_of_one_label_an_image() -> None:
    tree = plain(compose("plain-cnn"))
    put(tree, CHANGES | {"ingest.source": {"name": "image_folder"}})
    (found,) = find_source_problems(Params(**tree))
    place, error = found
    assert place == ("ingest", "source")
    assert "image_folder is not for multilabel" in str(error)
    assert "one of csv, cvat, label_studio, labelme" in str(error)


@pytest.mark.parametrize("command", ["graft review", "graft shrink"])
def test_commands_that_take_one_class_for_granted_refuse_it(command: str) -> None:
    for task in ("segmentation", "classification"):
        refuse_several_labels(task, command)
    with pytest.raises(GraftError, match=f"{command} is not for multilabel"):
        refuse_several_labels("multilabel", command)
