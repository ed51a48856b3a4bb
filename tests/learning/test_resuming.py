"""A training that was interrupted ends in the same tensors as one that nobody interrupted."""

from __future__ import annotations

import math

import pytest
import torch

from graft.adaptation import supervised
from graft.checkpoints import tensor_digest
from graft.choices import resolve
from graft.datasets.views import open_views
from graft.forward import Forward
from graft.losses import WeightedSum, resolve_losses
from graft.models import fresh
from graft.optimizers import OPTIMIZERS
from graft.plan import Plan
from graft.predicting_torch import normalisation
from graft.resuming import Checkpoint
from graft.runtimes import use_runtime
from graft.sampling import shuffled
from graft.schedules import SCHEDULES
from graft.trainee import Held, Trainee
from graft.training import Training, fit
from tests import tiny_training

STEPS_PER_EPOCH, EPOCHS = 2, 3


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("photographs"), "classification")


def train(folder, checkpoint, kill_at=None, ema_decay=0.9, optimizer="adamw"):
    """Three epochs of two steps with dropout; the callbacks are counted and number `kill_at` kills."""
    use_runtime(tiny_training.runtime())
    model = fresh("classification", tiny_training.MODELS["classification"], 2, 1).to(memory_format=torch.channels_last)
    strategy = supervised(WeightedSum(resolve_losses([{"name": "cross_entropy", "weight": 1.0}])))
    groups = strategy.parameter_groups(model)
    trainee = Trainee(model, resolve(OPTIMIZERS, optimizer, where="x")(groups, 1e-2), ema_decay)
    if (state := checkpoint.read()) is not None:
        trainee.restore(state)
    views = open_views(folder / "augmented", "classification")
    sampling = shuffled(views.class_counts)
    plan = Plan(7, EPOCHS, 3, 1e-2, resolve(SCHEDULES, "poly", where="x"), 1, 1.0, None, sampling)
    calls = iter(range(100))

    def call(*_):
        if next(calls) == kill_at:
            raise KilledError
        weight = float(sum(tensor.detach().double().sum() for tensor in trainee.judged.parameters()))
        return Held(abs(weight), 0.5 + math.tanh(weight) / 2, None)

    forward = Forward(model, normalisation((0.5,) * 3, (0.2,) * 3), "float32", True)
    reports = list(fit(Training(trainee, plan, views, strategy, forward), call, checkpoint, call))
    return trainee, reports


def facts(trainee):
    optimizer = trainee.optimizer.state_dict()["state"]
    moments = {f"{index}.{name}": tensor for index, state in optimizer.items() for name, tensor in state.items()}
    tensors = [trainee.model.state_dict(), trainee.judged.state_dict(), trainee.best, moments]
    curves = [(report.epoch, report.is_best, report.curve()) for report in trainee.history]
    return [tensor_digest(some) for some in tensors], curves, trainee.step


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


def test_killed_twice_with_sgd_and_no_average(photographs, tmp_path):
    path = tmp_path / "run.checkpoint"
    for kill_at in (1, 3):
        with pytest.raises(KilledError):
            train(photographs, Checkpoint(path, "run", seconds_between=0), kill_at, None, "sgd")
    resumed, _ = train(photographs, Checkpoint(path, "run", seconds_between=0), None, None, "sgd")
    assert facts(resumed) == facts(train(photographs, Checkpoint(None, "run"), None, None, "sgd")[0])


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
