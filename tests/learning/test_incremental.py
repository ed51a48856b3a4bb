"""Keeping what a parent knows: the losses by hand and against NumPy, the same bits after a kill, and bad input."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from graft.data.views.resized import ResizedViews
from graft.data.views.view import open_views
from graft.foundation.class_map import RGB
from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError
from graft.training.assembly import Assembly
from graft.training.checkpoint import Checkpoint
from graft.training.context import TrainingContext
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.strategies import FROM_PARENT, STRATEGIES
from graft.training.strategies.distillation import distillation, fold, fold_where_background
from graft.training.strategies.distilled import refuse_too_many_marks
from graft.training.strategies.parent import background_of
from tests import tiny_training
from tests.tiny_strategy import CLASS_NAMES, CROSS_ENTROPY, KilledError, digests, run, small_model, training_of

LOSS = WeightedSum(resolve_losses(CROSS_ENTROPY))
NAMES = ("background", "road", "car", "tree")
SEGMENTATION = {"task": "segmentation"}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return tiny_training.prepare(tmp_path_factory.mktemp("photographs"), "classification")


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    crop = SimpleNamespace(height_px=48, width_px=64)
    return tiny_training.prepare(tmp_path_factory.mktemp("streets"), num_samples=6, views=1, crop=crop)


@pytest.fixture(scope="module")
def supervised_digests(photographs):
    training = training_of(photographs, small_model(), epochs=2)
    run(training)
    return digests(training)


def softmax(logits):
    """Over axis 1, in float64, independent of torch."""
    powers = np.exp(np.asarray(logits, np.float64))
    return powers / powers.sum(1, keepdims=True)


def some_logits(num_classes, seed):
    return torch.randn(2, num_classes, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_distillation_by_hand():
    """Two pixels: the parent is sure to 3 : 1 where the child wavers, and both agree in the other."""
    of_parent = torch.tensor([[[[np.log(3.0), 0.7]], [[0.0, 0.2]]]], dtype=torch.float32)
    child = torch.tensor([[[[0.0, 0.7]], [[0.0, 0.2]]]])
    by_hand = (0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)) / 2
    assert float(distillation(child, of_parent)) == pytest.approx(by_hand, rel=1e-5)
    assert float(distillation(of_parent, of_parent, 2.0)) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_distillation_agrees_with_numpy_and_has_the_gradient_of_the_cross_entropy(temperature):
    child, of_parent = some_logits(3, 1).requires_grad_(True), some_logits(3, 2)
    p, q = softmax(of_parent / temperature), softmax(child.detach() / temperature)
    found = distillation(child, of_parent, temperature)
    assert float(found.detach()) == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-4)
    (gradient,) = torch.autograd.grad(found, child)
    np.testing.assert_allclose(gradient.numpy(), (q - p) / temperature / 8, atol=1e-6)


def test_a_folded_class_has_the_probability_of_all_it_stands_for():
    logits = some_logits(5, 3)
    before, after = softmax(logits), softmax(fold(logits, 1, [0, 3]))
    np.testing.assert_allclose(after[:, 1], before[:, [0, 1, 3]].sum(1), rtol=1e-5)
    np.testing.assert_allclose(after[:, [2, 4]], before[:, [2, 4]], rtol=1e-5)
    assert not after[:, [0, 3]].any()


def test_the_unbiased_cross_entropy_agrees_with_numpy():
    """Background may be what the parent knows; a new class, and a known one that was labelled all the same, may not."""
    logits, background, known = some_logits(5, 4), 0, [0, 1, 2]
    targets = torch.tensor([[[0, 1], [3, 4]], [[0, 255], [0, 2]]])
    probabilities = softmax(logits)
    each = [
        -np.log(probabilities[b, known, y, x].sum() if target == background else probabilities[b, target, y, x])
        for (b, y, x), target in np.ndenumerate(targets.numpy())
        if target != 255
    ]
    found = LOSS(fold_where_background(logits, targets, background, known), targets)
    assert float(found) == pytest.approx(np.mean(each), rel=1e-5)


def test_unbiased_gradients_are_finite_and_reach_all_that_background_may_be():
    logits = some_logits(4, 5).requires_grad_(True)
    targets = torch.zeros(2, 2, 2, dtype=torch.long)
    (gradient,) = torch.autograd.grad(LOSS(fold_where_background(logits, targets, 0, [0, 1, 2]), targets), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[:, :3] < 0).all()
    assert (gradient[:, 3] > 0).all()


@pytest.mark.parametrize("name", FROM_PARENT)
def test_weights_that_know_no_class_are_refused(name):
    strategy = STRATEGIES[name](LOSS)
    with pytest.raises(GraftError, match=rf"strategy {name} needs a parent.*none of the 4 classes.*background") as e:
        strategy.begin(nn.Linear(1, 1), TrainingContext(7, "segmentation", NAMES))
    assert "Remedy: set pretrain_load.source" in str(e.value)


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("mib", NAMES, "the strategy mib learns new classes, and the parent knows all of them"),
        (
            "mib",
            NAMES[1:],
            "needs a background, and no class that the parent knows is called background.*road, car, tree",
        ),
        ("plop", NAMES[1:], "needs a background.*name the class that is: {name: plop, background: NAME}"),
    ],
)
def test_what_a_strategy_cannot_tell_apart_is_refused(name, known, message):
    with pytest.raises(GraftError, match=message):
        STRATEGIES[name](LOSS).begin(nn.Linear(1, 1), TrainingContext(7, "segmentation", NAMES, known))


def test_smoothed_labels_are_refused_where_background_is_anything():
    smoothed = WeightedSum(resolve_losses([{**CROSS_ENTROPY[0], "label_smoothing": 0.1}]))
    with pytest.raises(GraftError, match="the strategy mib with label_smoothing"):
        STRATEGIES["mib"](smoothed).begin(nn.Linear(1, 1), TrainingContext(7, "segmentation", NAMES, NAMES[:2]))


def test_a_background_that_is_no_class_is_refused_with_the_classes():
    assert background_of(NAMES, None) == 0
    assert background_of(NAMES, "tree") == 3
    assert background_of(NAMES[1:], None) is None
    with pytest.raises(GraftError, match=r"no class is called 'sky'.*background, road, car, tree"):
        background_of(NAMES, "sky")


@pytest.mark.parametrize("name", ["ewc", "incremental", "lwf"])
def test_without_its_weight_a_training_is_supervised_to_the_bit(photographs, supervised_digests, name):
    training = training_of(photographs, small_model(), epochs=2, strategy=name, weight=0.0)
    run(training)
    assert digests(training) == supervised_digests


def test_without_weights_and_new_classes_plop_is_supervised_to_the_bit(streets):
    found = []
    for name, options in (("supervised", {}), ("plop", {"weight": 0.0, "logits_weight": 0.0})):
        training = training_of(streets, small_model("segmentation"), epochs=1, **SEGMENTATION, strategy=name, **options)
        run(training)
        found.append(digests(training))
    assert found[0] == found[1]


# name: task, options and number of the classes that the parent knows
KILLED = {
    "ewc": ("classification", {"num_images": 4}, 2),
    "incremental": ("segmentation", {}, 9),
    "lwf": ("classification", {"unfreeze": "head_first"}, 2),
    "mib": ("segmentation", {}, 9),
    "plop": ("segmentation", {}, 9),
}


def test_every_strategy_with_a_parent_is_killed():
    assert list(KILLED) == list(FROM_PARENT)


# incremental takes the same steps as mib
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("mib", "plop"))) for name in FROM_PARENT]
)
def test_a_killed_training_ends_in_the_same_bits(photographs, streets, tmp_path, name):
    task, options, num_known = KILLED[name]
    folder = {"classification": photographs, "segmentation": streets}[task]
    averaging = {"name": "ema", "decay": 0.9}

    def made():
        chosen = {"task": task, "strategy": name, "num_known": num_known, "epochs": 2, "batch_size": 3}
        return training_of(folder, small_model(task), averaging=averaging, **chosen, **options)

    undisturbed = made()
    run(undisturbed)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        run(made(), Checkpoint(path, "run", seconds_between=0), 1)
    resumed = made()
    run(resumed, Checkpoint(path, "run", seconds_between=0))
    assert digests(resumed) == digests(undisturbed)


def first_step(folder, num_known, **options):
    """The losses of a step in evaluation mode with the weights that training starts from, and the loss of labels."""
    training = training_of(folder, small_model(options.get("task", "classification")), num_known=num_known, **options)
    (images, targets), *_ = training.views.batches(np.arange(2), 0, 2, torch.device("cpu"))
    training.trainee.model.eval()
    losses = training.strategy.step(training.forward, images, targets)
    return {name: float(loss.detach()) for name, loss in losses.items()}, training, (images, targets)


def test_the_parts_of_the_loss_are_told_and_nothing_is_forgotten_at_first(photographs):
    losses, training, (images, targets) = first_step(photographs, 2, strategy="lwf", l2_sp_alpha=0.1)
    assert set(losses) == {"loss", "distillation", "l2_sp"}
    assert losses["distillation"] == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        assert losses["loss"] == pytest.approx(float(F.cross_entropy(training.forward(images), targets)), rel=1e-5)


def test_balanced_rows_begin_with_the_answers_of_the_parent(streets):
    """New classes share the background's probability: the unbiased distillation is zero, the naive one is not."""
    losses, training, (images, _) = first_step(streets, 9, strategy="mib", **SEGMENTATION)
    assert losses["distillation"] == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        now = training.forward(images)
        shares = now.softmax(1)[:, [0, 9, 10]]
        torch.testing.assert_close(shares, shares[:, :1].expand_as(shares))
        naive = distillation(now[:, :9], training.strategy.ask_parent(images))
    assert float(naive) > 1e-3


@pytest.fixture(scope="module")
def with_memory(streets, tmp_path_factory):
    """The same views, of which the first and the fourth are of earlier deliveries."""
    folder = tmp_path_factory.mktemp("memory") / "streets"
    shutil.copytree(streets, folder)
    index = read_json(folder / "augmented/index.json")
    write_json(folder / "augmented/index.json", index | {"remembered": {"july": [0], "may": [3]}})
    return folder


def show(folder, of_july, of_may):
    """Writes down which classes the first and the fourth sample show."""
    counts = np.zeros_like(np.load(folder / "augmented/class_counts.npy"))
    counts[0, list(of_july)] = counts[3, list(of_may)] = 5
    np.save(folder / "augmented/class_counts.npy", counts)


@pytest.mark.parametrize("name", ["mib", "incremental"])
@pytest.mark.parametrize(
    ("of_july", "of_may", "in_july", "in_may"),
    [
        (range(11), [*range(7), *range(8, 11)], 0.1, 0.1 + 0.05),
        (range(10), [*range(9), 10], 0.1 + 0.2, 0.1 + 0.3),
        ((0, 1, 2), (0, 3), 0.1 + 6 * 0.05 + 0.3 + 0.2, 0.1 + 7 * 0.05 + 0.3 + 0.2),
    ],
    ids=["one known class", "one new class each", "deliveries of two and one classes"],
)
def test_background_of_a_memory_hides_what_its_own_delivery_does_not_show(
    with_memory, name, of_july, of_may, in_july, in_may
):
    """p = 0.1 of background, 0.05 of each of eight known classes, 0.3 and 0.2 of two new ones.

    The third case is the second update: july labelled two classes, may another, and neither the other's.
    """
    show(with_memory, of_july, of_may)
    options = {"strategy": name, "num_known": 9, "weight": 0.0}
    training = training_of(with_memory, small_model("segmentation"), **options, **SEGMENTATION)
    indices = np.array([0, 3])
    _, masks = training.views.read(indices, 0)
    july, may = (int(mask[mask > 10].min()) for mask in np.where(masks == 255, 0, masks))
    logits = torch.log(torch.tensor([0.1, *[0.05] * 8, 0.3, 0.2])).reshape(1, 11, 1, 1).expand(1, 11, 1, 6)
    targets = torch.tensor([[[0, july, may, 4, 9, 255]]])  # background new, of july and of may; known, new, ignored
    parts = (0.1 + 8 * 0.05, in_july, in_may, 0.05, 0.3)
    found = training.strategy.step(lambda _: logits, None, targets)["loss"]
    assert float(found) == pytest.approx(-np.mean(np.log(parts)), rel=1e-5)


def test_deliveries_that_show_the_same_classes_share_a_mark(with_memory):
    show(with_memory, range(9), range(9))
    training = training_of(with_memory, small_model("segmentation"), strategy="mib", num_known=9, **SEGMENTATION)
    assert training.strategy.hidden == {11: (9, 10)}


def test_a_memory_that_needs_more_ids_than_a_mask_has_is_refused():
    refuse_too_many_marks("mib", 252, 3)
    with pytest.raises(GraftError, match=r"mib with 252 classes and a memory of 4 deliveries.*num_images: 0"):
        refuse_too_many_marks("mib", 252, 4)


def test_only_background_of_remembered_images_is_marked_whatever_resizes_it(streets, with_memory):
    show(with_memory, range(9), range(10))
    plain, marked = (
        training_of(folder, small_model("segmentation"), strategy="mib", num_known=9, **SEGMENTATION).views
        for folder in (streets, with_memory)
    )
    for one, other in ((plain, marked), (ResizedViews(plain, (24, 32)), ResizedViews(marked, (24, 32)))):
        (images, masks), (same, found) = one.read(np.arange(6), 0), other.read(np.arange(6), 0)
        assert np.array_equal(images, same)
        background = np.array([11, 0, 0, 12, 0, 0], np.uint8)[:, None, None]
        assert np.array_equal(found, np.where(masks == 0, background, masks))
        assert (found[0] == 11).any()
        assert (found[3] == 12).any()


def test_a_memory_changes_no_other_strategy_and_no_other_classes(with_memory, streets):
    for options in ({"strategy": "lwf"}, {"strategy": "incremental", "num_known": 11}):
        found = []
        for folder in (streets, with_memory):
            training = training_of(folder, small_model("segmentation"), epochs=1, **options, **SEGMENTATION)
            run(training)
            found.append(digests(training))
        assert found[0] == found[1]


def test_a_memory_is_mixed_as_other_images_are(with_memory):
    """Classmix through the real assembly, in batches that hold remembered images: the marks reach the loss."""
    show(with_memory, range(9), range(10))
    views = open_views(with_memory / "augmented", "segmentation")
    params = tiny_training.section(mixing="classmix", sizes=[0.75, 1], epochs=2, batch_size=3)
    spec = SimpleNamespace(task="segmentation", num_classes=11, class_names=CLASS_NAMES, channels=RGB)
    spec.mean, spec.std = (0.5,) * 3, (0.2,) * 3
    assembly = Assembly(7, params, tiny_training.runtime(), views, spec, CLASS_NAMES[:9])
    training = assembly.training(small_model("segmentation"), STRATEGIES["mib"](LOSS), 1e-2)
    reports = run(training)
    assert len(reports) == 2
    assert training.strategy.hidden == {11: (9, 10), 12: (10,)}
    _, masks = training.views.read(np.array([0, 3]), 0)
    mixed = training.plan.mix_batch(torch.zeros(2, 3, 48, 64, dtype=torch.uint8), torch.as_tensor(masks).long(), 1)[1]
    assert set(mixed.unique().tolist()) <= {*range(1, 13), 255}


def test_marked_background_weighs_as_background_does(with_memory):
    show(with_memory, range(9), range(10))
    training = training_of(with_memory, small_model("segmentation"), strategy="mib", num_known=9, **SEGMENTATION)
    training.strategy.target_weights = torch.arange(1.0, 12.0)
    training.strategy.prepare(
        training.trainee.model, open_views(with_memory / "augmented", "segmentation"), training.forward
    )
    assert training.strategy.target_weights.tolist() == [*range(1, 12), 1.0, 1.0]


@pytest.mark.parametrize("name", ["incremental", "plop"])
def test_the_parent_stays_what_it_was(streets, name):
    training = training_of(streets, small_model("segmentation"), strategy=name, num_known=9, epochs=1, **SEGMENTATION)
    before = {key: value.clone() for key, value in training.strategy.parent.state_dict().items()}
    run(training)
    after = training.strategy.parent.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    trained = training.trainee.model.state_dict()
    assert not all(torch.equal(before[key], trained[key]) for key in before)


def test_incremental_chooses_by_what_is_new(streets, photographs):
    grown, same = (
        training_of(streets, small_model("segmentation"), strategy="incremental", num_known=number, **SEGMENTATION)
        for number in (9, 11)
    )
    assert (grown.strategy.background, same.strategy.background) == (0, None)
    labels = training_of(photographs, small_model(), strategy="incremental", num_known=1)
    assert labels.strategy.background is None
