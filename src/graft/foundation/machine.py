"""Facts of the machine that a result may depend on: the GPU and its driver."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

KERNEL_MODULE = Path("/proc/driver/nvidia/version")
SECONDS_TO_ANSWER = 10.0


def nvidia_driver() -> str | None:
    """The version of the NVIDIA driver, or None where there is none; needs neither torch nor a context on the GPU."""
    if KERNEL_MODULE.is_file():
        found = re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", KERNEL_MODULE.read_text(encoding="utf-8"))
        if found:
            return found[0]
    answer = _nvidia_smi("driver_version")
    return answer[0] if answer else None


def list_gpus() -> list[str]:
    """Name and memory of each GPU that the driver knows."""
    return _nvidia_smi("name,memory.total")


def _nvidia_smi(fields: str) -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
