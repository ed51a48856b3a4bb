"""A training that was interrupted ends in the same tensors as one that nobody interrupted."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graft.data.views.view import open_views
from graft.inference.torch_runner import normalisation
from graft.models.architectures import build_fresh
from graft.models.saved_model import tensor_digest
from graft.training.assembly import Assembly
from graft.training.checkpoint import Checkpoint
from graft.training.loop import fit
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.state import ValidationResult, batch_norms
from graft.training.strategies import supervised
from graft.training.strategies.re_estimation import re_estimate
from tests import tiny_training

STEPS_PER_EPOCH, EPOCHS = 2, 3
# What beside the usual training must go on where it was: settings of the section, and the scores that val gives.
WAYS = {
    "accumulate": {"batch_size": 2, "accumulate_steps": 2},  # three batches an epoch: a step of two and one of one
    "plateau": {"schedule": {"name": "plateau", "patience_epochs": 0, "drop": 0.5, "min_improvement": 0.5}},
    "mixup": {"mixing": "mixup"},
    "cutmix accumulated": {"mixing": "cutmix", "batch_size": 2, "accumulate_steps": 2},
    "balanced": {"sampling": "balanced"},
    "the mean of the last weights": {"averaging": {"name": "swa", "last_fraction": 0.8}},
    "validated now and then": {"validate_every_epochs": 2, "batch_size": 4},
    "exponential warm-up, restarts, clipped by value": {
        "warmup": "exponential",
        "schedule": {"name": "cosine_restarts", "first_epochs": 1},
        "clip_value": 0.01,
        "optimizer": {"name": "timm", "algorithm": "lion"},
    },
}


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("photographs"), "classification")


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("streets"), "segmentation")


def train(folder, checkpoint, kill_at=None, precision="float32", task="classification", **changes):
    """Three epochs of two steps with dropout; the callbacks are counted and number `kill_at` kills."""
    num_classes = {"classification": 2, "segmentation": 11}[task]
    usual = {"epochs": EPOCHS, "learning_rate": 1e-2, "averaging": {"name": "ema", "decay": 0.9}, "schedule": "poly"}
    params = tiny_training.section(**usual | changes)
    model = build_fresh(task, tiny_training.MODELS[task], num_classes, 1)
    spec = SimpleNamespace(
        task=task,
        num_classes=num_classes,
        class_names=(),
        channels=("red", "green", "blue"),
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
    )
    views = open_views(folder / "augmented", task)
    strategy = supervised(WeightedSum(resolve_losses([{"name": "cross_entropy", "weight": 1.0}])))
    assembly = Assembly(7, params, tiny_training.runtime(precision=precision), views, spec)
    training = assembly.training(model, strategy, params.learning_rate)
    trainee = training.trainee
    if (state := checkpoint.read()) is not None:
        trainee.restore(state)
    calls = iter(range(100))

    def call(*_):
        if next(calls) == kill_at:
            raise KilledError
        weight = float(sum(tensor.detach().double().sum() for tensor in trainee.judged.parameters()))
        return ValidationResult(abs(weight), 0.5 + math.tanh(weight) / 2, None)

    return trainee, list(fit(training, call, checkpoint, call))


def facts(trainee):
    optimizer = trainee.optimizer.state_dict()["state"]
    moments = {
        f"{index}.{name}": torch.as_tensor(value) for index, state in optimizer.items() for name, value in state.items()
    }
    tensors = [trainee.model.state_dict(), trainee.judged.state_dict(), trainee.best, moments]
    curves = [(report.epoch, report.is_best, report.curve()) for report in trainee.history]
    return [tensor_digest(some) for some in tensors], curves, trainee.step, trainee.state()["scaler"]


@pytest.fixture(scope="module")
def undisturbed(photographs):
    return facts(train(photographs, Checkpoint(None, "run"))[0])


@pytest.mark.parametrize("kill_at", [0, 2, 3, 7])
def test_killed_anywhere(photographs, undisturbed, tmp_path, kill_at):
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        train(photographs, Checkpoint(path, "run", seconds_between=0), kill_at)
    resumed, reports = train(photographs, Checkpoint(path, "run", seconds_between=0))
    assert facts(resumed) == undisturbed
    assert len(reports) == EPOCHS - kill_at // (STEPS_PER_EPOCH + 1)


def interrupted(folder, path, kills, **settings):
    """The facts of a training that was killed at these callbacks, each time anew, and then left in peace."""
    for kill_at in kills:
        with pytest.raises(KilledError):
            train(folder, Checkpoint(path, "run", seconds_between=0), kill_at, **settings)
    return facts(train(folder, Checkpoint(path, "run", seconds_between=0), **settings)[0])


def test_killed_twice_with_sgd_and_no_average(photographs, tmp_path):
    settings = {"averaging": "none", "optimizer": "sgd"}
    whole = facts(train(photographs, Checkpoint(None, "run"), **settings)[0])
    assert interrupted(photographs, tmp_path / "run.checkpoint", (1, 3), **settings) == whole


@pytest.mark.parametrize("way", WAYS)
def test_killed_in_the_second_epoch_of_another_way_to_train(photographs, undisturbed, tmp_path, way):
    whole = facts(train(photographs, Checkpoint(None, "run"), **WAYS[way])[0])
    assert whole[2] == STEPS_PER_EPOCH * EPOCHS
    assert whole[0] != undisturbed[0]
    assert interrupted(photographs, tmp_path / "run.checkpoint", (4,), **WAYS[way]) == whole


def test_killed_with_rare_classes_first_and_pasted_while_views_grow(streets, tmp_path):
    settings = {"task": "segmentation", "sampling": "rare_class", "mixing": "classmix", "sizes": [0.5, 0.75, 1.0]}
    whole = facts(train(streets, Checkpoint(None, "run"), **settings)[0])
    assert interrupted(streets, tmp_path / "run.checkpoint", (4,), **settings) == whole


def test_killed_with_losses_scaled_for_fp16(photographs, tmp_path):
    whole, _ = train(photographs, Checkpoint(None, "run"), precision="fp16")
    assert interrupted(photographs, tmp_path / "run.checkpoint", (4,), precision="fp16") == facts(whole)
    scaler = whole.state()["scaler"]
    assert (scaler["scale"], scaler["_growth_tracker"]) != (65536.0, 0)  # it has moved, so there was a state to keep


def test_the_statistics_of_averaged_weights_are_those_of_the_training_images(photographs, tmp_path):
    """Before each validation: what val looks at is what is kept."""
    settings = {"averaging": {"name": "swa", "last_fraction": 1.0}, "epochs": 1, "warmup_epochs": 0}
    trainee, _ = train(photographs, Checkpoint(None, "run"), **settings)
    measured = copy.deepcopy(trainee.average.model)
    for norm in batch_norms(measured):
        norm.reset_running_stats()
    views = open_views(photographs / "augmented", "classification")
    scale, shift = normalisation((0.5,) * 3, (0.2,) * 3)
    batches = views.batches(np.arange(6), 0, 3, trainee.device)
    seen = [(images.float() * scale + shift, targets) for images, targets in batches]
    re_estimate(measured, measured, seen, trainee.model)
    kept = trainee.best
    for name, expected in measured.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.allclose(kept[name], expected, rtol=1e-4, atol=1e-4)
    assert tensor_digest(kept) != tensor_digest(trainee.model.state_dict())


def test_a_finished_run_trains_nothing(photographs, tmp_path):
    path = tmp_path / "run.checkpoint"
    first, _ = train(photographs, Checkpoint(path, "run"))
    again, reports = train(photographs, Checkpoint(path, "run"))
    assert reports == []
    assert facts(again) == facts(first)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_is_said_and_ignored(tmp_path, capsys, damage):
    path = tmp_path / "run.checkpoint"
    Checkpoint(path, "run").write({"tensor": torch.arange(1000), "position": [1, 2]})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:500], "flipped": data, "empty": b"", "text": b"no checkpoint"}[damage])
    assert Checkpoint(path, "run").read() is None
    assert "damaged checkpoint ignored" in capsys.readouterr().err


def test_the_checkpoint_of_another_run_is_said_and_ignored(tmp_path, capsys):
    path = tmp_path / "run.checkpoint"
    Checkpoint(path, "run").write({"position": [1, 2]})
    assert Checkpoint(path, "run").read() == {"position": [1, 2]}
    assert Checkpoint(path, "another").read() is None
    assert "checkpoint of another training ignored" in capsys.readouterr().err


def test_checkpoints_are_at_most_half_a_minute_apart(tmp_path):
    assert Checkpoint(tmp_path / "x", "run").seconds_between <= 30
    assert not Checkpoint(tmp_path / "x", "run").is_due()
    assert Checkpoint(tmp_path / "x", "run", seconds_between=0).is_due()
    assert not Checkpoint(None, "run", seconds_between=0).is_due()
