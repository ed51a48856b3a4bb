"""Fixtures that every area shares."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

# Several processes of one thread, or one of two: two of two on two cores run nine times slower than two of one.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.update(NO_ALBUMENTATIONS_UPDATE="1", MLFLOW_DISABLE_TELEMETRY="true", DVC_NO_ANALYTICS="1")

REPOSITORY = Path(__file__).resolve().parents[1]


class ByFile(LoadFileScheduling):
    """Gives every file a process, and the files that share the finished miniature one: it takes minutes to make.

    With pytest 9.2 the marks of pytest-xdist 3.8 (`--dist loadgroup`) group nothing; see findings/.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "the finished miniature" if _uses_miniature(REPOSITORY / file) else file


@functools.cache
def _uses_miniature(file: Path) -> bool:
    return re.search(r"^def \w+\([^)]*\bfinished\b", file.read_text("utf-8"), re.MULTILINE) is not None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return REPOSITORY


@pytest.fixture(scope="module", autouse=True)
def no_store_of_others() -> Iterator[None]:
    """MLflow writes the address of a store into the environment, where a module would find the one before."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images beside the checkout; tests that use it skip where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real images are not here: {folder}")
    return folder
