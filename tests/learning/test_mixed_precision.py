"""Autocast of training: which convolutions compute in float32 when the rest computes in bf16."""

import pytest
import torch
from torch import nn

from graft.training.mixed_precision import training_autocast


def gradients(convolution, images, precision):
    """Output of a convolution under training_autocast, and the gradients of its sum."""
    images = images.clone().requires_grad_()
    with training_autocast("cpu", precision):
        output = convolution(images)
    inputs = [images, *(weight for weight in convolution.parameters() if weight.requires_grad)]
    return output, torch.autograd.grad(output.float().sum(), inputs)


@pytest.mark.parametrize("options", [{"kernel_size": 5, "padding": 2}, {"kernel_size": 3, "stride": 2}])
def test_a_depthwise_convolution_that_is_slow_backwards_computes_in_float32(options):
    convolution, images = nn.Conv2d(4, 8, groups=4, **options), torch.rand(2, 4, 9, 9)
    exact, exact_gradients = gradients(convolution, images, "float32")
    output, found = gradients(convolution, images, "bf16")
    assert output.dtype == torch.float32
    assert torch.equal(output, exact)
    assert all(map(torch.equal, found, exact_gradients))


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 4, 3, groups=4),  # depthwise, and fast
        nn.Conv2d(4, 4, 5, stride=2),  # not depthwise
        nn.Conv2d(4, 4, 5, stride=2, groups=2),
        nn.Conv2d(1, 4, 5, stride=2),  # one channel is no group
    ],
)
def test_every_other_convolution_computes_in_bf16(convolution):
    output, _ = gradients(convolution, torch.rand(2, convolution.in_channels, 9, 9), "bf16")
    assert output.dtype == torch.bfloat16


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_depthwise_convolution_without_gradients_computes_in_bf16(without):
    is_frozen = without is torch.enable_grad
    convolution = nn.Conv2d(4, 4, 5, groups=4).requires_grad_(not is_frozen)
    with training_autocast("cpu", "bf16"), without():
        assert convolution(torch.rand(2, 4, 9, 9)).dtype == torch.bfloat16


def test_images_and_weights_may_be_named():
    images, weights = torch.rand(2, 4, 9, 9), torch.rand(4, 1, 5, 5, requires_grad=True)
    with training_autocast("cpu", "bf16"):
        assert torch.conv2d(images, weight=weights, groups=4).dtype == torch.float32
        assert torch.conv2d(input=images, weight=weights, groups=4).dtype == torch.bfloat16


def test_fp16_and_float32_are_those_of_autocast():
    convolution, images = nn.Conv2d(4, 4, 5, groups=4), torch.rand(2, 4, 9, 9)
    assert gradients(convolution, images, "float32")[0].dtype == torch.float32
    assert gradients(convolution, images, "fp16")[0].dtype == torch.float16
