"""Checks of Python, the locked packages, the device and the disk."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from graft.commands.doctor.diagnosis import Diagnosis, name_first
from graft.foundation import machine
from graft.foundation.content import sha256_of
from graft.foundation.packages import LOCK, how_to_set_up, list_locks, read_lock
from graft.foundation.workers import num_usable_cores
from graft.params.sections import Runtime

PARAMS = Path("params.yaml")
ABSENT = "is absent"
LEAST_FREE_GIB, COMFORTABLE_FREE_GIB = 1.0, 10.0


def python() -> Iterable[Diagnosis]:
    """Checks whether the locked packages exist for this Python."""
    version = platform.python_version()
    fact = f"{version} in {sys.prefix}"
    if (3, 11) <= sys.version_info < (3, 14):
        yield Diagnosis("Python", "ok", fact)
    else:
        yield Diagnosis("Python", "wrong", fact, "make setup PYTHON=python3.12 (3.11, 3.12 and 3.13 are supported)")


def lock_file() -> Iterable[Diagnosis]:
    """Checks whether the installed packages are those of the lock file, whose digest is part of every record."""
    if not LOCK.is_file():
        yield Diagnosis("environment", "wrong", f"there is no {LOCK}", f"git checkout {LOCK}")
        return
    differing, digest = compare_packages(LOCK), sha256_of(LOCK)[:16]
    if not differing:
        yield Diagnosis("environment", "ok", f"is {LOCK} (sha256 {digest}…)")
        return
    fact = f"is not {LOCK} (sha256 {digest}…): {name_first(differing)}"
    yield Diagnosis("environment", "wrong", fact, how_to_set_up(LOCK))


def extras() -> Iterable[Diagnosis]:
    """Compares each extra of which something is installed with its lock file, and names the others."""
    for lock in list_locks():
        if lock == LOCK:
            continue
        differing, remedy = compare_packages(lock), how_to_set_up(lock)
        if not differing:
            yield Diagnosis("extra", "ok", f"{lock.stem} is {lock} (sha256 {sha256_of(lock)[:16]}…)")
        elif len(differing) == len([*read_lock(lock)]) and all(line.endswith(ABSENT) for line in differing):
            yield Diagnosis("extra", "ok", f"{lock.stem} is not installed ({remedy})")
        else:
            yield Diagnosis("extra", "wrong", f"{lock.stem} is not {lock}: {name_first(differing)}", remedy)


def compare_packages(lock: Path) -> list[str]:
    """Packages that are absent or of another version than a lock file says for this machine, a few words each."""
    from packaging.utils import canonicalize_name

    installed = {canonicalize_name(found.metadata["Name"]): found.version for found in metadata.distributions()}
    differing = []
    for wanted in read_lock(lock):
        version = installed.get(canonicalize_name(wanted.name))
        if version is None:
            differing.append(f"{wanted.name} {ABSENT}")
        elif not wanted.specifier.contains(version, prereleases=True):
            differing.append(f"{wanted.name} {version} ({wanted.specifier} is locked)")
    return differing


def device() -> Iterable[Diagnosis]:
    """Compares the device and threads in params.yaml with this machine."""
    driver = machine.nvidia_driver()
    runtime = _read_runtime()
    if isinstance(runtime, Diagnosis):
        yield runtime
        return
    yield Diagnosis("driver", "ok", f"NVIDIA {driver}" if driver else "no NVIDIA driver")
    cores = num_usable_cores()
    threads = f"{runtime.num_threads} (runtime.num_threads) on {cores} usable cores"
    if runtime.num_threads > cores:
        yield Diagnosis("threads", "warning", threads, f"runtime.num_threads: {cores}, or expect it to be slow")
    else:
        yield Diagnosis("threads", "ok", threads)
    if runtime.device == "cpu" and driver is None:
        yield Diagnosis("device", "ok", "cpu (runtime.device); no GPU is here")
        return
    yield _check_device(runtime.device, driver)


def _check_device(name: str, driver: str | None) -> Diagnosis:
    """Checks the device with torch, which takes a second or two to import."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    seen = "; ".join(machine.list_gpus()) or "none"
    fact = f"{name} (runtime.device); GPU: {seen}; torch {torch.__version__}"
    if not there[name]:
        reason = "torch cannot use the driver" if driver and name == "cuda" else f"this machine has no {name}"
        remedy = "install a driver that this torch supports, or set runtime.device: cpu"
        return Diagnosis("device", "wrong", f"{fact}: {reason}", remedy)
    if name == "cpu" and there["cuda"]:
        return Diagnosis("device", "warning", f"{fact}: it will stay idle", "runtime.device: cuda uses it")
    return Diagnosis("device", "ok", fact)


def _read_runtime() -> Runtime | Diagnosis:
    from pydantic import ValidationError
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content: Any = YAML(typ="safe").load(PARAMS.read_text(encoding="utf-8"))
        return Runtime.model_validate(content["runtime"])
    except (OSError, KeyError, TypeError, YAMLError, ValidationError) as error:
        reason = type(error).__name__
        return Diagnosis("params", "wrong", f"the runtime section of {PARAMS} cannot be read ({reason})", "graft check")


def disk() -> Iterable[Diagnosis]:
    """Checks the free room for data, cache and models."""
    free = shutil.disk_usage(".").free / 2**30
    fact, drop = f"{free:.1f} GiB free here", "dvc gc --workspace drops cached results no longer used"
    if free < LEAST_FREE_GIB:
        yield Diagnosis("disk", "wrong", fact, "free some room: dvc gc --workspace drops cached results no longer used")
    elif free < COMFORTABLE_FREE_GIB:
        yield Diagnosis("disk", "warning", fact, drop)
    else:
        yield Diagnosis("disk", "ok", fact)
