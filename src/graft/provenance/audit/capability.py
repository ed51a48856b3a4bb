"""Differences between this machine and the one that made the model."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

from graft.foundation.content import sha256_of
from graft.foundation.machine import nvidia_driver
from graft.foundation.workers import num_usable_cores
from graft.provenance.audit.commits import LOCK
from graft.provenance.audit.link import MISSING, Checked
from graft.provenance.records import Record


def offered(records: Mapping[str, Record]) -> Iterator[Checked]:
    """Names what each stage had on the machine of the model and this machine does not offer."""
    lock = sha256_of(Path(LOCK)) if Path(LOCK).is_file() else None
    for stage, record in records.items():
        then = record.environment
        here = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
        other = [
            f"{name} {then[name]} (here {value})" for name, value in here.items() if then.get(name) not in (None, value)
        ]
        other += [] if then.get("lock") in (None, lock) else [f"the packages of lock {then['lock'][:12]}"]
        if then.get("device") not in (None, "cpu", _device()):
            other.append(f"device {then['device']} (here {_device() or 'no GPU'})")
        if then.get("driver") not in (None, nvidia_driver()):
            other.append(f"driver {then['driver']} (here {nvidia_driver()})")
        if (then.get("num_threads") or 0) > num_usable_cores():
            other.append(f"{then['num_threads']} threads (here {num_usable_cores()} cores)")
        if record.params.get("runtime", {}).get("deterministic") is False:
            other.append("runtime.deterministic was false: torch was free to choose operations that are not")
        if other:
            yield Checked(MISSING, f"machine of {stage}", f"not offered here: {'; '.join(other)}")


def _device() -> str | None:
    """The accelerator here, as a record names it; None where there is none."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "mps" if torch.backends.mps.is_available() else None
