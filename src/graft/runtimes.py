"""`runtime`: the device, its threads and whether the same inputs must give the same bits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from graft.errors import GraftError

if TYPE_CHECKING:
    from graft.params import Runtime


def use_runtime(runtime: Runtime) -> torch.device:
    """Sets threads and determinism of this process and returns the device.

    Raises:
        GraftError: The device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[runtime.device]:
        raise GraftError(
            f"runtime.device is {runtime.device}, which this machine does not have",
            rule=f"here there is {' and '.join(name for name, found in there.items() if found)}",
            remedy="set runtime.device: cpu, or install a torch built for the device",
        )
    torch.set_num_threads(runtime.num_threads)
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA matrix products refuse to run
    torch.use_deterministic_algorithms(runtime.deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = (
        False  # costs a pass over every new tensor; none is read unwritten
    )
    torch.backends.cudnn.benchmark = False  # nothing is chosen by timing
    return torch.device(runtime.device)
