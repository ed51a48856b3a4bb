"""Losses of images with several labels, against values by hand and another loss."""

from __future__ import annotations

import math

import pytest
import torch

from graft.foundation.errors import GraftError
from graft.training.losses import LOSSES, TASKS, WITHOUT_CLASS_WEIGHTS, WeightedSum, resolve_losses

# Probabilities 0.5 and 0.75, the first class present and the second absent.
LOGITS, LABELS = torch.tensor([[0.0, math.log(3.0)]], dtype=torch.float64), torch.tensor([[1, 0]])
OF_PRESENT, OF_ABSENT = math.log(2.0), math.log(4.0)
# By loss: options, and the loss of the example by hand.
CASES = [
    ("binary_cross_entropy", {}, (OF_PRESENT + OF_ABSENT) / 2),
    ("binary_cross_entropy", {"positive_weight": 3.0}, (3 * OF_PRESENT + OF_ABSENT) / 2),
    ("asymmetric", {}, (OF_PRESENT + 0.7**4 * -math.log(0.3)) / 2),
    ("asymmetric", {"positive_focus": 1.0, "margin": 0.0}, (0.5 * OF_PRESENT + 0.75**4 * OF_ABSENT) / 2),
    ("asymmetric", {"positive_focus": 0.5, "margin": 0.0}, (0.5**0.5 * OF_PRESENT + 0.75**4 * OF_ABSENT) / 2),
    ("asymmetric", {"margin": 1e-9}, (OF_PRESENT + (0.75 - 1e-9) ** 4 * -math.log(0.25 + 1e-9)) / 2),
    ("asymmetric", {"negative_focus": 0.5, "margin": 0.25}, (OF_PRESENT + 0.5**0.5 * OF_PRESENT) / 2),
    ("asymmetric", {"negative_focus": 0.0, "margin": 0.0}, (OF_PRESENT + OF_ABSENT) / 2),
]


def random_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    return logits, torch.randint(2, (5, 4), generator=generator)


def test_every_loss_for_several_labels_has_a_case() -> None:
    assert {name for name, *_ in CASES} == {name for name in LOSSES if "multilabel" in TASKS[name]}


@pytest.mark.parametrize(("name", "options", "expected"), CASES)
def test_the_value_is_the_one_by_hand(name, options, expected) -> None:
    assert float(LOSSES[name](LOGITS, LABELS, None, **options)) == pytest.approx(expected, rel=1e-12)


def test_class_weights_weigh_what_is_present() -> None:
    weights = torch.tensor([2.0, 5.0], dtype=torch.float64)
    found = LOSSES["binary_cross_entropy"](LOGITS, LABELS, weights, positive_weight=3.0)
    assert float(found) == pytest.approx((6 * OF_PRESENT + OF_ABSENT) / 2, rel=1e-12)


def test_an_absent_class_below_the_margin_costs_nothing_and_has_no_gradient() -> None:
    logits = torch.tensor([[math.log(0.04 / 0.96)]], dtype=torch.float64, requires_grad=True)
    for negative_focus in (4.0, 0.5, 0.0):
        loss = LOSSES["asymmetric"](logits, torch.tensor([[0]]), None, negative_focus=negative_focus)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert (loss.item(), gradient.item()) == (0, 0)


@pytest.mark.parametrize(("name", "options", "expected"), CASES)
def test_gradients_are_those_of_finite_differences_and_finite_far_out(name, options, expected) -> None:
    logits, labels = random_batch()
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, labels, None, **options), logits.requires_grad_())
    far = (300.0 * (2 * labels - 1)).float().requires_grad_()
    right = LOSSES[name](far, labels, None, **options)
    right.backward()
    assert right.item() == pytest.approx(0, abs=1e-6)
    assert far.grad is not None
    assert far.grad.isfinite().all()
    wrong = (-far.detach()).requires_grad_()
    LOSSES[name](wrong, labels, None, **options).backward()
    assert wrong.grad is not None
    assert wrong.grad.isfinite().all()


def test_asymmetric_refuses_targets_of_one_class_and_class_weights() -> None:
    assert "asymmetric" in WITHOUT_CLASS_WEIGHTS
    with pytest.raises(GraftError, match="images with several labels") as error:
        LOSSES["asymmetric"](torch.zeros(3, 2), torch.tensor([0, 1, 1]), None)
    assert "task: multilabel" in str(error.value)


def test_batches_of_one_step_count_by_their_images_whatever_the_class_weights() -> None:
    loss = WeightedSum(
        resolve_losses([{"name": "binary_cross_entropy", "weight": 1.0}]), torch.tensor([2.0, 5.0]), of_labels=True
    )
    assert loss.target_weights is None
    assert loss.to("cpu").of_labels
