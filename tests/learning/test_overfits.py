"""Every strategy can learn a tiny set by heart within a budget of steps, and moves only what it may."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from graft.foundation.content import read_json, sha256_of, write_json
from graft.models.architectures import build_fresh
from graft.models.saved_model import ModelSpec, load_state, save_model
from graft.scenes import CLASSES
from graft.training.strategies import FROM_TEACHERS, STRATEGIES, TASKS
from graft.training.strategies.semi_supervised import TAUGHT_BY_AVERAGE
from tests import tiny_training

# name: options, how many classes the parent knows (first of all the background, if it has one), and what train loss
# (against the first epoch's) and val score must have come to
ROWS = {
    "adapt": ({"style": "none", "source_only": False}, 0, 0.3, 0.35),
    "distil": ({"weight": 0.01}, 0, 0.3, 0.35),
    "ewc": ({"weight": 0.01}, 11, 0.3, 0.35),
    "fix_match": ({}, 0, 0.3, 0.35),
    "flex_match": ({}, 0, 0.3, 0.9),
    "incremental": ({"weight": 0.01}, 11, 0.3, 0.35),
    "lwf": ({"weight": 0.01}, 11, 0.3, 0.35),
    "mean_teacher": ({"unlabelled_weight": 0.1}, 0, 0.3, 0.35),
    "mib": ({"weight": 0.01, "background": "sky"}, 1, 0.3, 0.35),
    "plop": ({"weight": 1e-5, "logits_weight": 1e-6, "background": "sky"}, 1, 0.3, 0.35),
    "prune": ({"fraction": 0.7}, 11, 0.3, 0.35),
    "pseudo_labels": ({}, 0, 0.3, 0.35),
    "sparsify": ({"sparsity": 0.5}, 0, 0.3, 0.35),
    "supervised": ({}, 0, 0.3, 0.35),
    "uni_match": ({}, 0, 0.3, 0.35),
}
# The others take a share of the same steps: make test-all
QUICK, SLOW = ("incremental", "supervised"), (pytest.mark.slow,)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    return make_four(tmp_path_factory.mktemp("four"), "segmentation")


@pytest.fixture(scope="module")
def four_to_classify(tmp_path_factory):
    return make_four(tmp_path_factory.mktemp("four to classify"), "classification")


def make_four(folder, task):
    plain = {"name": "light", "flip_probability": 0.0, "strength": 0.0}
    whole = SimpleNamespace(height_px=72, width_px=96)
    return tiny_training.prepare(
        folder, task, num_samples=4, num_unlabelled=4, views=1, unlabelled_views=1, policy=plain, crop=whole
    )


def test_every_strategy_has_a_row():
    assert list(ROWS) == list(STRATEGIES)


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW * (name not in QUICK)) for name in STRATEGIES])
def test_learns_four_streets_by_heart(four, request, tmp_path, name):
    task = TASKS[name][0]
    four = four if task == "segmentation" else request.getfixturevalue("four_to_classify")
    options, num_known, share_of_loss, score = ROWS[name]
    write_json(tmp_path / "card.json", tiny_training.CARD | {"known_classes": CLASSES[:num_known]})
    (tmp_path / "weights.safetensors").symlink_to(four / "pretrained/weights.safetensors")
    if name in FROM_TEACHERS:
        options = options | {"teacher": untrained_teacher(tmp_path / "teacher", task)}
    reports = []
    tiny_training.run(
        four,
        tmp_path,
        task,
        strategy={"name": name, **options},
        averaging="ema" if name in TAUGHT_BY_AVERAGE else "none",
        epochs=40,
        batch_size=4,
        pretrained=tmp_path,
        listen=lambda run, report: reports.append(report),
    )
    assert reports[-1].step <= 40
    assert reports[-1].train_loss < share_of_loss * reports[0].train_loss
    assert max(report.val_score for report in reports) > score


def untrained_teacher(folder, task):
    facts = {"mean": (0.4,) * 3, "std": (0.3,) * 3, "resize": {"name": "none"}, "padding_multiple": 1}
    spec = ModelSpec(task, tiny_training.MODELS[task], len(CLASSES), CLASSES, synthetic=True, **facts)
    folder.mkdir()
    save_model(folder, build_fresh(task, spec.model, spec.num_classes, 3), spec)
    return {"model": str(folder), "sha256": sha256_of(folder / "model.safetensors")}


@pytest.mark.parametrize("losses", [[{"name": "dice", "weight": 1.0}]])
@pytest.mark.parametrize("weights", ["inverse", "effective", "median_frequency"])
def test_other_losses_and_class_weights_learn_too(four, tmp_path, losses, weights):
    reports = []
    tiny_training.run(
        four,
        tmp_path,
        losses=losses,
        class_weights=weights,
        epochs=5,
        listen=lambda run, report: reports.append(report),
    )
    assert reports[-1].train_loss < reports[0].train_loss


@pytest.mark.parametrize(("train", "moved"), [("head", "head."), ("frozen_backbone", "head.")])
def test_what_is_frozen_keeps_every_bit(four, tmp_path, train, moved):
    tiny_training.run(four, tmp_path, strategy={"name": "supervised", "train": train})
    before, _ = load_state(four / "pretrained/weights.safetensors")
    after, _ = load_state(tmp_path / "model/model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(moved) for name in changed)
    summary = read_json(tmp_path / "curves/summary.json")["runs"]["fine_tuned"]
    assert {row["name"].split(",")[0] for row in summary["parameter_groups"]} == {"head"}
    assert summary["num_frozen_parameters"] > summary["num_trained_parameters"]
