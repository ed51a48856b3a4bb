"""Stage 5 on a few small streets: what it writes, what it refuses, and that the same inputs give the same bytes."""

from __future__ import annotations

import csv
import re
import shutil

import numpy as np
import pytest
import torch

from graft.data.images.codec import encode_png
from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_seed, read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import most_likely_classes, predict_logits
from graft.inference.tiles import Tiling
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import build_fresh
from graft.models.saved_model import load_model, load_state, save_state
from graft.params.sections import Predict
from graft.scenes import render
from graft.training.epoch_cost import EpochCost
from graft.training.loop import Forward, Plan, Training
from graft.training.sampling import shuffled
from graft.training.schedules import SCHEDULES
from graft.training.validation import collapse_warning, collapsed_class
from tests import tiny_training
from tests.augmented_samples import write_train


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("streets"), num_samples=7)


@pytest.fixture(scope="module")
def trained(streets, tmp_path_factory):
    """Two epochs with a baseline: the folder, the metrics and what was listened to."""
    out, heard = tmp_path_factory.mktemp("trained"), []
    metrics = tiny_training.run(
        streets, out, baseline=True, class_weights="effective", listen=lambda run, report: heard.append((run, report))
    )
    return out, metrics, heard


def digests(folder):
    return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_writes_what_it_declares(trained):
    out, metrics, heard = trained
    names = [
        "baseline/model.safetensors",
        "baseline/spec.json",
        "model.safetensors",
        "seen.json",
        "spec.json",
        "strategy.json",
    ]
    assert list(digests(out / "model")) == names
    assert list(digests(out / "curves")) == ["curves.csv", "curves.png", "parameter_groups.csv", "summary.json"]
    assert [(run, report.epoch) for run, report in heard] == [
        (r, e) for r in ("fine_tuned", "baseline") for e in (1, 2)
    ]
    assert all(report.cost.seconds > 0 for _, report in heard)
    assert set(metrics) == {f"{r}.{m}" for r in ("fine_tuned", "baseline") for m in ("val_mean_iou", "best_epoch")}


def test_curves_have_a_row_an_epoch_and_no_times(trained):
    out, _, heard = trained
    with (out / "curves/curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["run", "epoch", "step", "train_loss", "val_loss", "val_score", "learning_rate"]
    assert [row["run"] for row in rows] == ["fine_tuned"] * 2 + ["baseline"] * 2
    # Seven samples, batches of three: the seventh would be a batch of one and is left out.
    assert [int(row["step"]) for row in rows] == [2, 4, 2, 4]
    assert [float(row["val_score"]) for row in rows] == [report.val_score for _, report in heard]
    assert "seconds" not in (out / "curves/summary.json").read_text()


def test_summary_says_what_was_trained_and_how(trained):
    summary = read_json(trained[0] / "curves/summary.json")
    assert summary["losses"] == [{"name": "cross_entropy", "label_smoothing": 0.0, "weight": 1.0}]
    assert summary["class_weights"]["kind"] == "effective"
    assert len(summary["class_weights"]["weights"]) == 11
    for run in ("fine_tuned", "baseline"):
        of_run = summary["runs"][run]
        assert of_run["optimizer"] == {
            "name": "adamw",
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-8,
            "weight_decay": 0.01,
        }
        assert {row["weight_decay"] for row in of_run["parameter_groups"]} == {0.0, 0.01}
        assert of_run["num_frozen_parameters"] == 0
        assert of_run["sampling"] == {"name": "shuffled"}
        assert of_run["mixing"] == {"name": "none"}
        assert (of_run["warmup"], of_run["warmup_epochs"]) == ("linear", 1)
        assert (of_run["accumulate_steps"], of_run["clip_norm"], of_run["clip_value"]) == (1, 1.0, None)
        assert "collapsed_to" in of_run


def test_kept_weights_score_what_the_curves_say(trained, streets):
    """The kept model is the best epoch's, and val is scored in the one way from image to logits."""
    from graft.data.images.codec import decode_image, decode_mask
    from graft.data.shards import read_rows
    from graft.metrics.confusion import confusion_matrix, scores

    out, metrics, _ = trained
    model, spec = load_model(out / "model")
    runner, confusion = torch_runner(model, spec), 0
    for row in read_rows(streets / "train"):
        logits = predict_logits(runner, decode_image(row.image), spec, Tiling(2_000_000, 64))
        confusion = confusion + confusion_matrix(most_likely_classes(logits), decode_mask(row.mask), 11)
    assert scores(confusion)["mean_iou"] == pytest.approx(metrics["fine_tuned.val_mean_iou"], abs=1e-3)


@pytest.mark.parametrize(("max_pixels", "num_tiles"), [(300 * 400, 1), (65536, 2)])
def test_val_images_are_tiled_as_predict_says(streets, tmp_path, monkeypatch, max_pixels, num_tiles):
    folder, scene, sizes = tmp_path / "streets", render(3, "day", 0, width=400, height=300), []
    shutil.copytree(streets, folder)
    for split in ("train", "none"):
        shutil.rmtree(folder / split)
    write_train(folder, num_samples=1, image=encode_png(scene.image), mask=encode_png(scene.mask))

    def recording(*model, **options):
        runner = torch_runner(*model, **options)
        return lambda images: (sizes.extend(image.shape[:2] for image in images), runner(images))[1]

    monkeypatch.setattr("graft.training.trainer.torch_runner", recording)
    predict = Predict(max_pixels=max_pixels, overlap_px=16)
    tiny_training.run(folder, tmp_path / "out", epochs=1, warmup_epochs=0, predict=predict)
    assert len(sizes) == num_tiles
    assert all(height * width <= max_pixels for height, width in sizes)


def test_seen_lists_every_image_once(trained, streets):
    seen, index = read_json(trained[0] / "model/seen.json"), read_json(streets / "augmented/index.json")
    assert seen == {"train": sorted(index["image_sha256"]), "val": sorted(index["image_sha256"])}


def test_same_inputs_give_the_same_bytes_elsewhere_and_after_an_interruption(trained, streets, tmp_path):
    elsewhere = tmp_path / "another place"
    shutil.copytree(streets, elsewhere)

    def interrupt(run, report):
        if run == "baseline":
            raise KeyboardInterrupt

    settings = {"baseline": True, "class_weights": "effective", "resume": tmp_path / "resume"}
    with pytest.raises(KeyboardInterrupt):
        tiny_training.run(elsewhere, tmp_path / "first", listen=interrupt, **settings)
    tiny_training.run(elsewhere, tmp_path / "second", **settings)
    assert digests(tmp_path / "second") == digests(trained[0])


def test_classification_with_averaged_weights_and_early_stopping(tmp_path):
    photographs = tiny_training.prepare(tmp_path / "photographs", "classification")
    heard = []
    metrics = tiny_training.run(
        photographs,
        tmp_path / "out",
        "classification",
        averaging={"name": "ema", "decay": 0.9},
        early_stopping_epochs=1,
        epochs=12,
        losses=[{"name": "cross_entropy", "weight": 1.0, "label_smoothing": 0.1}, {"name": "dice", "weight": 0.5}],
        listen=lambda run, report: heard.append(report),
    )
    summary = read_json(tmp_path / "out/curves/summary.json")
    assert summary["score"] == "accuracy"
    assert summary["runs"]["fine_tuned"]["stopped_early"]
    assert heard[-1].epoch < 12
    assert not heard[-1].is_best
    assert metrics["fine_tuned.val_accuracy"] == max(report.val_score for report in heard)


def test_val_is_scored_as_often_as_asked_and_after_the_last_epoch(streets, tmp_path):
    heard = []
    settings = {"epochs": 5, "validate_every_epochs": 2, "schedule": {"name": "plateau", "patience_epochs": 0}}
    tiny_training.run(streets, tmp_path, listen=lambda _, report: heard.append(report), **settings)
    assert [report.val_score is not None for report in heard] == [False, True, False, True, True]
    assert [report.val_loss is not None for report in heard] == [False, True, False, True, True]
    with (tmp_path / "curves/curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["val_score"] for row in rows] == ["" if r.val_score is None else str(r.val_score) for r in heard]
    assert all(row["train_loss"] for row in rows)
    best = max((report for report in heard if report.val_score is not None), key=lambda report: report.val_score)
    assert read_json(tmp_path / "curves/summary.json")["runs"]["fine_tuned"]["best"]["epoch"] == best.epoch


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"channels_last": False, "deterministic": False}])
def test_other_runtimes_train(streets, tmp_path, settings):
    assert tiny_training.run(streets, tmp_path, epochs=2, batch_size=8, runtime_changes=settings)


def test_a_loss_that_is_not_finite_names_epoch_and_step(streets, tmp_path):
    with pytest.raises(GraftError, match=r"loss is (nan|inf) in epoch \d+ at step \d+.*fine_tune\.learning_rate"):
        tiny_training.run(streets, tmp_path, optimizer="sgd", learning_rate=1e30, clip_norm=None)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_said(streets, tmp_path, device):
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if there[device]:
        assert tiny_training.run(streets, tmp_path, runtime_changes={"device": device})
        return
    with pytest.raises(
        GraftError, match=rf"runtime\.device is {device}, which this machine does not have.*device: cpu"
    ):
        tiny_training.run(streets, tmp_path, runtime_changes={"device": device})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": {"name": "supervized"}}, "did you mean 'supervised'"),
        ({"strategy": {"name": "supervised", "train": "heads"}}, "'all', 'frozen_backbone' or 'head'|'all', 'head'"),
        ({"optimizer": "adamv"}, "did you mean 'adam"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"schedule": {"name": "step", "every_epochs": 2}}, "a drop every 2 epochs never comes within 2"),
        ({"mixing": "mixup"}, r"fine_tune\.mixing mixup is not for segmentation"),
        ({"losses": [{"name": "dise", "weight": 1.0}]}, "did you mean 'dice'"),
        ({"model": {"name": "lrasp"}}, "did you mean 'lraspp'"),
    ],
)
def test_a_choice_that_cannot_be_used_is_answered_with_the_remedy(streets, tmp_path, changes, message):
    with pytest.raises(GraftError, match=message):
        tiny_training.run(streets, tmp_path, **changes)


def test_sampling_for_the_other_task_is_refused(tmp_path):
    photographs = tiny_training.prepare(tmp_path / "photographs", "classification")
    with pytest.raises(GraftError, match=r"fine_tune\.sampling rare_class is not for classification.*one of balanced"):
        tiny_training.run(photographs, tmp_path / "out", "classification", sampling="rare_class")


def test_the_last_word_of_a_strategy_is_kept_and_scored(trained, streets, tmp_path):
    """Statistics that are measured anew change the kept weights, and with them the score of record."""
    strategy = {"name": "supervised", "normalisation": "re_estimated"}
    settings = {"class_weights": "effective", "strategy": strategy}
    metrics = tiny_training.run(streets, tmp_path, **settings)
    summary = read_json(tmp_path / "curves/summary.json")["runs"]["fine_tuned"]["best"]
    assert metrics["fine_tuned.val_mean_iou"] == summary["val_score"] != trained[1]["fine_tuned.val_mean_iou"]
    before, _ = load_state(trained[0] / "model/model.safetensors")
    after, _ = load_state(tmp_path / "model/model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rsplit(".")[-1] for name in moved} >= {"running_mean", "running_var"}
    assert not [name for name in moved if name.endswith(".weight")]


def test_compiling_is_refused_where_features_are_reused(streets, tmp_path):
    strategy = {"name": "supervised", "train": "head", "reuse_features": True}
    with pytest.raises(
        GraftError, match=r"runtime\.compile is true, and this strategy reuses features.*compile: false"
    ):
        tiny_training.run(streets, tmp_path, strategy=strategy, runtime_changes={"compile": True})


def test_what_compiling_cost_is_measured_and_in_no_declared_output(streets, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Training, "compile_facts", lambda _: {"compile_seconds": 41.25})
    tiny_training.run(streets, tmp_path, epochs=1, warmup_epochs=0, measured=tmp_path / "measured.json")
    measured = read_json(tmp_path / "measured.json")
    assert measured.pop("fine_tuned.compile_seconds") == 41.25
    assert list(measured) == ["fine_tuned.epochs"]
    assert "seconds" not in (tmp_path / "curves/summary.json").read_text()
    assert "fine_tuned: runtime.compile: compile_seconds 41.2" in capsys.readouterr().err


def test_what_each_epoch_cost_is_measured_and_in_no_declared_output(streets, tmp_path):
    heard = []
    settings = {"baseline": True, "measured": tmp_path / "measured.json"}
    tiny_training.run(streets, tmp_path, listen=lambda run, report: heard.append((run, report)), **settings)
    measured = read_json(tmp_path / "measured.json")
    assert set(measured) == {"fine_tuned.epochs", "baseline.epochs"}
    for run in ("fine_tuned", "baseline"):
        costs = [{"epoch": report.epoch, **report.cost.curve()} for name, report in heard if name == run]
        assert measured[f"{run}.epochs"] == costs
        for cost in costs:
            absent = {"peak_gpu_memory_bytes", "view_height_px", "view_width_px"}  # no GPU, and one size throughout
            assert set(cost) | absent == {"epoch", *EpochCost.__annotations__}
            assert 6 / cost["images_per_second"] < cost["seconds"]  # six images a step, and validation
            assert 2**20 < cost["peak_memory_bytes"] < 2**40
    for file in (tmp_path / "curves").glob("*.[cj]s*"):
        assert not [name for name in EpochCost.__annotations__ if name in file.read_text()]


def test_weights_of_another_model_are_refused(streets, tmp_path):
    with pytest.raises(GraftError, match=r"(?s)not the weights of the model.*dvc repro"):
        tiny_training.run(streets, tmp_path, model={"name": "unet", "encoder": "resnet18"})


def test_a_collapsed_model_is_called_out(streets, tmp_path, capsys):
    one_class = tmp_path / "one_class"
    shutil.copytree(streets, one_class)
    state, _ = load_state(one_class / "pretrained/weights.safetensors")
    for name, tensor in state.items():
        if "_classifier." in name:
            tensor.zero_()
    state["head.low_classifier.bias"][3] = 9.0
    save_state(one_class / "pretrained/weights.safetensors", state, {})
    tiny_training.run(one_class, tmp_path / "out", learning_rate=1e-9)
    summary = read_json(tmp_path / "out/curves/summary.json")["runs"]["fine_tuned"]
    name = ClassMap.read(streets / "class_map.json").names[3]
    assert summary["collapsed_to"] == name
    said = capsys.readouterr().err
    assert f"predicts {name} for all of val" in said
    assert re.search(rf"\n{name} +predicted 100\.0% █+\n +true +\d+\.\d% █*\n", said)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        ([[5, 0], [5, 0]], 0),
        ([[0, 5], [0, 5]], 1),
        ([[5, 0], [4, 1]], None),
        ([[99, 0], [1, 0]], None),  # the truth itself is one class
        ([[0, 0], [0, 0]], None),
    ],
)
def test_collapse_is_one_class_for_a_mixed_truth(confusion, expected):
    assert collapsed_class(np.array(confusion)) == expected


def test_of_many_classes_the_warning_shows_those_that_matter():
    confusion = np.zeros((100, 100), np.int64)
    confusion[:, 70] = np.arange(100)
    lines = collapse_warning(confusion, [f"class {number}" for number in range(100)]).splitlines()
    assert "predicts class 70 for all of val" in lines[0]
    assert [line.split("  ")[0] for line in lines[1::2]] == [f"class {n}" for n in (70, *range(89, 100))]


def test_an_epoch_is_a_permutation_that_depends_on_seed_and_epoch_alone():
    def plan(num_samples):
        return Plan(7, 3, 4, 1.0, SCHEDULES["constant"], 0, None, None, shuffled(np.ones((num_samples, 2))))

    orders = [plan(9).order(epoch, needs_two=False) for epoch in (0, 0, 1)]
    assert sorted(orders[0]) == list(range(9))
    assert orders[0].tolist() == orders[1].tolist() != orders[2].tolist()
    assert [len(plan(number).order(0, needs_two=True)) for number in (9, 8, 1)] == [8, 8, 1]


def test_images_are_padded_to_what_the_model_takes():
    model = build_fresh("segmentation", {"name": "unet", "encoder": "resnet18"}, 3, content_seed(1)).eval()
    forward = Forward(model, (torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)), "float32", True)
    assert forward(torch.zeros(1, 3, 50, 70, dtype=torch.uint8)).shape == (1, 3, 50, 70)


def test_all_parameters_of_the_pretrained_model_are_the_start(streets, tmp_path):
    tiny_training.run(streets, tmp_path, learning_rate=1e-12)
    before, _ = load_state(streets / "pretrained/weights.safetensors")
    after, _ = load_state(tmp_path / "model/model.safetensors")
    torch.testing.assert_close(after["head.low_classifier.weight"], before["head.low_classifier.weight"])
