"""Every loss keeps the promises of a loss; each against an independent calculation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from segmentation_models_pytorch import losses as library
from sklearn.metrics import brier_score_loss, jaccard_score, log_loss

from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.params.examination import check_file
from graft.params.sections import FineTune
from graft.training.class_weights import CLASS_WEIGHTS
from graft.training.class_weights import class_weights as weights_of
from graft.training.losses import LOSSES, MEANS_OVER_TARGETS, TASKS, WITHOUT_CLASS_WEIGHTS, WeightedSum, resolve_losses
from graft.training.mixing.mixed_targets import MixedTargets

K = 4


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def known_of(logits, targets):
    """Probabilities [N, K] and classes [N] of what is not ignored."""
    truth = targets.reshape(-1)
    flat = np.moveaxis(softmax(logits), 1, -1).reshape(-1, logits.shape[1])
    return flat[truth != 255], truth[truth != 255]


def numpy_cross_entropy(logits, targets, weights, label_smoothing=0.0):
    probabilities, truth = known_of(logits, targets)
    sample_weight = np.ones(len(truth)) if weights is None else weights[truth]
    hard = log_loss(truth, probabilities, labels=range(K), sample_weight=sample_weight)
    spread = -(np.log(probabilities) * (1 if weights is None else weights)).sum(1).sum() / sample_weight.sum()
    return (1 - label_smoothing) * hard + label_smoothing / K * spread


def by_class(logits, targets, weights, loss_of):
    """The weighted mean of `loss_of(p, g)` over the classes there are."""
    probabilities, truth = known_of(logits, targets)
    classes = [k for k in range(K) if (truth == k).any()]
    return np.average(
        [loss_of(probabilities[:, k], truth == k) for k in classes],
        weights=None if weights is None else weights[classes],
    )


def numpy_dice(logits, targets, weights, smooth=1.0):
    return by_class(logits, targets, weights, lambda p, g: 1 - (2 * p[g].sum() + smooth) / (p.sum() + g.sum() + smooth))


def numpy_tversky(logits, targets, weights, alpha=0.3, beta=0.7, gamma=1.0, smooth=1.0):
    def one(p, g):
        wrong, missed = p[~g].sum(), (1 - p[g]).sum()
        return (1 - (p[g].sum() + smooth) / (p[g].sum() + alpha * wrong + beta * missed + smooth)) ** (1 / gamma)

    return by_class(logits, targets, weights, one)


def numpy_lovasz(logits, targets, weights):
    """Equation 8: errors times what each adds to the Jaccard loss, the sets of wrong pixels counted anew each time."""

    def jaccard_loss(truth, wrong):
        return 1 - jaccard_score(truth, truth ^ wrong, zero_division=1)

    def one(p, g):
        errors, wrong, total = np.abs(g - p), np.zeros(len(g), bool), 0.0
        for place in np.argsort(-errors):
            before = jaccard_loss(g, wrong)
            wrong[place] = True
            total += errors[place] * (jaccard_loss(g, wrong) - before)
        return total

    return by_class(logits, targets, weights, one)


def numpy_generalised_dice(logits, targets, weights):
    probabilities, truth = known_of(logits, targets)
    above = below = 0.0
    for k in set(truth):
        above += probabilities[truth == k, k].sum() / (truth == k).sum() ** 2
        below += (probabilities[:, k].sum() + (truth == k).sum()) / (truth == k).sum() ** 2
    return 1 - 2 * above / below


def numpy_focal(logits, targets, weights, gamma=2.0):
    probabilities, truth = known_of(logits, targets)
    right = probabilities[np.arange(len(truth)), truth]
    return np.average(-((1 - right) ** gamma) * np.log(right), weights=None if weights is None else weights[truth])


def numpy_ohem(logits, targets, weights, threshold=0.7, min_kept_fraction=0.0625):
    probabilities, truth = known_of(logits, targets)
    right = probabilities[np.arange(len(truth)), truth]
    hardest = np.argsort(right)
    num_hard = max(int((right <= threshold).sum()), int(np.ceil(len(truth) * min_kept_fraction)))
    chosen = hardest[:num_hard]
    return np.average(-np.log(right[chosen]), weights=None if weights is None else weights[truth[chosen]])


def numpy_boundary(logits, targets, weights, boundary_weight=10.0, sigma_px=5.0):
    likelihood, total = 0.0, 0.0
    for plane, mask in zip(softmax(logits), targets, strict=True):
        height, width = mask.shape
        at_outline = np.zeros(mask.shape, bool)
        for y, x in np.ndindex(mask.shape):
            for other_y, other_x in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= other_y < height and 0 <= other_x < width and 255 not in (mask[y, x], mask[other_y, other_x]):
                    at_outline[y, x] |= mask[y, x] != mask[other_y, other_x]
        distance = distance_transform_edt(~at_outline)
        for y, x in np.argwhere(mask != 255):
            own = 1 if weights is None else weights[mask[y, x]]
            weight = own + boundary_weight * np.exp(-(distance[y, x] ** 2) / (2 * sigma_px**2))
            likelihood, total = likelihood + weight * np.log(plane[mask[y, x], y, x]), total + weight
    return -likelihood / total


def sklearn_mse(logits, targets, weights):
    probabilities, truth = known_of(logits, targets)
    sample_weight = None if weights is None else weights[truth]
    return brier_score_loss(truth, probabilities, labels=range(K), sample_weight=sample_weight, scale_by_half=False)


def torch_binary_cross_entropy(logits, targets, weights, positive_weight=1.0):
    probabilities, truth = known_of(logits, targets)
    odds = torch.from_numpy(np.log(probabilities[:, 1] / probabilities[:, 0]))
    loss = torch.nn.BCEWithLogitsLoss(reduction="none", pos_weight=torch.tensor(positive_weight))
    losses = loss(odds, torch.from_numpy(truth).double()).numpy()
    return np.average(losses, weights=None if weights is None else weights[truth])


def numpy_binary_dice(logits, targets, weights, smooth=1.0):
    probabilities, truth = known_of(logits, targets)
    p = probabilities[:, 1]
    return 1 - (2 * p[truth == 1].sum() + smooth) / (p.sum() + (truth == 1).sum() + smooth)


@dataclass(frozen=True)
class Promise:
    """What a loss is held to: another calculation of it, under these options, for so many classes."""

    oracle: Callable[..., float]
    options: tuple[dict[str, Any], ...] = ({},)
    num_classes: int = K


ROWS = {
    "binary_cross_entropy": Promise(torch_binary_cross_entropy, ({}, {"positive_weight": 3.0}), 2),
    "binary_dice": Promise(numpy_binary_dice, ({}, {"smooth": 0.1}), 2),
    "boundary": Promise(numpy_boundary, ({}, {"boundary_weight": 2.0, "sigma_px": 0.7})),
    "cross_entropy": Promise(numpy_cross_entropy, ({}, {"label_smoothing": 0.2})),
    "dice": Promise(numpy_dice, ({}, {"smooth": 0.0}, {"smooth": 10.0})),
    "focal": Promise(numpy_focal, ({}, {"gamma": 0.0}, {"gamma": 0.5})),
    "generalised_dice": Promise(numpy_generalised_dice),
    "lovasz": Promise(numpy_lovasz),
    "mse": Promise(sklearn_mse),
    "ohem": Promise(numpy_ohem, ({}, {"threshold": 0.01, "min_kept_fraction": 0.3}, {"threshold": 0.2})),
    "tversky": Promise(numpy_tversky, ({}, {"alpha": 0.8, "beta": 0.1}, {"gamma": 4 / 3, "smooth": 0.0})),
}
CASES = [
    (name, options, weights)
    for name, row in ROWS.items()
    for options in row.options
    for weights in ([None] if name in WITHOUT_CLASS_WEIGHTS else [None, [0.5, 2.0, 1.0, 0.0][: row.num_classes]])
]
BOTH_TASKS = [name for name in ROWS if {"segmentation", "classification"} <= {*TASKS[name]}]


def batch(shape: tuple[int, ...], num_classes: int = K, num_present: int = K) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(shape[0], num_classes, *shape[1:], generator=generator, dtype=torch.float64)
    targets = torch.randint(min(num_classes, num_present), shape, generator=generator)
    targets[(-1, ..., -1) if len(shape) > 1 else -1] = 255
    return logits, targets


def tensor_of(weights):
    return None if weights is None else torch.tensor(weights, dtype=torch.float64)


@pytest.mark.parametrize(("name", "options", "weights"), CASES)
def test_of_a_mean_over_targets_and_of_no_other_loss_parts_make_the_whole(name, options, weights):
    logits, targets = batch((2, 5, 6), ROWS[name].num_classes)
    logits, targets[0] = logits * 4, targets[0].clamp_max(1)  # some pixels are easy, and the images differ
    loss = WeightedSum(resolve_losses([{"name": name, "weight": 2.0, **options}]), tensor_of(weights))
    by_class = np.asarray(weights or np.ones(K))
    shares = [by_class[target[target != 255]].sum() for target in targets.numpy()]
    parts = np.average([loss(logits[[n]], targets[[n]]) for n in range(2)], weights=shares)
    is_whole = parts == pytest.approx(float(loss(logits, targets)), rel=1e-9)
    assert is_whole == (name in MEANS_OVER_TARGETS)
    assert loss.target_weights is (loss.class_weights if is_whole else None)


def test_every_loss_has_a_row():
    assert list(LOSSES) == list(TASKS)
    assert list(ROWS) == [name for name in LOSSES if TASKS[name] != ("multilabel",)]  # tested in test_label_losses


@pytest.mark.parametrize(
    ("shape", "name", "options", "weights"),
    [((2, 5, 6), *case) for case in CASES] + [((7,), *case) for case in CASES if case[0] in BOTH_TASKS],
)
def test_agrees_with_an_independent_calculation(shape, name, options, weights):
    logits, targets = batch(shape, ROWS[name].num_classes, num_present=3)
    found = LOSSES[name](logits, targets, tensor_of(weights), **options)
    array = None if weights is None else np.array(weights)
    expected = ROWS[name].oracle(logits.numpy(), targets.numpy(), array, **options)
    assert float(found) == pytest.approx(expected, rel=1e-6 if name == "boundary" else 1e-9)


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        ("dice", {"smooth": 0.0}, library.DiceLoss("multiclass", ignore_index=255)),
        ("tversky", {"smooth": 0.0}, library.TverskyLoss("multiclass", ignore_index=255, alpha=0.3, beta=0.7)),
        ("lovasz", {}, library.LovaszLoss("multiclass", ignore_index=255)),
        ("cross_entropy", {}, torch.nn.CrossEntropyLoss(ignore_index=255)),
    ],
)
def test_agrees_with_a_library(name, options, theirs):
    logits, targets = batch((2, 9, 8))
    logits = logits.float()
    assert LOSSES[name](logits, targets, None, **options).item() == pytest.approx(theirs(logits, targets).item())


@pytest.mark.parametrize("name", ROWS)
def test_is_zero_when_right_and_larger_when_wrong(name):
    num_classes = ROWS[name].num_classes
    targets = batch((2, 5, 6), num_classes)[1]
    one_hot = torch.nn.functional.one_hot(targets.where(targets != 255, 0), num_classes).movedim(-1, 1).double()
    right, unsure, wrong = (LOSSES[name](scale * one_hot, targets, None).item() for scale in (40.0, 0.0, -40.0))
    assert right == pytest.approx(0, abs=1e-6)
    assert right < unsure < wrong


@pytest.mark.parametrize(("name", "options", "weights"), CASES)
def test_gradients_are_those_of_finite_differences(name, options, weights):
    logits, targets = batch((2, 3, 2), ROWS[name].num_classes)
    weighted = tensor_of(weights)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, targets, weighted, **options), logits.requires_grad_())


@pytest.mark.parametrize(("name", "options", "weights"), CASES)
def test_what_is_already_right_has_a_finite_gradient(name, options, weights):
    targets = batch((2, 5, 6), ROWS[name].num_classes)[1]
    one_hot = torch.nn.functional.one_hot(targets.where(targets != 255, 0), ROWS[name].num_classes).movedim(-1, 1)
    logits = (200.0 * one_hot).requires_grad_()
    weighted = None if weights is None else torch.tensor(weights)
    LOSSES[name](logits, targets, weighted, **options).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("name", "options", "weights"), [case for case in CASES if case[2] is None])
def test_descending_it_finds_the_truth(name, options, weights):
    targets = batch((2, 5, 6), ROWS[name].num_classes)[1]
    logits = torch.zeros(2, ROWS[name].num_classes, 5, 6, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.1)
    for _ in range(60):
        optimizer.zero_grad()
        LOSSES[name](logits, targets, weights, **options).backward()
        optimizer.step()
    known = targets != 255
    assert (logits.argmax(1)[known] == targets[known]).float().mean() > 0.95


@pytest.mark.parametrize("name", ROWS)
def test_ignored_pixels_change_nothing_and_get_no_gradient(name):
    logits, targets = batch((2, 5, 6), ROWS[name].num_classes)
    ignored = (targets == 255).unsqueeze(1).expand_as(logits)
    other = logits.masked_fill(ignored, 50.0).requires_grad_()
    logits.requires_grad_()
    first, second = LOSSES[name](logits, targets, None), LOSSES[name](other, targets, None)
    assert first.item() == second.item()
    first.backward()
    assert not logits.grad[ignored].any()


@pytest.mark.parametrize(("name", "options", "weights"), CASES)
def test_a_batch_that_is_all_ignored_is_zero_with_zero_gradients(name, options, weights):
    logits = batch((2, 5, 6), ROWS[name].num_classes)[0].float().requires_grad_()
    weighted = None if weights is None else torch.tensor(weights)
    loss = LOSSES[name](logits, torch.full((2, 5, 6), 255), weighted, **options)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("name", [name for name in BOTH_TASKS if ROWS[name].num_classes != 2])
def test_of_more_than_255_classes_the_one_of_that_number_is_learned(name):
    logits = torch.zeros(2, 300, requires_grad=True)
    weights = None if name in WITHOUT_CLASS_WEIGHTS else torch.ones(300)
    resolve(LOSSES, name, where="x")(logits, torch.tensor([255, 255]), weights).backward()
    assert (logits.grad[:, 255] < 0).all()


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_dice"])
def test_binary_losses_refuse_more_than_two_classes(name):
    with pytest.raises(GraftError, match=f"{name} is for two classes.*here are 4") as error:
        LOSSES[name](*batch((2, 5, 6)), None)
    assert f"write {name.removeprefix('binary_')}, which" in str(error.value)


def test_of_two_classes_binary_cross_entropy_is_cross_entropy():
    logits, targets = batch((2, 5, 6), 2)
    found, expected = (LOSSES[name](logits, targets, None) for name in ("binary_cross_entropy", "cross_entropy"))
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def test_foreground_found_where_there_is_none_is_punished_by_binary_dice():
    nothing = torch.zeros(1, 4, 4, dtype=torch.long)
    sure, unsure = (
        LOSSES["binary_dice"](torch.tensor([[0.0], [logit]])[None, ..., None].expand(1, 2, 4, 4), nothing, None)
        for logit in (5.0, -20.0)
    )
    assert sure > 0.9
    assert unsure == pytest.approx(0, abs=1e-6)


def test_focal_without_gamma_is_weighted_cross_entropy():
    logits, targets = batch((2, 5, 6))
    weights = tensor_of([0.5, 1.0, 2.0, 3.0])
    found, expected = LOSSES["focal"](logits, targets, weights, gamma=0.0), LOSSES["cross_entropy"]
    assert found.item() == pytest.approx(expected(logits, targets, weights).item(), rel=1e-12)


def test_easy_pixels_get_no_gradient_from_ohem():
    logits = torch.tensor([[3.0, 0.0], [1.5, 0.0], [0.5, 0.0], [-1.0, 0.0]], requires_grad=True)
    LOSSES["ohem"](logits, torch.zeros(4, dtype=torch.long), None, threshold=0.7).backward()
    assert logits.grad.any(1).tolist() == [False, False, True, True]


def test_a_mistake_at_an_outline_costs_more_than_one_far_away():
    targets = torch.zeros(1, 9, 40, dtype=torch.long)
    targets[..., 20:] = 1
    logits = 4 * torch.nn.functional.one_hot(targets, 2).movedim(-1, 1).float()
    costs = []
    for column in (0, 19):
        mistaken = logits.clone()
        mistaken[..., column] = -mistaken[..., column]
        costs.append(LOSSES["boundary"](mistaken, targets, None).item())
    assert costs[1] > 5 * costs[0]


def test_losses_add_up_with_their_weights():
    logits, targets = batch((2, 5, 6))
    both = WeightedSum(resolve_losses([{"name": "cross_entropy", "weight": 0.5}, {"name": "dice", "weight": 2.0}]))
    expected = 0.5 * LOSSES["cross_entropy"](logits, targets, None) + 2 * LOSSES["dice"](logits, targets, None)
    assert both(logits, targets).item() == pytest.approx(expected.item())
    assert both.as_list()[1] == {"name": "dice", "smooth": 1.0, "weight": 2.0}


@pytest.mark.parametrize("name", BOTH_TASKS)
def test_mixed_targets_are_their_shares_of_both(name):
    logits, first = batch((6,), ROWS[name].num_classes)
    second = first.flip(0)
    loss = WeightedSum(resolve_losses([{"name": name, "weight": 2.0}]))
    expected = 2 * (0.3 * LOSSES[name](logits, first, None) + 0.7 * LOSSES[name](logits, second, None))
    assert loss(logits, MixedTargets(first, second, 0.3)).item() == pytest.approx(expected.item())


def test_mixed_targets_are_linear_as_in_mixup():
    logits, (first, second) = batch((6,))[0], (torch.arange(6) % K, torch.arange(6) // 2)
    soft = 0.3 * torch.eye(K)[first] + 0.7 * torch.eye(K)[second]
    loss = WeightedSum(resolve_losses([{"name": "cross_entropy", "weight": 1.0}]))
    expected = torch.nn.functional.cross_entropy(logits, soft.double())
    assert loss(logits, MixedTargets(first, second, 0.3)).item() == pytest.approx(expected.item())


def test_auxiliary_logits_count_with_their_weight_also_against_mixed_targets():
    from graft.models.model import WithAuxiliary

    logits, targets = batch((6,))
    both = WithAuxiliary(logits, -logits, 0.4)
    loss = WeightedSum(resolve_losses([{"name": "focal", "weight": 1.0}]))
    expected = (loss(logits, targets) + 0.4 * loss(-logits, targets)).item()
    assert loss(both, targets).item() == pytest.approx(expected)
    assert loss(both, MixedTargets(targets, targets, 0.3)).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", WITHOUT_CLASS_WEIGHTS)
def test_a_loss_that_takes_no_class_weights_says_so(name):
    terms = resolve_losses([{"name": "cross_entropy", "weight": 1.0}, {"name": name, "weight": 1.0}])
    WeightedSum(terms)
    with pytest.raises(GraftError, match=f"the loss {name} takes no class weights") as error:
        WeightedSum(terms, torch.ones(2))
    assert "class_weights: none" in str(error.value)


CHECKED = (Path(__file__).resolve().parents[2] / "params.yaml").read_text("utf-8")


@pytest.mark.parametrize("name", ROWS)
def test_graft_check_knows_which_task_and_which_weights_a_loss_takes(name, tmp_path):
    shown = "{name: cross_entropy, weight: 1.0}"
    text = CHECKED.replace(shown, f"{shown}, {{name: {name}, weight: 0.5}}")
    assert text != CHECKED
    text = re.sub(r"source: \{name: scenes[^}]*\}", "source: {name: csv}", text)  # which may have two classes
    (tmp_path / "fits.yaml").write_text(text, "utf-8")
    check_file(tmp_path / "fits.yaml")

    weighted = text.replace("class_weights: none", "class_weights: enet")
    line = weighted[: weighted.index("class_weights: enet")].count("\n") + 1
    (tmp_path / "weighted.yaml").write_text(weighted, "utf-8")
    if name in WITHOUT_CLASS_WEIGHTS:
        with pytest.raises(GraftError, match=rf"weighted.yaml:{line}: the loss {name} takes no class weights"):
            check_file(tmp_path / "weighted.yaml")
    else:
        check_file(tmp_path / "weighted.yaml")


def test_graft_check_refuses_a_loss_of_masks_for_labels(tmp_path):
    text = CHECKED.replace("task: segmentation", "task: classification").replace(
        "name: cross_entropy", "name: boundary"
    )
    (tmp_path / "params.yaml").write_text(text, "utf-8")
    with pytest.raises(GraftError, match=r"boundary is not for classification.*serves segmentation.*one of .*ohem"):
        check_file(tmp_path / "params.yaml")


def test_params_know_every_kind_of_class_weights():
    assert get_args(FineTune.model_fields["class_weights"].annotation) == tuple(CLASS_WEIGHTS)


def test_class_weights_worked_out_by_hand():
    counts = [100, 50, 0, 10]
    assert weights_of("none", counts) is None
    torch.testing.assert_close(weights_of("inverse", counts), torch.tensor([160 / 300, 160 / 150, 0, 160 / 30]))
    torch.testing.assert_close(weights_of("median_frequency", counts), torch.tensor([0.5, 1.0, 0, 5.0]))
    torch.testing.assert_close(weights_of("median_frequency", counts), torch.tensor([0.5, 1.0, 0, 5.0]))
    # 1 / ln(1.02 + 0.625), 1 / ln(1.02 + 0.3125), 1 / ln(1.02 + 0.0625)
    torch.testing.assert_close(
        weights_of("enet", counts), torch.tensor([2.0090, 3.4836, 0, 12.6148]), atol=1e-3, rtol=0
    )
    beta = 1 - 3 / 160  # Cui et al., equation 2: (1 - beta) / (1 - beta^n), then scaled
    expected = np.array([(1 - beta) / (1 - beta**n) if n else 0 for n in counts])
    effective = weights_of("effective", counts).numpy()
    np.testing.assert_allclose(effective, expected * 160 / (expected * counts).sum(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["inverse", "effective", "median_frequency", "enet"])
def test_class_weights_need_counts(kind):
    with pytest.raises(GraftError, match=r"(?s)no training pixel or image belongs to a class.*class_weights: none"):
        weights_of(kind, [0, 0])
    rare, common = weights_of(kind, [10, 10**9]).tolist()
    assert rare > common > 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "dise", "weight": 1.0}, r"losses\[0\] has no choice named 'dise'.*did you mean 'dice'"),
        ({"name": "dice", "weight": 1.0, "smoth": 2.0}, r"smoth: dice has no such option; did you mean 'smooth'"),
        ({"name": "dice", "weight": 1.0, "smooth": -1.0}, "greater than or equal to 0"),
        ({"name": "cross_entropy", "weight": 1.0, "label_smoothing": "much"}, "valid number"),
        ({"name": "dice", "weight": 0}, r"losses\[0\].weight is 0"),
        ({"name": "dice"}, r"losses\[0\].weight is None"),
    ],
)
def test_what_cannot_be_used_is_said(spec, message):
    with pytest.raises(GraftError) as error:
        resolve_losses([spec])
    assert re.search(message, str(error.value), re.DOTALL)


def test_options_come_from_the_registry():
    assert resolve(LOSSES, "dice", where="x").options == {"smooth": 1.0}
