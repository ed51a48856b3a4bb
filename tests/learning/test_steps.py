"""What a step does: along which gradients, at which rates, in which precision, and when strategies are asked."""

from __future__ import annotations

import copy
import functools
import re
import time
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from graft.data.views.view import BatchSource
from graft.foundation.errors import GraftError
from graft.inference.runtime import _warn_of_emulation, emulated_precision, use_runtime
from graft.models.architectures import WithAuxiliary, build_fresh
from graft.training.checkpoint import Checkpoint
from graft.training.epoch_cost import EpochMeter
from graft.training.forward import Forward
from graft.training.loop import Strategy, Training, fit
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.plan import Plan
from graft.training.sampling import SAMPLINGS
from graft.training.schedules import SCHEDULES
from graft.training.start import set_log_prior
from graft.training.state import Trainee, ValidationResult
from graft.training.strategies import supervised
from tests import tiny_training

NUM_CLASSES, SIZE = 3, 12


class InMemory(BatchSource):
    """Views of random images whose masks ignore more and more of the upper rows."""

    num_views = 1

    def __init__(self, num_samples):
        generator = torch.Generator().manual_seed(1)
        self.num_samples = num_samples
        self.images = torch.randint(0, 256, (num_samples, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
        self.targets = torch.randint(0, NUM_CLASSES, (num_samples, SIZE, SIZE), generator=generator)

    def ignoring(self):
        for number, target in enumerate(self.targets):
            target[:number] = 255
        return self

    def batches(self, order, view, batch_size, device):
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield self.images[chosen], self.targets[chosen]


class Small(nn.Module):
    """A network without batch normalisation, as small as one can be."""

    padding_multiple, min_side_px = 1, 1
    widths: ClassVar = {}

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.backbone, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, NUM_CLASSES, 1)

    def forward(self, images):
        return self.head(self.backbone(images).relu())


class Plain(Strategy):
    """Cross-entropy with two groups, and a note of every call."""

    def __init__(self, loss=lambda logits, targets: F.cross_entropy(logits, targets, ignore_index=255)):
        self.loss, self.calls = loss, []

    def parameter_groups(self, model):
        return [
            {"name": "backbone", "params": [*model.backbone.parameters()], "rate_factor": 0.1},
            {"name": "head", "params": [*model.head.parameters()]},
        ]

    def begin_epoch(self, model, epoch, epochs):
        self.calls.append((epoch, epochs))
        model.backbone.requires_grad_(epoch > 0)

    def step(self, forward, images, targets):
        return {"loss": self.loss(forward(images), targets)}


@pytest.mark.parametrize("forgotten", ["step", "parameter_groups"])
def test_a_strategy_that_forgets_what_it_must_say_cannot_be_made(forgotten):
    methods = {"step": Plain.step, "parameter_groups": Plain.parameter_groups}
    methods.pop(forgotten)
    with pytest.raises(TypeError, match=f"abstract method '?{forgotten}'?"):
        type("Forgetful", (Strategy,), methods)()


def training_of(views, strategy, model=None, precision="float32", **changes):
    model = model or Small()
    optimizer = torch.optim.SGD(strategy.parameter_groups(model), 0.5)
    usual = {"epochs": 2, "batch_size": 8, "learning_rate": 0.5, "warmup_epochs": 0, "clip_norm": None}
    rest = {"schedule": SCHEDULES["constant"], "early_stopping_epochs": None}
    sampling = SAMPLINGS["shuffled"](np.ones((views.num_samples, NUM_CLASSES)))
    plan = Plan(**{"seed": 7, "sampling": sampling, **usual, **rest, **changes})
    scale = torch.full((1, 3, 1, 1), 1 / 255)
    forward = Forward(model, (scale, torch.zeros_like(scale)), precision, True)
    return Training(Trainee(model, optimizer, precision=precision), plan, views, strategy, forward)


def trained(training, checkpoint=None, validate=lambda _: ValidationResult(1.0, 0.5, None)):
    list(fit(training, validate, checkpoint or Checkpoint(None, "run"), lambda _: None))
    return [tensor.detach().clone() for tensor in training.trainee.model.parameters()], training.trainee


@pytest.mark.parametrize(("num_samples", "steps"), [(16, 4), (14, 4), (9, 4)])
def test_two_batches_of_four_are_one_of_eight(num_samples, steps):
    """Whatever each batch ignores, and with a last step that is smaller than the others."""
    whole, by_eight = trained(training_of(InMemory(num_samples).ignoring(), Plain()))
    parts, by_four = trained(training_of(InMemory(num_samples).ignoring(), Plain(), batch_size=4, accumulate_steps=2))
    assert by_eight.step == by_four.step == steps
    for a, b, start in zip(whole, parts, Small().parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
        assert not torch.equal(a, start)
    assert [r.train_loss for r in by_eight.history] == pytest.approx([r.train_loss for r in by_four.history], rel=1e-4)


@pytest.mark.parametrize(
    "losses",
    [
        [{"name": "cross_entropy", "weight": 1.0, "label_smoothing": 0.1}],
        [{"name": "cross_entropy", "weight": 0.5}, {"name": "focal", "weight": 2.0}],
    ],
)
def test_two_batches_are_one_with_class_weights_too_whatever_classes_each_shows(losses):
    views = InMemory(16).ignoring()
    views.targets[::3][views.targets[::3] != 255] = 0
    strategy = supervised(WeightedSum(resolve_losses(losses), torch.tensor([0.1, 5.0, 30.0])))
    whole, by_eight = trained(training_of(views, strategy))
    parts, by_four = trained(training_of(views, strategy, batch_size=4, accumulate_steps=2))
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert [r.train_loss for r in by_eight.history] == pytest.approx([r.train_loss for r in by_four.history], rel=1e-4)


def test_what_looks_at_the_batch_as_a_whole_is_not_the_same():
    def dice(logits, targets):
        truth, found = F.one_hot(targets, NUM_CLASSES).movedim(-1, 1).float(), logits.softmax(1)
        return 1 - 2 * (truth * found).sum() / (truth.sum() + (found**2).sum())

    views = InMemory(16)
    views.targets[::2] = 0
    views.images[::2] //= 4
    whole, _ = trained(training_of(views, Plain(dice), learning_rate=10.0))
    parts, _ = trained(training_of(views, Plain(dice), learning_rate=10.0, batch_size=4, accumulate_steps=2))
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(whole, parts, strict=True))


def test_a_term_that_no_batch_changes_keeps_its_weight():
    def penalty(logits, targets):
        return (logits.mean() * 0 + 1) * sum((p**2).sum() for p in model.parameters())

    found = []
    for settings in ({"batch_size": 8}, {"batch_size": 2, "accumulate_steps": 4}):
        model = Small()
        found.append(trained(training_of(InMemory(8).ignoring(), Plain(penalty), model, **settings))[0])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_a_step_of_batches_that_ignore_everything_is_finite():
    views = InMemory(8)
    views.targets[:] = 255
    strategy = Plain(lambda logits, targets: F.cross_entropy(logits, targets, ignore_index=255, reduction="sum"))
    weights, trainee = trained(training_of(views, strategy, batch_size=4, accumulate_steps=2))
    assert all(torch.equal(a, b) for a, b in zip(weights, Small().parameters(), strict=True))
    assert trainee.history[-1].train_loss == 0


@pytest.mark.parametrize(
    ("clip_norm", "clip_value", "moved"),
    [(None, None, (3, -4)), (None, 1.0, (1, -1)), (1.0, None, (0.6, -0.8)), (1.0, 1.0, (0.5**0.5, -(0.5**0.5)))],
)
def test_clipping_by_value_and_then_by_norm(clip_norm, clip_value, moved):
    weight = nn.Parameter(torch.zeros(2))
    trainee = Trainee(nn.ParameterList([weight]), torch.optim.SGD([weight], 1.0))
    trainee.gradients.add((weight * torch.tensor([3.0, -4.0])).sum(), None)
    trainee.take_step(clip_norm, clip_value, 1)
    torch.testing.assert_close(-weight.detach(), torch.tensor(moved, dtype=torch.float32))
    assert weight.grad is None


def test_each_group_has_its_own_share_of_the_rate_and_strategies_are_asked_before_each_epoch():
    strategy, start = Plain(), Small()
    training = training_of(InMemory(8), strategy, epochs=1)
    weights, trainee = trained(training)
    assert [group["lr"] for group in trainee.optimizer.param_groups] == pytest.approx([0.05, 0.5])
    assert trainee.history[0].learning_rate == 0.5
    assert torch.equal(weights[0], start.backbone.weight)  # frozen in the first epoch
    assert not torch.equal(weights[2], start.head.weight)
    strategy = Plain()
    trained(training_of(InMemory(8), strategy, epochs=3))
    assert strategy.calls == [(0, 3), (1, 3), (2, 3)]


def test_a_resumed_epoch_is_begun_again(tmp_path):
    class KilledError(Exception):
        pass

    def kill(_):
        raise KilledError

    def checkpoint():
        return Checkpoint(tmp_path / "run.checkpoint", "run", seconds_between=0)

    with pytest.raises(KilledError):
        trained(training_of(InMemory(8), Plain()), checkpoint(), kill)
    strategy, training = Plain(), None
    training = training_of(InMemory(8), strategy)
    training.trainee.restore(checkpoint().read())
    trained(training, checkpoint())
    assert strategy.calls == [(0, 2), (1, 2)]
    assert training.trainee.history[0].learning_rate == 0.5  # of a step before the kill


@pytest.mark.parametrize(("every", "ended_at"), [(1, 3), (2, 4), (5, 7)])
def test_training_stops_early_only_after_a_look_at_val(every, ended_at):
    """The first validated epoch stays the best; patience is two epochs, and the last of seven is always validated."""
    scores = iter([0.5, 0.4, 0.4, 0.4])
    training = training_of(InMemory(8), Plain(), epochs=7, early_stopping_epochs=2, validate_every_epochs=every)
    _, trainee = trained(training, validate=lambda _: ValidationResult(1.0, next(scores), None))
    assert (trainee.epoch, trainee.best_report.epoch) == (ended_at, every)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_follows_float32(precision):
    exact, by_exact = trained(training_of(InMemory(16), Plain()))
    rough, by_rough = trained(training_of(InMemory(16), Plain(), precision=precision))
    assert by_rough.history[-1].train_loss == pytest.approx(by_exact.history[-1].train_loss, rel=0.02)
    assert any(not torch.equal(a, b) for a, b in zip(exact, rough, strict=True))
    assert all(tensor.dtype == torch.float32 for tensor in rough)


def test_bf16_gives_the_same_bits_again_and_after_an_interruption(tmp_path):
    def training(epochs):
        return training_of(InMemory(8), Plain(), precision="bf16", batch_size=4, epochs=epochs)

    def kill(_):
        raise KeyboardInterrupt

    undisturbed, _ = trained(training(2))
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", "run", seconds_between=0)
    with pytest.raises(KeyboardInterrupt):
        trained(training(2), checkpoint, kill)
    resumed = training(2)
    resumed.trainee.restore(checkpoint.read())
    again, trainee = trained(resumed, checkpoint)
    assert trainee.step == 4
    assert all(torch.equal(a, b) for a, b in zip(undisturbed, again, strict=True))


@pytest.mark.parametrize(
    ("device", "precision", "unit", "said"),
    [
        ("cpu", "bf16", "avx2", True),
        ("cpu", "bf16", "avx512_bf16", False),
        ("cpu", "bf16", "amx_fp16", True),
        ("cpu", "fp16", "amx_fp16", False),
        ("cpu", "bf16", "sve_bf16", False),
        ("cpu", "float32", "avx2", False),
        ("cuda", "bf16", "avx2", False),
    ],
)
def test_half_precision_without_units_for_it_is_said(monkeypatch, device, precision, unit, said):
    has = {"architecture": "x86_64", "cpu_name": "EPYC", unit: True, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    emulated = emulated_precision(device, precision)
    assert (emulated is not None) == said
    if said:
        assert re.search(r"precision is bf16, for which this processor \(EPYC\) has no units.*float32", str(emulated))


def test_a_run_in_emulated_precision_is_warned_of_once(monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "arm64"})
    monkeypatch.setattr("graft.inference.runtime._warn_of_emulation", functools.cache(_warn_of_emulation.__wrapped__))
    for _ in range(2):
        use_runtime(tiny_training.runtime(precision="bf16"))
    assert capsys.readouterr().err.count("graft: warning: runtime.precision is bf16, for which this processor") == 1


def test_fp16_leaves_a_step_out_whose_gradients_are_not_finite_and_halves_the_scale():
    weight = nn.Parameter(torch.ones(2))
    model = nn.ParameterList([weight])
    model.widths = {}
    trainee = Trainee(model, torch.optim.SGD([weight], 1.0), precision="fp16")
    trainee.gradients.add(weight.sum() * 1e36, None)  # finite, and infinite when scaled by 65536
    trainee.take_step(None, None, 1)
    assert weight.detach().tolist() == [1, 1]
    assert trainee.state()["scaler"]["scale"] == 32768
    trainee.gradients.add(weight.sum() * 0.25, None)
    trainee.take_step(None, None, 1)
    assert weight.detach().tolist() == [0.75, 0.75]
    again = copy.deepcopy(trainee)
    again.gradients.scaler.load_state_dict({**trainee.state()["scaler"], "scale": 2.0})
    again.restore(trainee.state())
    assert again.state()["scaler"] == trainee.state()["scaler"]


def test_both_logits_of_an_auxiliary_head_are_cut_and_float32():
    class TwoHeads(Small):
        padding_multiple = 8

        def forward(self, images):
            features = self.backbone(images)
            return WithAuxiliary(self.head(features), self.head(features) * 2, 0.4) if self.training else features

    scale = torch.ones(1, 3, 1, 1)
    forward = Forward(TwoHeads().train(), (scale, scale), "bf16", True)
    output = forward(torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8))
    assert isinstance(output, WithAuxiliary)
    assert output.weight == 0.4
    for logits in output[:2]:
        assert (logits.shape, logits.dtype) == ((2, NUM_CLASSES, SIZE, SIZE), torch.float32)


def test_compiling_without_a_compiler_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(GraftError, match=r"a C\+\+ compiler \(no-such-compiler\) is missing.*runtime.compile: false"):
        use_runtime(tiny_training.runtime(compile=True))


class Normalised(Small):
    """The same with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(self.backbone, nn.BatchNorm2d(4))


class Noting(Forward):
    """Notes of each batch how long the forward took, and whether it compiled."""

    def __call__(self, images):
        started, before = time.perf_counter(), self.num_compiled
        output = super().__call__(images)
        self.notes = [*getattr(self, "notes", []), (time.perf_counter() - started, before == 0 < self.num_compiled)]
        return output


@pytest.mark.slow  # a compiler at work: half a minute each
@pytest.mark.parametrize(("model", "num_eager"), [(Small, 0), (Normalised, 9)])
def test_compiled_steps_are_the_same_to_rounding(model, num_eager, capsys, tmp_path, monkeypatch):
    """Compiled once, when the momentum of normalisation layers has settled: at 1 / 10 with the tenth batch."""
    try:
        use_runtime(tiny_training.runtime(compile=True))
    except GraftError as error:  # no C++ compiler
        pytest.skip(str(error))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    settings = {"batch_size": 4, "epochs": 3}
    eager, _ = trained(training_of(InMemory(16), Plain(), model(), **settings))
    training = training_of(InMemory(16), Plain(), model(), **settings)
    whole = training.forward
    compiled = Noting(whole.model, (whole.scale, whole.shift), "float32", True, compiled=True)
    training = replace(training, forward=compiled)
    weights, trainee = trained(training)
    assert [has_compiled for _, has_compiled in compiled.notes].index(True) == num_eager
    assert capsys.readouterr().err.count("runtime.compile: compiling") == 1
    facts, (forward_seconds, _) = training.compile_facts(), compiled.notes[num_eager]
    assert facts["first_compiled_batch_seconds"] > forward_seconds  # which leaves out the backward pass
    assert facts["first_compiled_batch_seconds"] > facts["compile_seconds"] > forward_seconds / 2
    for a, b in zip(eager, weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert list(trainee.best) == list(model().state_dict())


def test_what_compiling_cost_is_the_first_compiled_batch_less_the_median_of_those_after_it():
    training = training_of(InMemory(8), Plain())
    assert training.compile_facts() == {}
    training.batch_seconds.extend([1.0, 1.0, 60.0, 2.0, 30.0, 1.5])
    training.forward.num_compiled = 4
    assert training.compile_facts() == {"first_compiled_batch_seconds": 60.0, "compile_seconds": 58.0}
    training.forward.num_compiled = 1
    assert training.compile_facts() == {"first_compiled_batch_seconds": 1.5}


@pytest.mark.parametrize("changes", [{"precision": "fp16"}, {"compile": True}])
def test_what_is_not_tested_on_mps_is_refused_by_name(changes):
    with pytest.raises(GraftError, match="the device mps takes neither fp16 nor compile"):
        use_runtime(tiny_training.runtime(device="mps", **changes))


def test_with_the_log_prior_an_untrained_head_predicts_the_shares_of_the_classes() -> None:
    model = build_fresh("segmentation", "lraspp", 3, 1)
    with torch.no_grad():
        for name in model.class_layers:
            model.get_submodule(name).weight.zero_()
    set_log_prior(model, np.array([700, 300, 0]), set(model.state_dict()))
    probabilities = model.eval()(torch.randn(1, 3, 32, 32)).softmax(1)[0, :, 5, 5]
    torch.testing.assert_close(probabilities, torch.tensor([0.699301, 0.299700, 0.000999]), atol=1e-5, rtol=0)


def test_the_log_prior_leaves_class_layers_that_came_from_a_source() -> None:
    model = build_fresh("segmentation", "lraspp", 3, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    set_log_prior(model, np.array([7, 3, 1]), {"head.cbr.0.weight"})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_memory_of_a_gpu_is_that_of_the_epoch(monkeypatch):
    peaks = {"allocated": 900}
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peaks.update(allocated=100))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peaks["allocated"])
    meter = EpochMeter(torch.device("cuda"))
    meter.count(8)
    peaks["allocated"] = 300
    assert meter.cost().peak_gpu_memory_bytes == 300
    assert "peak_gpu_memory_bytes" not in EpochMeter(torch.device("cpu")).cost().curve()
