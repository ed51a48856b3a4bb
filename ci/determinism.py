"""Trains one layer twice on the device of params.yaml and compares the bits."""

from __future__ import annotations

import sys

import torch

from graft.inference.runtime import use_runtime
from graft.params.params_file import load_params


def gradients(device: torch.device, seed: int) -> list[torch.Tensor]:
    """The loss and the gradient of a seeded step through a convolution, a normalisation and an upsampling."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 3, 64, 64, generator=generator).to(device)
    targets = torch.randint(0, 5, (4, 64, 64), generator=generator).to(device)
    weight = torch.randn(5, 3, 3, 3, generator=generator).to(device).requires_grad_()
    logits = torch.nn.functional.conv2d(images, weight, stride=2, padding=1)
    logits = torch.nn.functional.batch_norm(logits, None, None, training=True)
    logits = torch.nn.functional.interpolate(logits, size=(64, 64), mode="bilinear")
    loss = torch.nn.functional.cross_entropy(logits, targets)
    loss.backward()
    return [loss.detach().cpu(), weight.grad.cpu()]


def main() -> int:
    """Compares the gradients of two equal steps; returns 1 if their bits differ."""
    params = load_params()
    device = use_runtime(params.runtime)
    if not params.runtime.deterministic:
        print("determinism: runtime.deterministic is false: two trainings may differ in their last bits")
        return 0
    once, again = gradients(device, params.seed), gradients(device, params.seed)
    if not all(torch.equal(first, second) for first, second in zip(once, again, strict=True)):
        print(f"determinism: the same training step gave other bits the second time on {device}", file=sys.stderr)
        return 1
    print(f"determinism: the same training step gives the same bits on {device}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
