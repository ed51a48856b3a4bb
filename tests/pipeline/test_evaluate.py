"""Stage `evaluate` on six small images and untrained models."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import confusion_matrix as slow_confusion_matrix

from graft.data.images.codec import decode_image, decode_mask
from graft.evaluation.observations import Observations
from graft.evaluation.report.report_page import percent, points
from graft.evaluation.test_time import average_views
from graft.foundation.content import read_json, sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.inference.embedding import FeaturePredictor
from graft.inference.image_to_logits import predict_class_ids, predict_logits
from graft.inference.tiles import Tiling
from graft.inference.torch_runner import torch_runner
from graft.metrics.boundary import BoundaryIou
from graft.metrics.confusion import confusion_matrix, scores
from graft.models.saved_model import load_model
from graft.params.sections import Evaluate, Predict
from tests.evaluable import NAMES, rows_of, run_evaluate, write_inputs

OUTPUTS = (
    "classes.csv",
    "classes.png",
    "confusion.csv",
    "confusion.png",
    "headline.json",
    "metrics.json",
    "per_image.parquet",
    "reference.parquet",
    "report.html",
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("segmentation")
    write_inputs(root)
    headlines = run_evaluate(root)
    assert headlines["gain_mean_iou"] == pytest.approx(headlines["mean_iou"] - headlines["baseline_mean_iou"])
    return root


def test_metrics_are_those_of_a_slow_count_through_predict_logits(evaluated: Path) -> None:
    model, spec = load_model(evaluated / "models/fine_tuned")
    runner = torch_runner(model, spec)
    truth, found = [], []
    for row in rows_of("segmentation"):
        logits = predict_logits(runner, decode_image(row.image), spec, Tiling(65536, 16))
        mask = decode_mask(row.mask)
        truth.append(mask[mask != 255])
        found.append(logits.argmax(0)[mask != 255])
    expected = scores(slow_confusion_matrix(np.concatenate(truth), np.concatenate(found), labels=range(3)))
    metrics = read_json(evaluated / "reports/evaluation/metrics.json")
    for name in ("mean_iou", "pixel_accuracy", "frequency_weighted_iou"):
        assert metrics[name] == pytest.approx(expected[name], abs=1e-3)
    assert [metrics["iou"][name] for name in NAMES] == pytest.approx(expected["iou"], abs=1e-3)


def test_the_headline_for_dvc_is_short_and_says_what_the_metrics_say(evaluated: Path) -> None:
    metrics = read_json(evaluated / "reports/evaluation/metrics.json")
    headline = read_json(evaluated / "reports/evaluation/headline.json")
    assert headline == {
        "mean_iou": metrics["mean_iou"],
        "baseline_mean_iou": metrics["baseline"]["mean_iou"],
        "gain_mean_iou": metrics["gain"]["mean_iou"],
        "pixel_accuracy": metrics["pixel_accuracy"],
        "frequency_weighted_iou": metrics["frequency_weighted_iou"],
    }


def test_metrics_have_the_promised_keys(evaluated: Path) -> None:
    metrics = read_json(evaluated / "reports/evaluation/metrics.json")
    assert metrics["num_images"] == 6
    assert metrics["split"] == "test"
    assert metrics["synthetic"] is True
    assert metrics["selected_on_this_split"] is False
    for part in (metrics, metrics["baseline"]):
        for by_class in ("iou", "dice", "precision", "recall"):
            assert sorted(part[by_class]) == sorted(NAMES)
        low, high = part["interval"]["mean_iou"]
        assert 0 <= low <= part["mean_iou"] <= high <= 1
        assert 0 <= part["calibration_error"] <= 1
        assert 0 <= part["classwise_calibration_error"] <= 1
        for by_class in ("boundary_iou", "predicted_share", "true_share"):
            assert sorted(part[by_class]) == sorted(NAMES)
        assert part["mean_boundary_iou"] == pytest.approx(
            np.mean([v for v in part["boundary_iou"].values() if v is not None])
        )
        assert sum(part["true_share"].values()) == sum(part["predicted_share"].values()) == pytest.approx(1)
        assert {name: domain["num_images"] for name, domain in part["per_domain"].items()} == {"day": 3, "night": 3}
    assert metrics["test_time"] == {"scales": [1.0], "flip": False}
    assert metrics["gain"]["mean_iou"] == pytest.approx(metrics["mean_iou"] - metrics["baseline"]["mean_iou"])


def test_outlines_are_those_of_the_predictions_beside_the_masks(evaluated: Path) -> None:
    model, spec = load_model(evaluated / "models/fine_tuned")
    runner, counted = torch_runner(model, spec), BoundaryIou(3, 0.02)
    for row in rows_of("segmentation"):
        logits = predict_logits(runner, decode_image(row.image), spec, Tiling(65536, 16))
        counted.add(logits.argmax(0).astype(np.uint8), decode_mask(row.mask))
    metrics = read_json(evaluated / "reports/evaluation/metrics.json")
    assert [metrics["boundary_iou"][name] for name in NAMES] == pytest.approx(counted.by_class.tolist(), abs=1e-2)


def test_the_reference_holds_each_image_as_the_model_sees_it_once(evaluated: Path) -> None:
    stored = Observations.read(evaluated / "reports/evaluation/reference.parquet")
    predictor = FeaturePredictor(*load_model(evaluated / "models/fine_tuned"), Tiling(65536, 16))
    for place, row in enumerate(rows_of("segmentation")):
        image = decode_image(row.image)
        prediction = predictor.predict(image)
        assert stored.digests[place] == row.image_sha256
        assert stored.properties["luminance"][place] == pytest.approx(image.mean(), abs=12)
        assert stored.confidence[place] == pytest.approx(float(prediction.confidence.mean()), abs=1e-3)
        assert stored.class_shares[place] == pytest.approx(
            np.bincount(prediction.class_ids.ravel(), minlength=3) / 3072
        )
        np.testing.assert_allclose(stored.features[place], prediction.features, rtol=5e-3, atol=5e-3)


def test_both_models_are_averaged_over_scales_and_flips(evaluated: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    settings = {"scales": [1.0, 1.5], "flip": True}
    headlines = run_evaluate(tmp_path, test_time=settings)
    plain, metrics = (read_json(root / "reports/evaluation/metrics.json") for root in (evaluated, tmp_path))
    assert metrics["test_time"] == settings
    once, also_once = (
        Observations.read(root / "reports/evaluation/reference.parquet") for root in (evaluated, tmp_path)
    )
    np.testing.assert_allclose(once.features, also_once.features, rtol=5e-3, atol=5e-3)
    pages = [(root / "reports/evaluation/report.html").read_text("utf-8") for root in (evaluated, tmp_path)]
    assert ["averaged over the scales 1.0, 1.5, each also mirrored" in page for page in pages] == [False, True]
    assert headlines["mean_boundary_iou"] == metrics["mean_boundary_iou"]
    expected = np.zeros((3, 3), np.int64)
    model, spec = load_model(tmp_path / "models/fine_tuned/baseline")
    predict = Predict(max_pixels=65536, overlap_px=16)
    runner = average_views(
        torch_runner(model, spec), spec, Evaluate.model_fields["test_time"].annotation(**settings), predict
    )
    for row in rows_of("segmentation"):
        class_ids = predict_class_ids(runner, decode_image(row.image), spec, Tiling(65536, 16))
        expected += confusion_matrix(class_ids, decode_mask(row.mask), 3)
    assert metrics["baseline"]["mean_iou"] == pytest.approx(scores(expected)["mean_iou"], abs=1e-3)
    for part, of_plain in ((metrics, plain), (metrics["baseline"], plain["baseline"])):
        assert part["calibration_error"] != of_plain["calibration_error"]


def test_an_adapted_model_is_compared_by_domain_with_one_that_was_not(tmp_path: Path) -> None:
    write_inputs(tmp_path, others=("source_only",))
    headlines = run_evaluate(tmp_path)
    metrics = read_json(tmp_path / "reports/evaluation/metrics.json")
    model, spec = load_model(tmp_path / "models/fine_tuned/source_only")
    runner, counted = (
        torch_runner(model, spec),
        {"day": np.zeros((3, 3), np.int64), "night": np.zeros((3, 3), np.int64)},
    )
    for row in rows_of("segmentation"):
        class_ids = predict_class_ids(runner, decode_image(row.image), spec, Tiling(65536, 16))
        counted[row.domain] += confusion_matrix(class_ids, decode_mask(row.mask), 3)
    unadapted = metrics["source_only"]
    for domain, confusion in counted.items():
        expected = scores(confusion)["mean_iou"]
        assert unadapted["per_domain"][domain]["mean_iou"] == pytest.approx(expected, abs=1e-3)
    gain = metrics["mean_iou"] - unadapted["mean_iou"]
    assert metrics["gain_over_source_only"]["mean_iou"] == pytest.approx(gain)
    assert headlines["gain_over_source_only_mean_iou"] == pytest.approx(gain)
    shown = read_json(tmp_path / "reports/evaluation/headline.json")
    assert shown["source_only_mean_iou"] == unadapted["mean_iou"]
    assert "baseline_mean_iou" not in shown
    page = re.sub(r"<[^>]+>", " ", (tmp_path / "reports/evaluation/report.html").read_text("utf-8"))
    for kind, other, own in (
        ("all images 6", unadapted, metrics),
        ("day 3", unadapted["per_domain"]["day"], metrics["per_domain"]["day"]),
        ("night 3", unadapted["per_domain"]["night"], metrics["per_domain"]["night"]),
    ):
        row = f"{kind} {percent(other['mean_iou'])} {percent(own['mean_iou'])}"
        assert f"{row} {points(own['mean_iou'] - other['mean_iou'])}" in " ".join(page.split())


def test_tables_add_up_to_the_same_counts(evaluated: Path) -> None:
    out = evaluated / "reports/evaluation"
    rows = pq.read_table(out / "per_image.parquet").to_pylist()
    assert [row["id"] for row in rows] == [f"clip/{index}.png" for index in range(6)]
    total = np.sum([row["confusion"] for row in rows], axis=0)
    with (out / "confusion.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert [int(cell["count"]) for cell in cells] == total.tolist()
    assert total.sum() == 6 * 44 * 64
    shares = [float(cell["share"]) for cell in cells if cell["actual"] == "sky"]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    for row in rows:
        of_image = scores(np.array(row["confusion"]).reshape(3, 3))
        assert row["score"] == of_image["mean_iou"]
        assert len(row["baseline_confusion"]) == 9
    with (out / "classes.csv").open() as file:
        classes = list(csv.DictReader(file))
    metrics = read_json(out / "metrics.json")
    assert [row["class"] for row in classes] == list(NAMES)
    assert [float(row["score"]) for row in classes] == pytest.approx([metrics["iou"][name] for name in NAMES], abs=1e-6)
    assert float(classes[0]["baseline_score"]) == pytest.approx(metrics["baseline"]["iou"]["road"], abs=1e-6)


def test_the_same_bytes_twice(evaluated: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    run_evaluate(tmp_path)
    for name in OUTPUTS:
        assert sha256_of(tmp_path / "reports/evaluation" / name) == sha256_of(evaluated / "reports/evaluation" / name)
    assert sorted(path.name for path in (tmp_path / "reports/evaluation").iterdir()) == sorted(OUTPUTS)


def test_classification_without_baseline(tmp_path: Path) -> None:
    write_inputs(tmp_path, "classification", others=())
    headlines = run_evaluate(tmp_path, "classification")
    metrics = read_json(tmp_path / "reports/evaluation/metrics.json")
    assert set(headlines) == {"accuracy", "macro_f1", "calibration_error"}
    assert "mean_iou" not in metrics
    assert "baseline" not in metrics
    rows = pq.read_table(tmp_path / "reports/evaluation/per_image.parquet").to_pylist()
    right = [np.trace(np.reshape(row["confusion"], (3, 3))) for row in rows]
    assert metrics["accuracy"] == pytest.approx(np.mean(right))
    assert all(0 <= row["score"] <= 1 and row["baseline_confusion"] is None for row in rows)
    assert sorted(metrics["recall"]) == sorted(metrics["f1"]) == sorted(metrics["precision"]) == sorted(NAMES)


def test_scores_on_val_say_so(tmp_path: Path) -> None:
    write_inputs(tmp_path, others=())
    run_evaluate(tmp_path, split="val")
    assert read_json(tmp_path / "reports/evaluation/metrics.json")["selected_on_this_split"] is True
    assert "Selected on this split" in (tmp_path / "reports/evaluation/report.html").read_text()


def test_void_images_and_a_class_without_truth(tmp_path: Path) -> None:
    rows = rows_of("segmentation", change=lambda mask: np.where(mask == 2, 255, mask).astype(np.uint8))
    void = rows_of("segmentation", 1, change=lambda mask: np.full_like(mask, 255))[0]
    write_inputs(tmp_path, others=(), rows=[void, *rows[1:]])
    run_evaluate(tmp_path)
    metrics = read_json(tmp_path / "reports/evaluation/metrics.json")
    assert metrics["recall"]["sky"] is None
    assert metrics["num_images"] == 6
    per_image = pq.read_table(tmp_path / "reports/evaluation/per_image.parquet").to_pylist()
    assert per_image[0]["score"] is None
    assert not any(per_image[0]["confusion"])


def test_images_larger_than_a_forward_pass_are_scored_all_the_same(tmp_path: Path) -> None:
    large = rows_of("segmentation", 1)[0]
    image, mask = decode_image(large.image), decode_mask(large.mask)
    from graft.data.images.codec import encode_png

    row = replace(large, image=encode_png(np.tile(image, (6, 6, 1))), mask=encode_png(np.tile(mask, (6, 6))))
    write_inputs(tmp_path, others=(), rows=[row])
    run_evaluate(tmp_path)
    metrics = read_json(tmp_path / "reports/evaluation/metrics.json")
    assert metrics["calibration_error"] is None
    assert pq.read_table(tmp_path / "reports/evaluation/per_image.parquet")["confusion"].to_pylist()[0] != [0] * 9


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"the test split has no images.*Remedy: set evaluate\.split: val"),
        (
            rows_of("segmentation", 2, change=lambda mask: np.full_like(mask, 255)),
            r"no pixel of the test split is labelled.*Remedy: check the classes of ingest\.source",
        ),
        (
            rows_of("segmentation", 1, change=lambda mask: np.ascontiguousarray(mask[:40])),
            r"clip/0\.png: the mask has 64×40 pixels, the image 64×48.*one size",
        ),
        ([replace(rows_of("segmentation", 1)[0], mask=None)], r"clip/0\.png: an image of split test has no mask"),
    ],
)
def test_what_cannot_be_scored_is_answered(tmp_path: Path, rows: list, message: str) -> None:
    write_inputs(tmp_path, others=(), rows=rows)
    with pytest.raises(GraftError, match=f"(?s){message}"):
        run_evaluate(tmp_path)


@pytest.mark.parametrize("role", ["train", "unlabelled"])
def test_an_image_seen_in_training_stops_it(tmp_path: Path, role: str) -> None:
    write_inputs(tmp_path, others=())
    seen = [row.image_sha256 for row in rows_of("segmentation")]
    write_json(tmp_path / "models/fine_tuned/seen.json", {"train": [], "val": []} | {role: seen})
    with pytest.raises(GraftError, match=r"6 test images were seen in training: clip/0\.png.*clip/4\.png and 1 more"):
        run_evaluate(tmp_path)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    write_inputs(tmp_path, others=())
    shard = next((tmp_path / "data/interim/test").glob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(GraftError, match=r"first-00000\.parquet: damaged shard"):
        run_evaluate(tmp_path)


def test_curves_without_a_column_are_named(tmp_path: Path) -> None:
    write_inputs(tmp_path, others=())
    (tmp_path / "reports/fine_tuning/curves.csv").write_text("run,epoch\nfine_tuned,1\n")
    with pytest.raises(GraftError, match=r"curves\.csv: columns are missing: train_loss, val_loss, val_score"):
        run_evaluate(tmp_path)
