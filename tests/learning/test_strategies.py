"""What moves when and how fast: parts, rates, penalties and statistics, with every bit of the rest at rest."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from graft.data.views.view import open_views
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.training.checkpoint import Checkpoint
from graft.training.freezing import Movement, exempt_from_decay, frozen_table, group_table, halves, is_normalisation
from graft.training.loop import epoch_steps
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.strategies import STRATEGIES, refusals, supervised
from graft.training.strategies.re_estimation import re_estimate
from tests import tiny_training
from tests.tiny_strategy import CROSS_ENTROPY, KilledError, digests, run, small_model, training_of

EMA = {"name": "ema", "decay": 0.9}
L2 = {"l2_sp_alpha": 0.1, "l2_sp_beta": 0.01}
ROWS = {
    "frozen_backbone": {"train": "frozen_backbone"},
    "head_first": {"unfreeze": "head_first", "head_epochs": 3},
    "gradual": {"unfreeze": "gradual"},
    "rates": {"backbone_rate_factor": 0.5, "layer_decay": 0.9},
    "l2_sp": {"l2_sp_alpha": 0.01, "l2_sp_beta": 0.001, "learning_rate": 1e-3},
    "frozen_normalisation": {"normalisation": "frozen", "learning_rate": 1e-3},
    "re_estimated": {"normalisation": "re_estimated"},
    "reuse_features": {"train": "frozen_backbone", "reuse_features": True},
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("photographs"), "classification")


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    plain = {"name": "light", "flip_probability": 0.0, "strength": 0.0}
    whole = SimpleNamespace(height_px=72, width_px=96)
    folder = tmp_path_factory.mktemp("four")
    return tiny_training.prepare(folder, "classification", num_samples=4, views=1, policy=plain, crop=whole)


@pytest.fixture(scope="module")
def measured(four):
    """A backbone whose statistics are those of the streets; as it comes, it hands on almost nothing."""
    model = small_model()
    (images, _), *_ = open_views(four / "augmented", "classification").batches(np.arange(4), 0, 4, torch.device("cpu"))
    with torch.no_grad():
        re_estimate(model, model.requires_grad_(True), [(images.float() / 50 - 2.5, torch.zeros(4))])
    return model.backbone.state_dict()


def options(**changes):
    return resolve(STRATEGIES, {"name": "supervised", **changes}, where="x").options


def moved(before, model):
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("name", ROWS)
def test_every_way_of_moving_learns_four_streets_by_heart(four, measured, name):
    model = small_model()
    model.backbone.load_state_dict(measured)
    reports = run(training_of(four, model, epochs=15, batch_size=4, **ROWS[name]))
    assert reports[-1].step == 15
    assert reports[-1].train_loss < 0.4 * reports[0].train_loss


@pytest.mark.parametrize("name", ["head_first", "gradual", "l2_sp", "reuse_features"])
def test_a_killed_training_ends_in_the_same_bits(photographs, tmp_path, name):
    changes = {"head_first": {"unfreeze": "head_first"}, "gradual": {"unfreeze": "gradual"}, "l2_sp": L2}
    chosen = {"epochs": 6 if name == "gradual" else 2, "averaging": EMA, **changes.get(name, ROWS[name])}
    undisturbed = training_of(photographs, small_model(), **chosen)
    run(undisturbed)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        run(training_of(photographs, small_model(), **chosen), Checkpoint(path, "run", seconds_between=0), 1)
    resumed = training_of(photographs, small_model(), **chosen)
    run(resumed, Checkpoint(path, "run", seconds_between=0))
    assert digests(resumed) == digests(undisturbed)


def test_head_first_moves_the_head_alone_and_then_everything(photographs):
    model = small_model()
    training = training_of(photographs, model, unfreeze="head_first", head_epochs=2)
    before = copy.deepcopy(model.state_dict())
    for epoch in range(3):
        training.trainee.epoch, training.trainee.batch = epoch, 0
        list(epoch_steps(training))
        touched = {name.split(".")[0] for name in moved(before, model)}
        assert touched == ({"head"} if epoch < 2 else {"head", "backbone"})


def test_gradual_unfreezes_from_the_head_a_stage_at_a_time():
    model = small_model()
    movement = Movement(unfreeze="gradual", unfreeze_every_epochs=2)
    names = [name for name, _ in model.stages()]
    movement.parameter_groups(model)
    for epoch in range(2 * len(names)):
        movement.begin_epoch(model, epoch, 100)
        trains = [name for name, parameters in model.stages() if all(p.requires_grad for p in parameters)]
        rests = [name for name, parameters in model.stages() if not any(p.requires_grad for p in parameters)]
        assert trains == names[-1 - epoch // 2 :]
        assert len(trains) + len(rests) == len(names)


def test_all_that_will_ever_train_is_in_the_groups_from_the_start():
    for unfreeze in ("none", "head_first", "gradual"):
        model = small_model()
        groups = Movement(unfreeze=unfreeze).parameter_groups(model)
        held = [id(p) for group in groups for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in model.parameters())
    first = {group["name"]: group["trains_from_epoch"] for group in groups}
    assert first["head, decaying"] == 1
    assert first["stem, decaying"] == len(model.stages())


def test_rate_factors_reach_the_optimizer(photographs):
    model = small_model()
    training = training_of(photographs, model, backbone_rate_factor=0.5, layer_decay=0.8)
    training.trainee.set_learning_rate(0.01)
    names = [name for name, _ in model.stages()]
    for group in training.trainee.optimizer.param_groups:
        depth = len(names) - 1 - names.index(group["name"].split(",")[0])
        assert group["lr"] == pytest.approx(0.01 * 0.8**depth * (0.5 if depth else 1.0))


def test_one_factor_for_the_backbone_needs_two_parts_only(photographs):
    training = training_of(photographs, small_model(), backbone_rate_factor=0.1)
    factors = {g["name"].split(",")[0]: g["rate_factor"] for g in training.trainee.optimizer.param_groups}
    assert factors == {"backbone": 0.1, "head": 1.0}


def test_the_penalty_of_l2_sp_by_hand():
    model = small_model()
    strategy = supervised(WeightedSum(resolve_losses(CROSS_ENTROPY)), l2_sp_alpha=0.3, l2_sp_beta=0.02)
    strategy.parameter_groups(model)
    start = {name: p.detach().double().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    by_hand = 0.0
    for name, parameter in model.named_parameters():
        now = parameter.detach().double()
        if name.startswith("backbone."):
            by_hand += 0.15 * float(((now - start[name]) ** 2).sum())
        elif parameter.ndim > 1:
            by_hand += 0.01 * float((now**2).sum())
    images, targets = torch.zeros(1), torch.tensor([0])
    losses = strategy.step(lambda _: torch.zeros(1, 2), images, targets)
    losses = {part: loss.detach() for part, loss in losses.items()}
    assert float(losses["l2_sp"]) == pytest.approx(by_hand, rel=1e-5)
    assert float(losses["loss"]) == pytest.approx(by_hand + np.log(2), rel=1e-5)


def test_l2_sp_pulls_to_the_start_and_takes_the_place_of_weight_decay(photographs):
    distances = []
    for alpha in (0.0, 50.0):
        model = small_model()
        start = {name: p.detach().clone() for name, p in model.backbone.named_parameters()}
        training = training_of(photographs, model, epochs=4, optimizer="sgd", l2_sp_alpha=alpha)
        assert {group["weight_decay"] for group in training.trainee.optimizer.param_groups} == {0.0}
        run(training)
        away = sum(float((p.detach() - start[name]).square().sum()) for name, p in model.backbone.named_parameters())
        distances.append(away)
    assert distances[1] < 0.5 * distances[0]


def test_frozen_normalisation_keeps_every_bit_while_the_rest_moves(photographs):
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    run(training_of(photographs, model, normalisation="frozen"))
    of_norms = {
        f"backbone.{name}.{part}"
        for name, module in model.backbone.named_modules()
        if is_normalisation(module)
        for part in module.state_dict()
    }
    changed = moved(before, model)
    assert of_norms
    assert not changed & of_norms
    assert {name for name, _ in model.named_parameters()} - of_norms <= changed


def test_re_estimated_statistics_are_those_of_the_population():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())
    batches = [(3 * torch.randn(size, 3, 9, 9) + size, torch.zeros(size)) for size in (4, 4, 1, 3)]
    with torch.no_grad():
        seen = torch.cat([model[0](images) for images, targets in batches if len(targets) > 1]).double()
    tracked = model[1].num_batches_tracked.clone()
    re_estimate(model, model, batches)
    assert torch.allclose(model[1].running_mean.double(), seen.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(model[1].running_var.double(), seen.var((0, 2, 3)), rtol=1e-5)
    assert not any(module.training for module in model.modules())
    assert torch.equal(model[1].num_batches_tracked, tracked)
    assert model[1].track_running_stats
    first = copy.deepcopy(model.state_dict())
    re_estimate(model, model, batches)
    assert moved(first, model) == set()


@pytest.mark.parametrize(("train", "where"), [("all", {"backbone", "head"}), ("frozen_backbone", {"head"})])
def test_finish_re_estimates_what_trained_and_nothing_else(tmp_path, photographs, train, where):
    task, folder = "segmentation", tiny_training.prepare(tmp_path, "segmentation", num_samples=4)
    model = small_model(task)
    training = training_of(folder, model, task=task, epochs=1, train=train, normalisation="re_estimated")
    run(training)
    before = copy.deepcopy(model.state_dict())
    training.strategy.finish(model, training.views, training.forward, training.plan)
    changed = moved(before, model)
    assert {name.split(".")[-1] for name in changed} == {"running_mean", "running_var"}
    assert {name.split(".")[0] for name in changed} == where
    before = copy.deepcopy(model.state_dict())
    supervised(training.strategy.loss).finish(model, training.views, training.forward, training.plan)
    assert moved(before, model) == set()


def test_tables_say_what_trains_from_when_and_what_is_frozen():
    model = small_model()
    groups = Movement(unfreeze="head_first", head_epochs=3, backbone_rate_factor=0.1).parameter_groups(model)
    rows = {row["name"]: row for row in group_table(groups, 2e-3)}
    assert rows["backbone, decaying"]["trains_from_epoch"] == 4
    assert rows["backbone, decaying"]["rate_factor"] == 0.1
    assert rows["backbone, decaying"]["learning_rate"] == pytest.approx(2e-4)
    assert rows["head, decaying"]["learning_rate"] == 2e-3
    assert frozen_table(model, groups) == []
    groups = Movement(train="frozen_backbone").parameter_groups(model)
    (row,) = frozen_table(model, groups)
    assert row["name"] == "backbone, frozen"
    assert row["num_parameters"] == sum(p.numel() for p in model.backbone.parameters())


def test_positions_tokens_scales_and_normalisation_do_not_decay():
    from torchvision.models import VisionTransformer, swin_v2_t
    from torchvision.models.convnext import CNBlock

    vit = exempt_from_decay(VisionTransformer(32, 16, 1, 2, 8, 16))
    assert {"class_token", "encoder.pos_embedding", "encoder.ln.weight"} <= vit
    assert "conv_proj.weight" not in vit
    with torch.device("meta"):
        swin = swin_v2_t()
    exempt = exempt_from_decay(swin)
    assert {name for name, _ in swin.named_parameters() if name.endswith(("logit_scale", "cpb_mlp.0.weight"))} <= exempt
    block = CNBlock(4, 1.0, 0.0)
    assert exempt_from_decay(block) == {name for name, p in block.named_parameters() if p.ndim == 1} | {"layer_scale"}


def test_what_a_library_names_itself_does_not_decay():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.weight = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2, 2))

        def no_weight_decay(self):
            return {"table"}

    assert exempt_from_decay(nn.Sequential(Own())) == {"0.table"}


def test_backbone_and_the_rest_are_all_there_is():
    model = small_model()
    assert [name for name, _ in halves(model)] == ["backbone", "head"]
    assert sum(len(parameters) for _, parameters in halves(model)) == len(list(model.parameters()))


NONSENSE = [
    ({"train": "head", "unfreeze": "gradual"}, "unfreeze: gradual with train: head"),
    ({"train": "frozen_backbone", "backbone_rate_factor": 0.1}, "backbone_rate_factor: 0.1 with train: frozen_backb"),
    ({"train": "head", "layer_decay": 0.7}, "layer_decay: 0.7 with train: head"),
    ({"train": "frozen_backbone", "l2_sp_alpha": 0.1}, "l2_sp_alpha: 0.1 with train: frozen_backbone"),
    ({"head_epochs": 2}, "head_epochs: 2 with unfreeze: none"),
    ({"unfreeze": "head_first", "unfreeze_every_epochs": 2}, "unfreeze_every_epochs: 2 with unfreeze: head_first"),
    ({"l2_sp_beta": 0.01}, "l2_sp_beta is 0.01 without l2_sp_alpha"),
    ({"train": "head", "normalisation": "re_estimated"}, "normalisation: re_estimated with train: head"),
    ({"reuse_features": True}, "reuse_features with train: all"),
]


@pytest.mark.parametrize(("changes", "message"), NONSENSE)
def test_nonsense_is_refused_by_name_with_a_remedy(changes, message):
    with pytest.raises(GraftError, match=message) as caught:
        supervised(WeightedSum(resolve_losses(CROSS_ENTROPY)), **changes)
    (found,) = refusals(options(**changes))
    assert found.rule
    assert found.remedy
    assert "Remedy" in str(caught.value)


def test_all_that_makes_no_sense_is_said_at_once():
    with pytest.raises(GraftError, match=r"makes no sense \(3\)(.|\n)*layer_decay(.|\n)*head_epochs"):
        supervised(
            WeightedSum(resolve_losses(CROSS_ENTROPY)), train="head", layer_decay=0.5, head_epochs=3, l2_sp_beta=1.0
        )


def test_refusals_that_depend_on_the_rest_of_the_params():
    (found,) = refusals(options(unfreeze="head_first", head_epochs=5), epochs=5)
    assert "would begin to train in epoch 6, training ends after 5" in str(found)
    assert refusals(options(unfreeze="head_first", head_epochs=5), epochs=6) == []
    model = small_model()
    last = len(model.stages())
    (found,) = refusals(options(unfreeze="gradual"), epochs=last - 1, model=model)
    assert f"stem would begin to train in epoch {last}" in str(found)
    assert refusals(options(unfreeze="gradual"), epochs=last, model=model) == []
    (found,) = refusals(options(train="frozen_backbone", normalisation="re_estimated"), model=model)
    assert "what trains of this model has no batch normalisation" in str(found)


def test_a_stage_that_would_never_train_stops_the_training(photographs):
    with pytest.raises(GraftError, match="stem would begin to train in epoch"):
        run(training_of(photographs, small_model(), unfreeze="gradual", epochs=2))
