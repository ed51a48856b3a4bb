"""The peak memory of an exported file, measured in a process of its own: `python -m … FILE HEIGHT WIDTH CHANNELS`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

STATUS = Path("/proc/self/status")


def peak_bytes(file: Path, image: np.ndarray) -> int | None:
    """Memory that opening a file and predicting one image adds to a process, at its peak; None where it is not known.

    Its runtime, imported before, is left out. Only Linux says the peak of a process: `ru_maxrss` of a child is no less
    than what its parent held when it was started. A process that fails, as where memory is short, measures nothing.

    Args:
        file: Exported file.
        image: uint8 [H, W, C] of a size that needs no padding.
    """
    if not STATUS.is_file():
        return None
    command = [sys.executable, "-m", __name__, str(file), *map(str, image.shape)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    return int(answer.stdout) if answer.returncode == 0 else None


def _measure(file: Path, shape: tuple[int, ...]) -> int:
    if file.suffix == ".pt2":  # a runtime is in memory before the first look
        import graft.deployment.export.pt2_file  # noqa: F401
    else:
        import onnxruntime  # noqa: F401

    from graft.deployment.export.exported_model import classifier_of

    before = _kilobytes("VmRSS")
    classifier_of(file, num_threads=1)(np.zeros((1, *shape), np.uint8))
    return 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", STATUS.read_text(encoding="utf-8"))
    return int(found[1]) if found else 0


if __name__ == "__main__":
    print(_measure(Path(sys.argv[1]), tuple(map(int, sys.argv[2:]))))
