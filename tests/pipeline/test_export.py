"""Export: the file is the model, anywhere the same bytes, and stops where it is not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from graft.data.images.codec import encode_png
from graft.data.shards import ShardWriter
from graft.deployment.export import latency, parity
from graft.deployment.export.exported_model import TARGET_FILES, onnx_class_ids, onnx_runner, open_exported, session
from graft.deployment.export.exported_scores import EvaluationSetup
from graft.deployment.export.onnx_file import write_onnx
from graft.deployment.export.weight_files import stored_state
from graft.deployment.serving import request
from graft.evaluation.test_time import PLAIN
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json, sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import most_likely_classes, predict_batch, predict_logits
from graft.inference.tiles import Tiling
from graft.inference.torch_runner import torch_runner
from graft.metrics.confusion import HEADLINES
from graft.metrics.summaries import CLASS_SCORES, CLASS_SHARES
from graft.models.architectures import build_fresh
from graft.models.parts.pooling import MatrixPool
from graft.models.saved_model import ModelSpec, load_model, save_model
from graft.models.widths import num_parameters
from graft.params.sections import Evaluate, Export, Predict
from graft.provenance.exported_files import ExportedFile, exported_files
from graft.provenance.stages import EXPORTED, MEASURED, measured_path
from graft.training.strategies.channel_pruning import Pruning
from pipeline.export import export
from tests.tiny_training import runtime

NAMES = ("road", "car", "sky")
RUNTIME = runtime()
PREDICT = Predict(max_pixels=2_000_000, overlap_px=64)
EVALUATE = Evaluate(
    split="test",
    batch_size=4,
    bootstrap_samples=50,
    calibration_bins=5,
    boundary_fraction=0.02,
    test_time={"scales": [1.0], "flip": False},
)
TEACHER = {"model": "models:/streets/3", "sha256": "0123"}
SETTINGS: dict[str, Any] = {
    "targets": ["onnx"],
    "calibration": "none",
    "scan": "none",
    "weights_dtype": "float32",
    "opset": 18,
    "parity_images": 4,
    "max_logit_difference": 1e-3,
    "min_equal_fraction": 0.999,
    "max_score_difference": 1e-3,
}
MODELS = {
    "segmentation": {"name": "unet", "encoder": "resnet18"},
    "classification": {"name": "plain_cnn", "width": 16},
}


def workspace(root: Path, task: str, model: dict[str, Any] | None = None) -> dict[str, Path]:
    """What export reads, small: six images of two sizes, a model nobody trained."""
    root.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(3)
    writer = ShardWriter(root / "interim", "first")
    for number in range(12):
        height, width = ((48, 64), (50, 70))[number % 2]
        split = ("test", "test", "train", "val")[number // 3]
        image = generator.integers(0, 256, (height, width, 3), np.uint8)
        mask = generator.integers(0, 3, (height, width), np.uint8)
        segments = task == "segmentation"
        writer.add(
            {
                "id": f"{number}.png",
                "split": split,
                "batch": "first",
                "domain": "day",
                "group": str(number),
                "image": encode_png(image),
                "image_sha256": str(number),
                "mask": encode_png(mask) if segments else None,
                "mask_sha256": str(number) if segments else None,
                "label": None if segments else number % 3,
            }
        )
    writer.close()
    classes = ClassMap(task, NAMES, ((128, 64, 128), (64, 0, 128), (128, 128, 128)), (0, 1, 2), False, True, "scenes")
    classes.write(root / "class_map.json")
    choice = model or MODELS[task]
    network = build_fresh(task, choice, 3, 7)
    torch.manual_seed(0)
    for module in network.modules():  # statistics as of a trained model, so that logits are of everyday size
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 64, 96))
    sides = {"padding_multiple": network.padding_multiple, "min_side_px": network.min_side_px}
    spec = ModelSpec(task, choice, 3, NAMES, (0.5,) * 3, (0.25,) * 3, {"name": "none"}, synthetic=True, **sides)
    (root / "model").mkdir(exist_ok=True)
    save_model(root / "model", network.eval(), spec)
    write_json(root / "model" / "seen.json", {"train": ["6", "8", *"abc"], "val": ["b"]})
    write_json(root / "model" / "strategy.json", {"name": "distil", "teacher": [TEACHER]})
    values = dict.fromkeys(HEADLINES[task], 0.61) | {score: dict.fromkeys(NAMES, 0.5) for score in CLASS_SCORES[task]}
    values |= {
        "interval": {name: [0.55, 0.66] for name in HEADLINES[task]},
        "per_domain": {},
        "calibration_error": 0.04,
        "classwise_calibration_error": 0.03,
        **{share: dict.fromkeys(NAMES, 0.33) for share in CLASS_SHARES},
    }
    if task == "segmentation":
        values |= {"mean_boundary_iou": 0.4, "boundary_iou": dict.fromkeys(NAMES, 0.4)}
    metrics = {**values, "baseline": values, "split": "test", "selected_on_this_split": False, "synthetic": True}
    metrics["test_time"] = PLAIN
    write_json(root / "metrics.json", {**metrics, "num_images": 6})
    card = {
        "name": "none",
        "description": "Nothing: trained from scratch.",
        "origin": "",
        "licence": "",
        "sha256": None,
    }
    write_json(root / "card.json", card | {name: [] for name in ("matched", "resized", "reinitialised", "left_out")})
    interim = root / "interim"
    paths = {"images": interim / "test", "calibration": interim / "train", "scan": interim / "val"}
    paths |= {"class_map": root / "class_map.json", "model": root / "model"}
    (root / "reference.parquet").write_bytes(b"what the model saw")
    written = {name: root / f"{name}.json" for name in ("metrics", "card")}
    return {**paths, **written, "reference": root / "reference.parquet"}


def run(
    root: Path,
    task: str = "segmentation",
    measured: Path | None = None,
    pruned_to: float | None = None,
    **changed: Any,
) -> tuple[Path, dict[str, float]]:
    out = root / "out"
    out.mkdir(parents=True)
    settings = Export(**{**SETTINGS, **changed})
    paths = workspace(root, task)
    if pruned_to is not None:
        network, spec = load_model(paths["model"])
        pruning = Pruning("parameters", "magnitude")
        pruning.prune(network, int(pruned_to * pruning.count(network)))
        save_model(paths["model"], network, replace(spec, widths=network.widths))
    sections = {"predict": PREDICT, "evaluate": EVALUATE, "export": settings}
    result = export(task=task, seed=3, runtime=RUNTIME, **sections, **paths, out=out, measured=measured)
    return out, result


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("one")
    return run(root, measured=root / "measured.json")[0]


def test_writes_all_it_promises_and_says_how_equal_it_is(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        "model.onnx",
        "weights.safetensors",
        "spec.json",
        "class_map.json",
        "predict.json",
        "metrics.json",
        "parity.json",
        "model_card.md",
        "reference.parquet",
    }
    found = read_json(exported / "parity.json")
    assert found["equal_fraction"] == 1
    assert max(found["max_logit_difference"], found["relative_difference_at_odd_sizes"]) < 1e-3
    assert found["images"] == ["0.png", "1.png", "3.png", "4.png"]
    for name in ("metrics.json", "reference.parquet"):
        assert (exported / name).read_bytes() == (exported.parent / name).read_bytes()


def test_the_file_takes_any_batch_and_size_and_gives_the_classes_of_its_logits(exported: Path) -> None:
    opened = session(exported / "model.onnx", 1)
    inputs, outputs = (
        [(v.name, v.type, v.shape) for v in values] for values in (opened.get_inputs(), opened.get_outputs())
    )
    assert inputs == [("images", "tensor(uint8)", ["batch", "height", "width", 3])]
    assert [(name, kind) for name, kind, _ in outputs] == [("logits", "tensor(float)"), ("class_ids", "tensor(uint8)")]
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 160, 3), np.uint8)
    logits = onnx_runner(opened)(images)
    assert logits.shape == (3, 3, 96, 160)
    np.testing.assert_array_equal(onnx_class_ids(opened, images), [most_likely_classes(one) for one in logits])


def test_prediction_is_that_of_the_original_whoever_runs_it(exported: Path) -> None:
    model, spec = load_model(exported, weights="weights.safetensors")
    opened = open_exported(exported, num_threads=1)
    images = [np.random.default_rng(i).integers(0, 256, (40 + i, 77, 3), np.uint8) for i in range(3)]
    ours = predict_batch(opened.runner, images, opened.spec, opened.tiling)
    for image, logits in zip(images, ours, strict=True):
        theirs = predict_logits(torch_runner(model, spec), image, spec, Tiling(10**6, 0))
        np.testing.assert_allclose(logits, theirs, atol=1e-3)


def test_two_folders_hold_the_same_bytes_and_no_path(exported: Path, tmp_path: Path) -> None:
    again, _ = run(tmp_path / "elsewhere" / "deeper")
    assert {p.name: p.read_bytes() for p in exported.iterdir()} == {p.name: p.read_bytes() for p in again.iterdir()}
    for path in exported.iterdir():
        content = path.read_bytes()
        assert not any(trace in content for trace in (b"site-packages", b'.py", line', str(exported.parent).encode()))
    proto = onnx.load(str(exported / "model.onnx"))
    assert not proto.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in proto.graph.node)
    onnx.checker.check_model(proto)


def test_ways_are_timed_in_turns_and_the_median_leaves_out_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    moments = iter(range(1000))
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: next(moments) ** 2))
    found = latency.time_in_turns({name: partial(order.append, name) for name in "ab"}, "Timing")
    assert order == ["a", "b"] * (latency.NUM_WARM_UPS + latency.NUM_RUNS)
    # Run r of `a` takes (4r + 1)² - (4r)² = 8r + 1 seconds, of `b` 8r + 5; the median r counts the warm-ups before it.
    middle = latency.NUM_WARM_UPS + (latency.NUM_RUNS - 1) / 2
    assert found == {"a": 1000 * (8 * middle + 1), "b": 1000 * (8 * middle + 5)}


def test_latency_is_measured_beside_the_outputs(exported: Path) -> None:
    measured = read_json(exported.parent / "measured.json")
    assert set(measured) == {"eager_ms", "onnx_ms", "speedup", "height_px", "width_px"}
    assert measured["onnx_ms"] > 0


def test_the_card_tells_what_a_careful_person_asks(exported: Path) -> None:
    card = (exported / "model_card.md").read_text(encoding="utf-8")
    for text in (
        request.CURL,
        request.PYTHON,
        request.load_example("segmentation"),
        request.serve_command("segmentation"),
    ):
        assert f"\n{text}\n```" in card
    for wanted in (
        "Synthetic data",
        "55.0% to 66.0%",
        "from scratch",
        "## Limits",
        "## Licences",
        "sha256",
        "6 test images",
    ):
        assert wanted in card, wanted
    assert "| Taught by | `models:/streets/3`, sha256 `0123` |" in card
    assert "| Teacher | that of `models:/streets/3`: see its card |" in card
    assert "None" not in card


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    root = tmp_path_factory.mktemp("classifier")
    wide = {"max_score_difference": 1.0, "min_equal_fraction": 0.0}
    targets = ["pt2", {"name": "onnx_int8", "calibration_images": 2, **wide}, {"name": "onnx_fp16", **wide}, "onnx"]
    changed = {"weights_dtype": "float16", "max_score_difference": 0.5, "targets": targets}
    changed |= {"calibration": "train", "scan": "val"}
    return run(root, task="classification", measured=root / "measured.json", **changed)


def test_a_classifier_in_half_precision_is_scored_with_the_very_file(
    classifier: tuple[Path, dict[str, float]],
) -> None:
    out, result = classifier
    assert result["equal_fraction"] == 1
    found = read_json(out / "parity.json")
    assert found["max_logit_difference"] < 1e-3  # the file against the rounded weights
    assert found["rounding"]["score"] == "accuracy"
    metrics = read_json(out / "metrics.json")
    assert metrics["accuracy"] == found["rounding"]["exported_score"] != 0.61
    assert metrics["split"] == "test"
    before, after = out.parent / "model" / "model.safetensors", out / "weights.safetensors"
    assert after.stat().st_size < 0.6 * before.stat().st_size
    model, _ = load_model(out, weights="weights.safetensors")
    assert next(iter(model.parameters())).dtype == torch.float32
    assert "half precision" in (out / "model_card.md").read_text(encoding="utf-8")
    opened = session(out / "model.onnx", 1)
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 80, 3), np.uint8)
    np.testing.assert_array_equal(onnx_class_ids(opened, images), onnx_runner(opened)(images).argmax(1))


def test_every_target_is_compared_with_the_model_on_the_whole_split(
    classifier: tuple[Path, dict[str, float]],
) -> None:
    out, result = classifier
    reports = read_json(out / "parity.json")["targets"]
    assert set(reports) == {"onnx_fp16", "onnx_int8", "pt2"}
    for name, report in reports.items():
        file = out / report["file"]
        assert (report["sha256"], report["num_bytes"]) == (sha256_of(file), file.stat().st_size)
        assert report["num_images"] == 6
        assert result[f"{name}.equal_fraction"] == report["equal_fraction"]
        answer = open_exported(out, num_threads=1, target=name).runner(np.zeros((1, 64, 64, 3), np.uint8))
        assert np.isfinite(answer).all()
    assert reports["pt2"]["max_logit_difference"] < 1e-3
    assert reports["onnx_fp16"]["max_logit_difference"] < 0.05
    onnx_bytes = (out / "model.onnx").stat().st_size
    assert reports["onnx_fp16"]["num_bytes"] < 0.6 * onnx_bytes
    assert reports["onnx_int8"]["num_bytes"] < 0.4 * onnx_bytes


def test_ranges_are_taken_from_images_the_model_was_trained_on_and_these_are_named(
    classifier: tuple[Path, dict[str, float]],
) -> None:
    out, _ = classifier
    report = read_json(out / "parity.json")["targets"]["onnx_int8"]
    assert report["calibration_images"] == ["6.png", "8.png"]  # 7 is in train, but the model never saw it
    assert report["kept_float32"] == []
    card = (out / "model_card.md").read_text("utf-8")
    assert "onnx_int8 takes its ranges from 2 training images" in card
    assert "| pt2 (`model.pt2`) |" in card


def test_a_pruned_model_goes_out_in_every_form_and_its_card_says_what_is_left(tmp_path: Path) -> None:
    wide = {"max_score_difference": 1.0, "min_equal_fraction": 0.0}
    changed: dict[str, Any] = {"targets": ["onnx", "pt2", {"name": "onnx_int8", "calibration_images": 2, **wide}]}
    out, result = run(tmp_path, "classification", pruned_to=0.5, **changed, calibration="train", scan="val")
    assert result["equal_fraction"] == result["pt2.equal_fraction"] == 1
    model, spec = load_model(out, weights="weights.safetensors")
    assert spec.widths
    before = num_parameters(build_fresh("classification", MODELS["classification"], 3, 7))
    after = num_parameters(model)
    assert after <= before / 2
    card = (out / "model_card.md").read_text(encoding="utf-8")
    assert f"and {after:,} of {before:,} ({after / before:.1%}) parameters" in card
    assert "4 layers are narrower than the architecture has them" in card


def test_time_and_memory_of_every_target_stand_outside_the_outputs(
    classifier: tuple[Path, dict[str, float]],
) -> None:
    measured = read_json(classifier[0].parent / "measured.json")
    names = {"onnx", "onnx_fp16", "onnx_int8", "pt2"}
    assert {f"{name}_ms" for name in names} < set(measured)
    assert set(measured["peak_bytes"]) == names
    if sys.platform == "linux":
        assert all(0 < peak < 2**31 for peak in measured["peak_bytes"].values())


def test_the_files_stand_side_by_side_with_what_each_costs(
    classifier: tuple[Path, dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = classifier
    (tmp_path / "models").mkdir()
    (tmp_path / EXPORTED).symlink_to(out)
    measured = read_json(out.parent / "measured.json")
    (tmp_path / MEASURED).mkdir(parents=True)
    write_json(tmp_path / measured_path("export"), {**measured, "fingerprint": "of this export"})
    monkeypatch.chdir(tmp_path)
    found = read_json(out / "parity.json")
    files = exported_files("of this export")
    assert [file.target for file in files] == ["onnx", *found["targets"]]
    for file, report in zip(files, [found, *found["targets"].values()], strict=True):
        assert file.num_bytes == (out / TARGET_FILES[file.target]).stat().st_size
        assert file.score_change == report["exported_score"] - report["original_score"]
        assert file.equal_fraction == report["equal_fraction"]
        assert file.num_images == (4 if file.target == "onnx" else 6)
        assert file.milliseconds == measured[f"{file.target}_ms"]
        assert file.peak_bytes == measured["peak_bytes"][file.target]
    assert {(file.milliseconds, file.peak_bytes) for file in exported_files("of another")} == {(None, None)}
    told = ExportedFile("onnx_int8", 1_234_567, 0.5, -0.0025, 0.98765, 6, 1.26, 3 * 2**20).cells()
    assert told == ("onnx_int8", "1,234,567", "50.00%", "-0.25", "98.765%", "1.3", "3 MiB")


def test_a_target_that_was_not_exported_is_not_opened(exported: Path) -> None:
    with pytest.raises(GraftError, match="not exported as onnx_int8") as refused:
        open_exported(exported, target="onnx_int8")
    assert "choose one of: onnx" in str(refused.value)
    with pytest.raises(GraftError, match="no target named 'int8'"):
        open_exported(exported, target="int8")


def test_what_evaluate_scored_in_another_precision_is_scored_again(exported: Path) -> None:
    root = exported.parent
    model, spec = load_model(root / "model")
    again = EvaluationSetup("segmentation", root / "interim/test", NAMES, 3, EVALUATE, PREDICT)
    evaluated = read_json(root / "metrics.json") | {"gain": {}}
    assert again.of_file(torch_runner(model, spec), None, spec, evaluated, "float32") == (evaluated, {})
    metrics, rounding = again.of_file(torch_runner(model, spec), None, spec, evaluated, "bf16")
    assert rounding == {}
    assert set(metrics) == set(evaluated) - {"gain"}
    assert metrics["mean_iou"] != evaluated["mean_iou"]
    assert metrics["baseline"] == evaluated["baseline"]


def test_what_evaluate_scored_with_test_time_augmentation_is_scored_as_it_is(exported: Path) -> None:
    root = exported.parent
    model, spec = load_model(root / "model")
    averaging = Evaluate(**EVALUATE.model_dump() | {"test_time": {"scales": [1.0, 1.5], "flip": True}})
    evaluated = read_json(root / "metrics.json") | {"gain": {}, "test_time": averaging.test_time.model_dump()}
    runner = torch_runner(model, spec)
    found = [
        EvaluationSetup("segmentation", root / "interim/test", NAMES, 3, settings, PREDICT).of_file(
            runner, None, spec, evaluated, precision
        )[0]
        for settings, precision in ((averaging, "float32"), (EVALUATE, "bf16"))
    ]
    assert found[0] == {name: value for name, value in found[1].items() if name != "baseline"}
    assert found[0]["test_time"] == PLAIN
    assert found[0]["mean_iou"] != evaluated["mean_iou"]


def test_weights_beyond_half_precision_are_refused() -> None:
    layer = torch.nn.Linear(1, 1)
    layer.weight.data.fill_(1e6)
    with pytest.raises(GraftError, match="values beyond float16") as refused:
        stored_state(layer, "float16")
    assert "weight" in str(refused.value)


def test_beyond_tolerance_the_stage_fails_and_names_each(exported: Path) -> None:
    found = read_json(exported / "parity.json") | {
        "max_logit_difference": 0.2,
        "equal_fraction": 0.9,
        "score_difference": 0.1,
    }
    with pytest.raises(GraftError, match="disagrees with the original") as refused:
        parity.refuse_disagreement(found, Export(**SETTINGS))
    for wanted in ("0.2", "90.0000%", "max_score_difference", "min_equal_fraction", "max_logit_difference", "Remedy"):
        assert wanted in str(refused.value)
    nan = np.full((2, 2), np.nan, np.float32)
    assert parity.largest_difference(nan, nan) == float("inf")


def test_a_damaged_or_missing_file_gets_a_clear_answer(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="no such folder"):
        open_exported(tmp_path / "absent")
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes((exported / "model.onnx").read_bytes()[:1000])
    with pytest.raises(GraftError, match="not a usable ONNX file"):
        session(damaged)


@pytest.mark.parametrize(("height", "width"), [(7, 9), (2, 3), (14, 21), (7, 7)])
def test_pooling_that_exports_is_adaptive_average_pooling(height: int, width: int) -> None:
    features = torch.randn(2, 5, height, width)
    expected = torch.nn.functional.adaptive_avg_pool2d(features, (7, 5))
    torch.testing.assert_close(MatrixPool(7, 5)(features), expected)


def test_opening_an_exported_model_does_not_need_torch(exported: Path) -> None:
    code = f"""
import sys, pathlib
from graft.deployment.export.exported_model import open_exported
open_exported(pathlib.Path({str(exported)!r}), num_threads=1)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("multiple", "min_side_px", "fixed_size_px", "sizes"),
    [
        (1, 32, None, [(33, 65), (224, 288), (95, 47)]),
        (32, 64, None, [(64, 96), (224, 288), (96, 64)]),
        (1, 107, None, [(107, 107), (224, 288), (107, 107)]),  # Inception does not work below 75 px
        (224, 224, 224, [(224, 224)] * 3),  # a mixer takes one size
    ],
)
def test_odd_sizes_are_sizes_that_the_model_takes(
    multiple: int, min_side_px: int, fixed_size_px: int | None, sizes: list[tuple[int, int]]
) -> None:
    asked = []

    def runner(images: np.ndarray) -> np.ndarray:
        asked.append(images.shape)
        return np.ones((len(images), 3), np.float32)

    model = {"name": "any"}
    facts = multiple, False, min_side_px
    spec = ModelSpec("classification", model, 3, NAMES, (0.5,) * 3, (0.2,) * 3, {"name": "none"}, *facts)
    assert parity.compare_sizes(runner, runner, spec, fixed_size_px) == 0
    assert asked[::2] == asked[1::2] == [(number, *size, 3) for number, size in zip((1, 3, 1), sizes, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("segmentation", {"name": "lraspp"}),
        ("segmentation", {"name": "deeplabv3", "backbone": "mobilenet_v3_large"}),
        ("segmentation", {"name": "fcn"}),
        ("classification", {"name": "resnet", "variant": "resnet18"}),
        ("classification", {"name": "vgg", "variant": "vgg11_bn", "hidden_channels": 64}),
    ],
)
def test_every_family_agrees_at_sizes_that_were_never_traced(task: str, model: dict[str, Any], tmp_path: Path) -> None:
    paths = workspace(tmp_path, task, model)
    network, spec = load_model(paths["model"])
    write_onnx(tmp_path / "model.onnx", network, spec, opset=18)
    exported_runner = onnx_runner(session(tmp_path / "model.onnx", 1))
    assert parity.compare_sizes(torch_runner(network, spec), exported_runner, spec) < 1e-3
