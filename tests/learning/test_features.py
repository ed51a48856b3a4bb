"""Reused features: the same training, bit for bit, for the price of what trains."""

from __future__ import annotations

import gc
import resource
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.inference.torch_runner import torch_runner
from graft.models.architectures import WithAuxiliary
from graft.training.checkpoint import Checkpoint
from graft.training.features import Column, FeatureForward, Features, RememberingModel, columns_for, rebuild, tensors_of
from graft.training.loop import fit
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.strategies import supervised
from tests import tiny_training
from tests.tiny_strategy import CROSS_ENTROPY, NOTHING, digests, run, small_model, training_of

EMA = {"name": "ema", "decay": 0.9}
SPECS = [
    ("classification", None, "head"),
    ("classification", None, "frozen_backbone"),
    ("segmentation", None, "head"),
    ("segmentation", None, "frozen_backbone"),
]
OTHERS = [
    ("classification", {"name": "resnet"}, "head"),
    ("segmentation", {"name": "unet"}, "frozen_backbone"),
    ("segmentation", {"name": "fcn", "backbone": "mobilenet_v3_large"}, "head"),
    ("segmentation", {"name": "fcn", "backbone": "mobilenet_v3_large", "auxiliary_weight": 0.4}, "head"),
    ("segmentation", {"name": "deeplabv3"}, "head"),
]
DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Six streets of 64x80 pixels, two views each, for both tasks."""
    tasks = ("classification", "segmentation")
    return {task: tiny_training.prepare(tmp_path_factory.mktemp(task), task, views=2) for task in tasks}


@pytest.mark.parametrize(("task", "spec", "train"), SPECS)
def test_the_same_curve_and_weights_as_without_reuse(folders, task, spec, train):
    """Three epochs of two views, so that features are read that were computed an epoch before."""
    ends = []
    for reuse in (False, True):
        model = small_model(task, spec)
        chosen = {"task": task, "epochs": 3, "averaging": EMA, "train": train, "reuse_features": reuse}
        training = training_of(folders[task], model, **chosen)
        run(training)
        ends.append(digests(training))
    assert ends[0] == ends[1]


@pytest.mark.parametrize(("task", "spec", "train"), OTHERS)
def test_a_batch_is_answered_in_the_same_bits(folders, task, spec, train):
    """Nests of features of other kinds, cuts at other depths, an auxiliary head; images that are padded."""
    model = small_model(task, spec)
    training = training_of(folders[task], model, task=task, train=train, reuse_features=True)
    images = torch.arange(2 * 66 * 70 * 3).reshape(2, 66, 70, 3).to(torch.uint8).permute(0, 3, 1, 2)
    features = Features(training.forward.features(images), images.shape[-2:])
    answers = []
    for forward, given in ((training.forward, features), (training.forward.whole, images)):
        model.train()
        torch.manual_seed(3)
        answer = forward(given)
        answers.append(list(answer[:2]) if isinstance(answer, WithAuxiliary) else [answer])
    assert len(answers[0]) == (2 if "auxiliary_weight" in spec else 1)
    assert all(torch.equal(one, other) for one, other in zip(*answers, strict=True))


def test_bf16_features_come_back_as_they_were(folders):
    ends = []
    for reuse in (False, True):
        chosen = {"precision": "bf16", "train": "frozen_backbone", "reuse_features": reuse}
        training = training_of(folders["classification"], small_model(), **chosen)
        run(training)
        ends.append(digests(training))
    assert ends[0] == ends[1]


def test_the_backbone_runs_once_for_each_view_of_each_image(folders):
    model = small_model()
    seen = []
    model.backbone.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    reports = run(training_of(folders["classification"], model, epochs=6, train="head", reuse_features=True))
    assert len(reports) == 6
    assert sum(seen) == 2 * 6


def test_the_whole_stage_tells_the_same_with_and_without(folders, tmp_path):
    """Validation included, whose features are remembered too."""
    summaries = []
    for reuse in (False, True):
        strategy = {"name": "supervised", "train": "frozen_backbone", "reuse_features": reuse}
        out = tmp_path / str(reuse)
        tiny_training.run(folders["segmentation"], out, strategy=strategy, epochs=3, averaging=EMA)
        curves = (out / "curves/curves.csv").read_bytes()
        weights = (out / "model/model.safetensors").read_bytes()
        summaries.append((curves, weights, read_json(out / "curves/summary.json")["runs"]))
    assert summaries[0] == summaries[1]


def test_a_judged_model_remembers_and_answers_the_same(folders):
    model = small_model()
    training = training_of(folders["classification"], model, train="head", reuse_features=True)
    seen = []
    model.backbone.register_forward_hook(lambda *_: seen.append(1))
    spec = SimpleNamespace(mean=(0.5,) * 3, std=(0.2,) * 3)
    images = np.random.default_rng(1).integers(0, 255, (2, 64, 80, 3), np.uint8)
    plain = torch_runner(model, spec)(images)
    for number in range(3):
        model.train()
        judged = torch_runner(training.strategy.model_to_validate(model), spec)
        assert np.array_equal(judged(images), plain)
        assert len(seen) == 2
        assert not np.array_equal(judged(images[::-1].copy()), plain)
        seen.pop() if not number else None
    with torch.no_grad():
        model.get_submodule(model.class_layers[0]).bias.add_(1.0)
    assert np.allclose(torch_runner(training.strategy.model_to_validate(model), spec)(images), plain + 1, atol=1e-5)


def test_no_more_is_remembered_than_there_is_room_for(folders, monkeypatch):
    monkeypatch.setattr("graft.training.features.MOST_REMEMBERED_BYTES", 100)
    training = training_of(folders["classification"], small_model(), train="head", reuse_features=True)
    judged = RememberingModel(training.trainee.model, training.forward).eval()
    with torch.no_grad():
        first, again = (judged(torch.ones(1, 3, 64, 64)) for _ in range(2))
    assert torch.equal(first, again)
    assert training.forward.remembered == {}


def test_the_cut_lies_as_deep_as_nothing_trains(folders):
    model = small_model()  # pool, flatten, classifier: linear, hardswish, dropout, linear
    training_of(folders["classification"], model, train="head")
    assert FeatureForward(SimpleNamespace(), model).num_frozen == 2
    fcn = small_model("segmentation", {"name": "fcn", "backbone": "mobilenet_v3_large"})
    training_of(folders["segmentation"], fcn, task="segmentation", train="head")
    layers = list(fcn.head.children())
    assert FeatureForward(SimpleNamespace(), fcn).num_frozen == next(
        number for number, layer in enumerate(layers) if isinstance(layer, torch.nn.Dropout)
    )
    training_of(folders["segmentation"], fcn, task="segmentation", train="frozen_backbone")
    assert FeatureForward(SimpleNamespace(), fcn).num_frozen < 2


def test_nests_of_features_come_back_as_they_were():
    tensors = [torch.full((2,), float(value)) for value in range(4)]
    nest = {"low": tensors[0], "high": [tensors[1], {"a": tensors[2]}], "last": (tensors[3],)}
    found, structure = tensors_of(nest)
    assert [int(tensor[0]) for tensor in found] == [0, 1, 2, 3]
    again = rebuild(structure, iter(found))
    assert list(again) == ["low", "high", "last"]
    assert again["high"][1]["a"] is tensors[2]
    assert again["last"][0] is tensors[3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_columns_keep_values_types_and_layout(dtype, layout):
    batch = torch.arange(4 * 3 * 5 * 2).reshape(4, 3, 5, 2).to(dtype).contiguous(memory_format=layout)
    column = Column(batch, 9)
    column.write(np.array([8, 1, 5, 0]), batch)
    read = column.read(np.array([1, 0, 8]), DEVICE)
    assert torch.equal(read, batch[[1, 3, 0]])
    assert read.dtype == dtype
    assert read.is_contiguous(memory_format=layout)


def test_nothing_is_left_on_the_disk(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    opened = num_open_files()
    training = training_of(folders["classification"], small_model(), train="head", reuse_features=True)
    reports = fit(training, lambda _: NOTHING, Checkpoint(None, "run"), lambda _: None)
    next(reports)
    assert list(tmp_path.iterdir()) == []
    reports.close()
    del training, reports
    gc.collect()
    assert num_open_files() <= opened


def num_open_files():
    """Of this process, where the system says so."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_a_disk_without_room_is_refused_in_bytes():
    with pytest.raises(GraftError, match=r"of 1,000,000,000,000 views need 165,000,000,000,000 bytes, \d") as caught:
        columns_for([torch.zeros(2, 40, 1, 1), torch.zeros(2, 5, dtype=torch.uint8)], 10**12)
    assert "TMPDIR" in caught.value.remedy
    assert caught.value.where == tempfile.gettempdir()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_disk_that_fills_up_is_an_error_and_no_crash():
    column = Column(torch.zeros(1, 4), 3)
    with Path("/dev/full").open("wb", buffering=0) as full:
        column._file = full
        with pytest.raises(GraftError, match="features cannot be written"):
            column.write(np.array([0]), torch.ones(1, 4))


def test_a_row_that_the_disk_took_in_part_is_an_error():
    column, (soft, hard) = Column(torch.zeros(1, 4), 3), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))  # the last of three rows of 16 bytes has room for half of it
    try:
        with pytest.raises(GraftError, match="features cannot be written"):
            column.write(np.array([2]), torch.ones(1, 4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_mixing_is_refused_with_reuse(folders, tmp_path):
    strategy = {"name": "supervised", "train": "head", "reuse_features": True}
    with pytest.raises(GraftError, match="mixing is 'cutmix', and this strategy reuses features"):
        tiny_training.run(folders["segmentation"], tmp_path, strategy=strategy, mixing="cutmix")


def test_a_moving_backbone_is_refused_with_reuse():
    with pytest.raises(GraftError, match="reuse_features with train: all"):
        supervised(WeightedSum(resolve_losses(CROSS_ENTROPY)), reuse_features=True)
