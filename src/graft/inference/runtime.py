"""The section `runtime`: device, threads, precision, and whether the same inputs must give the same bits."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from graft.foundation.errors import GraftError
from graft.foundation.progress import warn

if TYPE_CHECKING:
    from graft.params.sections import Runtime


# What a processor computes half precision with, as torch names it: matrix units or dot products, of x86 and Arm.
UNITS = {
    "bf16": ("amx_bf16", "avx512_bf16", "avx10_2", "bf16", "sve_bf16"),
    "fp16": ("amx_fp16", "avx512_fp16", "avx10_2", "fp16_arith"),
}


def use_runtime(runtime: Runtime) -> torch.device:
    """Sets threads and determinism of this process and returns the device.

    Raises:
        GraftError: The device is not there, or cannot do what the section asks for.
    """
    if runtime.device == "mps" and (runtime.precision == "fp16" or runtime.compile):
        raise GraftError(
            "runtime: the device mps takes neither fp16 nor compile",
            rule="gradient scaling and compiled training are tested on cpu and cuda",
            remedy="set runtime.precision: float32 and runtime.compile: false, or another device",
        )
    refuse_absent(runtime.device)
    _warn_of_emulation(runtime.device, runtime.precision)
    if runtime.compile:
        _check_compiler(runtime.device)
    torch.set_num_threads(runtime.num_threads)
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA matrix products refuse to run
    torch.use_deterministic_algorithms(runtime.deterministic)
    # Costs a pass over every new tensor; none is read unwritten.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # its class has it
    torch.backends.cudnn.benchmark = False  # nothing is chosen by timing
    return torch.device(runtime.device)


def refuse_absent(device: str) -> None:
    """Refuses a device that this machine lacks.

    Raises:
        GraftError: It is not there, with those that are.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise GraftError(
            f"runtime.device is {device}, which this machine does not have",
            rule=f"this machine has {' and '.join(name for name, found in there.items() if found)}",
            remedy="set runtime.device: cpu, or install a torch built for the device",
        )


def emulated_precision(device: str, precision: str) -> GraftError | None:
    """The error that names a precision which this processor computes without units for it; None where it has them.

    Nothing is refused for it: the results are what they are elsewhere, to rounding, and a model that was trained on
    another machine is evaluated here all the same.
    """
    if device != "cpu" or precision == "float32":
        return None
    has = torch.cpu.get_capabilities()
    if any(has.get(unit) for unit in UNITS[precision]):
        return None
    return GraftError(
        f"runtime.precision is {precision}, for which this processor ({has.get('cpu_name', has['architecture'])}) has "
        "no units",
        rule="it computes all the same, and a training step takes about ten times as long as in float32",
        remedy="set runtime.precision: float32, or use a processor with AMX or AVX-512 for it, or a GPU",
    )


@functools.cache
def _warn_of_emulation(device: str, precision: str) -> None:
    """Warns once a process."""
    if (emulated := emulated_precision(device, precision)) is not None:
        warn(emulated)


def _check_compiler(device: str) -> None:
    """Refuses torch.compile where it would fail at the first step: it writes C++ (on CUDA: Triton) and builds it.

    Raises:
        GraftError: A program or file that it needs is missing.
    """
    candidates = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    missing = [] if any(map(shutil.which, candidates)) else [f"a C++ compiler ({' or '.join(candidates)})"]
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        missing.append("the header files of Python (Python.h)")
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        missing.append("the package triton")
    if missing:
        raise GraftError(
            f"runtime.compile is true, but {' and '.join(missing)} is missing",
            rule="torch.compile writes code and builds it at the first step",
            remedy="install it, or set runtime.compile: false, which costs speed only",
        )
