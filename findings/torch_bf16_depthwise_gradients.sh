#!/usr/bin/env bash
# torch 2.15.0 (oneDNN), processors with AVX-512 BF16: in bf16 a depthwise convolution is as fast forwards as one expects, and its
# gradients take many times as long as in float32: of the input at stride 2, of the weight of a kernel of 5 pixels.
#
# Autocast casts every convolution, so networks of depthwise convolutions (MobileNet, EfficientNet) gain little from bf16 on a
# processor, or lose: the forward pass, which people time, is faster, and the step is not. What helps: compute these few layers in
# float32 within autocast (`torch.autocast("cpu", enabled=False)` around them), whose forward pass costs a millisecond more.
#
# Seen with channels last, one thread, [4, 144, 67, 67], kernel 5, stride 2: forward 0.6 of the time of float32, gradient of the
# input 23 times, of the weight 4 times. Fails when the gradient of the input takes less than 3 times as long as in float32. Where the
# processor has no AVX-512 BF16 it says so and ends well: there bf16 is emulated throughout.
set -euo pipefail
if ! grep -q avx512_bf16 /proc/cpuinfo; then
    echo "this processor has no AVX-512 BF16: nothing to see"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6
cat >gradients.py <<'PY'
import time

import torch

torch.set_num_threads(1)
CHANNELS, KERNEL, STRIDE = 144, 5, 2


def least_seconds(work, rounds=15):
    work()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def measure(dtype):
    image = torch.rand(4, CHANNELS, 67, 67).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(CHANNELS, 1, KERNEL, KERNEL).to(dtype)
    forward = lambda: torch.conv2d(image, weight, None, STRIDE, 0, 1, CHANNELS)  # noqa: E731
    gradient = torch.rand_like(forward())
    backward = lambda mask: torch.ops.aten.convolution_backward(  # noqa: E731
        gradient, image, weight, None, [STRIDE] * 2, [0, 0], [1, 1], False, [0, 0], CHANNELS, mask
    )
    ways = (forward, lambda: backward([True, False, False]), lambda: backward([False, True, False]))
    return [least_seconds(way) for way in ways]


ratios = [half / full for half, full in zip(measure(torch.bfloat16), measure(torch.float32))]
print(f"torch {torch.__version__}, bf16 / float32: forward {ratios[0]:.1f}, gradient of the input {ratios[1]:.1f}, of the weight {ratios[2]:.1f}")
raise SystemExit(0 if ratios[1] > 3 else "the gradient of the input is not slow any more")
PY
env/bin/python gradients.py
