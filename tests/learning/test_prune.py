"""Pruning: which channels go and why, the same bits after a kill, weights that load by their spec, and bad input."""

from __future__ import annotations

import copy
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graft.foundation.content import content_seed, read_json
from graft.foundation.errors import GraftError
from graft.models.architectures import build_fresh
from graft.models.saved_model import ModelSpec, load_model, save_model, tensor_digest
from graft.models.widths import narrow, num_macs, num_parameters, usual_size
from graft.training.checkpoint import Checkpoint
from graft.training.loop import fit
from graft.training.optimizers.timm import offered_algorithms
from graft.training.strategies import STRATEGIES, channel_pruning
from graft.training.strategies.channel_pruning import Pruning
from graft.training.strategies.prune import rounds_problem
from graft.training.strategies.sparsify import prunable_weights, smallest_left_out
from tests import tiny_training
from tests.tiny_strategy import NOTHING, KilledError, digests, run, small_model, training_of

WITHOUT = channel_pruning._without
PRUNED = {"strategy": "prune", "fraction": 0.5}
PLAIN = {"name": "plain_cnn", "width": 8}
FACTS = {"mean": (0.4,) * 3, "std": (0.3,) * 3, "resize": {"name": "none"}, "padding_multiple": 1, "synthetic": True}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("photographs"), "classification")


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    crop = SimpleNamespace(height_px=48, width_px=64)
    return tiny_training.prepare(tmp_path_factory.mktemp("streets"), num_samples=6, views=1, crop=crop)


def plain(seed=3):
    return build_fresh("classification", PLAIN, 2, seed)


def spec_of(model, **changes):
    given = {"task": "classification", "model": PLAIN, "num_classes": 2, "class_names": ("a", "b")}
    return ModelSpec(**given | FACTS | changes, widths=model.widths)


def convolutions(model):
    return [module for module in model.backbone.modules() if isinstance(module, torch.nn.Conv2d)]


def test_macs_and_parameters_by_hand():
    """Convolutions of 3 × 3 with 8, 16 and 32 channels, each before an image is halved, and a layer of two classes."""
    macs = 16 * 16 * 8 * 27 + 8 * 8 * 16 * 8 * 9 + 4 * 4 * 32 * 16 * 9 + 32 * 2
    parameters = 8 * 28 + 16 * (8 * 9 + 1) + 32 * (16 * 9 + 1) + 2 * 33
    assert num_macs(plain(), (16, 16)) == macs == 202_816
    assert num_parameters(plain()) == parameters == 6_098


def ranked(model):
    """The model with filters that grow with the number of their channel, but for the sixth, which is the smallest."""
    with torch.no_grad():
        for conv in convolutions(model):
            sizes = torch.arange(1.0, conv.out_channels + 1)
            sizes[5] = 0.01
            conv.weight.fill_(1.0)
            conv.weight.mul_(sizes.view(-1, 1, 1, 1))
            conv.bias.copy_(sizes)
    return model


@pytest.mark.parametrize("target", ["macs", "parameters"])
def test_no_smaller_share_of_the_channels_would_do(target, monkeypatch):
    """A 256th less leaves too much, and the share is found in few tries."""
    pruning, tried = Pruning(target, "magnitude"), []
    monkeypatch.setattr(channel_pruning, "_without", lambda *facts: tried.append(facts) or WITHOUT(*facts))
    whole, example = pruning.count(plain()), torch.zeros(1, 3, *usual_size(plain()))
    for fraction in (0.99, 0.75, 0.5, 0.1):
        tried.clear()
        wanted = int(whole * fraction)
        place, left = pruning._search(plain(), wanted)
        assert len(tried) <= 13
        assert pruning.count(left) <= wanted
        assert pruning.count(WITHOUT(plain(), (place - 1) / 256, "magnitude", example)) > wanted


def test_the_smallest_filters_go_first():
    """Half of the parameters are left with 0.7 of the channels or a little more: of the first layer 5 or 6 of 8."""
    model = ranked(plain())
    Pruning("parameters", "magnitude").prune(model, num_parameters(model) // 2)
    widths = [conv.out_channels for conv in convolutions(model)]
    kept = [conv.bias.tolist() for conv in convolutions(model)]
    for width, whole, values in zip(widths, (8, 16, 32), kept, strict=True):
        ranking = sorted(float("0.01") if number == 6 else float(number) for number in range(1, whole + 1))
        assert values == pytest.approx(sorted(ranking)[-width:])
    assert model.widths["backbone.block1.convolution"] == {"out_channels": widths[0]}
    assert model.widths["head.fc"] == {"in_features": widths[2]}
    assert 0.45 < num_parameters(model) / 6_098 <= 0.5


def test_taylor_keeps_what_the_loss_goes_by():
    """Of the last layer only the channels that the class layer reads have a gradient, though they are the smallest."""
    model = plain()
    with torch.no_grad():
        last, classes = convolutions(model)[-1], model.get_submodule("head.fc")
        last.weight[:8].mul_(0.1)
        last.bias.fill_(0.5)
        last.bias[:8] = 0.25
        classes.weight.fill_(0.0)
        classes.weight[0, :8] = 1.0

    def learn(copy):
        torch.nn.functional.cross_entropy(copy(torch.rand(4, 3, 16, 16)), torch.tensor([0, 1, 0, 1])).backward()

    Pruning("parameters", "taylor").prune(model, 6_098 // 10, learn)
    left = convolutions(model)[-1]
    assert left.out_channels < 12
    assert left.bias.tolist().count(0.25) == min(8, left.out_channels)


@pytest.mark.parametrize("auxiliary_weight", [0.0, 0.4])
def test_taylor_hears_the_loss_of_training_with_its_auxiliary_head(streets, auxiliary_weight, monkeypatch):
    """One batch of two images: the gradients are those of both losses, and the running statistics stay."""
    model = small_model("segmentation", {"name": "fcn", "backbone": "resnet50", "auxiliary_weight": auxiliary_weight})
    training = training_of(streets, model, task="segmentation", batch_size=2, **PRUNED, importance="taylor")
    monkeypatch.setitem(type(training.strategy)._learn.__globals__, "NUM_IMAGES", 2)
    copied = copy.deepcopy(model).eval().requires_grad_(True)
    training.strategy._learn(copied)
    order = np.random.default_rng(content_seed(7, "taylor")).permutation(6)
    ((images, targets),) = training.views.batches(np.sort(order[:2]), 0, 2, torch.device("cpu"))
    features = model.eval().backbone(training.forward.pixels(images))
    answers = [model.at_size(head(features), (48, 64)) for head in (model.head, model.auxiliary) if head is not None]
    losses = [torch.nn.functional.cross_entropy(one, targets, ignore_index=255) for one in answers]
    sum(weight * loss for weight, loss in zip((1.0, auxiliary_weight), losses, strict=False)).backward()
    for mine, theirs in zip(copied.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-6)
    assert not any(module.training for module in copied.modules())
    pruned = Pruning("parameters", "taylor")
    pruned.prune(model, num_parameters(model) // 2, training.strategy._learn)
    assert num_parameters(model) <= training.strategy.whole["parameters"] / 2


def test_batch_norm_scale_goes_by_the_factors():
    model = build_fresh("classification", {"name": "resnet", "variant": "resnet18"}, 2, 3)
    inner = model.get_submodule("backbone.layer1.0.bn1")
    with torch.no_grad():
        inner.weight.copy_(torch.arange(64).flip(0) + 1.0)
    Pruning("macs", "batch_norm_scale").prune(model, num_macs(model, (64, 64)) // 2)
    left = model.get_submodule("backbone.layer1.0.bn1")
    assert 40 < left.num_features < 50
    assert left.weight.tolist() == [64.0 - number for number in range(left.num_features)]


def test_what_is_frozen_and_in_training_mode_stays_so():
    model = plain().train()
    model.backbone.requires_grad_(False)
    Pruning("macs", "magnitude").prune(model, num_macs(model, (64, 64)) // 2)
    assert model.training
    assert [parameter.requires_grad for parameter in model.parameters()] == [False] * 6 + [True] * 2


def test_widths_bring_the_network_back_without_torch_pruning(tmp_path):
    model = plain()
    Pruning("macs", "magnitude").prune(model, num_macs(model, (64, 64)) // 3)
    save_model(tmp_path, model, spec_of(model))
    again, spec = load_model(tmp_path)
    assert tensor_digest(again.state_dict()) == tensor_digest(model.state_dict())
    assert spec.widths == model.widths == again.widths
    code = (
        "import sys, pathlib; from graft.models.saved_model import load_model; "
        f"load_model(pathlib.Path({str(tmp_path)!r})); sys.exit('torch_pruning' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"backbone.block9": {"out_channels": 2}}, "it has no such layer"),
        ({"backbone.block1.convolution": {"out_channels": 9}}, "it has out_channels 8"),
        ({"backbone.block1.convolution": {"out_channels": 0}}, "to out_channels 0, which the architecture cannot"),
        ({"head.fc": {"out_channels": 1}}, "it has no such layer"),
    ],
)
def test_widths_of_another_network_are_refused(widths, message):
    with pytest.raises(GraftError, match=message):
        narrow(plain(), widths)


@pytest.mark.parametrize("options", [{"strategy": "prune", "fraction": 1.0}, {"strategy": "sparsify", "sparsity": 0.0}])
def test_with_nothing_to_prune_it_is_supervised_to_the_bit(photographs, options):
    trainings = [training_of(photographs, small_model(spec=PLAIN), **one) for one in (options, {})]
    for training in trainings:
        run(training)
    assert digests(trainings[0]) == digests(trainings[1])


KILLED = {
    "one round": PRUNED,
    "rounds, averaged": PRUNED | {"rounds": 2, "round_epochs": 1, "averaging": "ema"},
    "taylor": PRUNED | {"importance": "taylor", "rounds": 2},
    "sparse": {"strategy": "sparsify", "sparsity": 0.5, "averaging": "ema"},
}


@pytest.mark.parametrize("kill_at", [1, 4])
@pytest.mark.parametrize("case", KILLED)
def test_a_killed_training_ends_in_the_same_bits(photographs, tmp_path, case, kill_at):
    def made():
        return training_of(photographs, small_model(spec=PLAIN), **KILLED[case])

    undisturbed = made()
    run(undisturbed)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        run(made(), Checkpoint(path, "run", seconds_between=0), kill_at)
    resumed = made()
    run(resumed, Checkpoint(path, "run", seconds_between=0))
    assert digests(resumed) == digests(undisturbed)
    assert resumed.strategy.facts() == undisturbed.strategy.facts()


@pytest.mark.slow
def test_a_compiled_model_is_compiled_again_where_a_round_begins(photographs):
    trainings = [
        training_of(photographs, small_model(spec=PLAIN), compiled=compiled, **PRUNED | {"rounds": 2})
        for compiled in (True, False)
    ]
    compiled, plain_ones = ([report.train_loss for report in run(training)] for training in trainings)
    assert trainings[0].forward.num_compiled == 6
    assert compiled == pytest.approx(plain_ones, rel=1e-5)
    assert trainings[0].trainee.model.widths == trainings[1].trainee.model.widths


def test_every_round_takes_the_same_factor_and_the_last_is_kept(photographs):
    training = training_of(photographs, small_model(spec=PLAIN), **PRUNED | {"rounds": 2, "round_epochs": 1})
    reports = run(training)
    whole = training.strategy.whole["macs"]
    shares = [report.measures["macs"] / whole for report in reports]
    assert 0.66 < shares[0] <= 0.5**0.5 < 0.75
    assert shares[1] == shares[2] <= 0.5
    assert [report.is_best for report in reports] == [True, True, False]
    assert training.trainee.best["backbone.block1.convolution.weight"].shape[0] < 8
    left = training.trainee.model
    assert training.strategy.facts()["pruned"]["parameters"]["after"] == num_parameters(left) < num_parameters(plain())
    groups = [parameter for group in training.trainee.optimizer.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in groups} == {id(parameter) for parameter in left.parameters()}


@pytest.mark.parametrize(
    ("averaging", "kept"),
    [
        ({"name": "ema", "decay": 0.9, "warmup": 10}, [1 / 10, 2 / 11, 1 / 10, 2 / 11, 3 / 12, 4 / 13]),
        ({"name": "swa", "last_fraction": 0.5}, [0, 0, 0, 0, 0, 1 / 2]),
    ],
    ids=["ema", "swa"],
)
def test_an_average_begins_anew_with_each_round(photographs, averaging, kept):
    """Two steps before the second round and four after: the share goes by the steps since the round began."""
    options = PRUNED | {"rounds": 2, "round_epochs": 1, "averaging": averaging}
    training = training_of(photographs, small_model(spec=PLAIN), **options)
    found = []
    list(
        fit(training, lambda _: NOTHING, Checkpoint(None, "run"), lambda _: found.append(training.trainee.average.kept))
    )
    assert found == pytest.approx(kept)


def test_the_smallest_weights_of_all_layers_become_zero():
    first, second = (torch.nn.Parameter(torch.tensor(values)) for values in ([[1.0, -4.0]], [[3.0], [-0.5], [2.0]]))
    masks = smallest_left_out([first, second], 0.5)
    assert [mask.tolist() for mask in masks] == [[[0.0, 1.0]], [[1.0], [0.0], [1.0]]]


# muon and its kin orthogonalise a matrix, which moves every value of it.
TIMM = [{"name": "timm", "algorithm": name} for name in offered_algorithms()]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop", "adam", *TIMM], ids=str)
def test_zeros_stay_zero_while_the_others_learn(photographs, optimizer):
    model = small_model(spec=PLAIN)
    before = model.get_submodule("head.fc").weight.detach().clone()
    options = {"strategy": "sparsify", "sparsity": 0.75, "learning_rate": 1e-3}
    training = training_of(photographs, model, optimizer=optimizer, averaging="ema", **options)
    zeros = [weight == 0 for weight in prunable_weights(model)]
    run(training)
    for judged in (model, training.trainee.judged):
        assert all(torch.equal(weight == 0, zero) for weight, zero in zip(prunable_weights(judged), zeros, strict=True))
    training.strategy.finish(model, training.views, training.forward, training.plan)
    counted = training.strategy.facts()["sparse"]
    assert counted["zeros"] == int(0.75 * counted["weights"])
    assert not torch.equal(model.get_submodule("head.fc").weight, before)


def test_the_stage_writes_a_model_that_the_next_ones_take(streets, tmp_path, capsys):
    strategy = {"name": "prune", "fraction": 0.5, "rounds": 2}
    metrics = tiny_training.run(streets, tmp_path, strategy=strategy, epochs=2, warmup_epochs=0, baseline=True)
    assert "the pretrained weights know none of the classes" in capsys.readouterr().err
    model, spec = load_model(tmp_path / "model")
    whole = load_model(tmp_path / "model/baseline")[0]
    assert spec.widths
    assert not whole.widths
    facts = read_json(tmp_path / "curves/summary.json")["runs"]["fine_tuned"]["pruned"]
    assert facts["parameters"] == {"before": num_parameters(whole), "after": num_parameters(model)}
    assert facts["macs"]["after"] <= facts["macs"]["before"] / 2
    assert metrics["fine_tuned.macs"] == facts["macs"]["after"]
    header = (tmp_path / "curves/curves.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith(",macs,parameters")


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5, float("nan")])
def test_fractions_that_are_none_are_refused(fraction):
    from graft.foundation.choices import resolve

    with pytest.raises(GraftError, match="fraction"):
        resolve(STRATEGIES, {"name": "prune", "fraction": fraction}, where="fine_tune.strategy")


def test_a_target_that_leaves_a_layer_without_channels_is_refused():
    with pytest.raises(GraftError, match=r"would leave a layer without channels.*set fraction to 0\.\d\d? or more"):
        Pruning("macs", "magnitude").prune(plain(), 100)


def test_a_network_without_normalisation_has_no_scale_to_go_by():
    with pytest.raises(GraftError, match="no layer is followed by batch normalisation"):
        Pruning("macs", "batch_norm_scale").prune(plain(), 100)


def test_rounds_that_do_not_fit_are_refused(photographs):
    assert rounds_problem(1, 5, 1, 3) is None
    assert rounds_problem(3, 2, 5, None) is None
    assert "set fine_tune.epochs to at least 5" in str(rounds_problem(3, 2, 4, None))
    assert "fine_tune.early_stopping_epochs: null" in str(rounds_problem(2, 1, 4, 3))
    with pytest.raises(GraftError, match=r"round 3 would begin in epoch 5, training ends after 3"):
        run(training_of(photographs, small_model(spec=PLAIN), **PRUNED | {"rounds": 3, "round_epochs": 2}))
    with pytest.raises(GraftError, match=r"l2_sp_alpha: 0\.1 with strategy prune"):
        training_of(photographs, small_model(spec=PLAIN), **PRUNED | {"l2_sp_alpha": 0.1})
