"""Fixtures that every area shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Several processes of one thread, or one of two: two of two on two cores run nine times slower than two of one.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.update(NO_ALBUMENTATIONS_UPDATE="1", MLFLOW_DISABLE_TELEMETRY="true", DVC_NO_ANALYTICS="1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives every file a process, and the files that share the finished miniature one: it takes minutes to make."""
    fixtures: dict[Path, set[str]] = {}
    for item in items:
        fixtures.setdefault(item.path, set()).update(getattr(item, "fixturenames", ()))
    for item in items:
        group = "finished" if "finished" in fixtures[item.path] else item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


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
