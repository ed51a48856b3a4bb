"""Installed packages and the lock files that pin them, read without importing any of these packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError

LOCK = Path("requirements.lock")
EXTRAS = Path("requirements")  # holds a lock file for each extra, named after it


def list_locks() -> list[Path]:
    """The lock files of this project: the main one first, then those of the extras; none beside an installed Graft."""
    return [lock for lock in (LOCK, *sorted(EXTRAS.glob("*.lock"))) if lock.is_file()]


def read_lock(lock: Path) -> Iterator[Requirement]:
    """The packages that a lock file pins for this machine."""
    lines = (line.split("\\")[0].split(" --hash")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    for wanted in (Requirement(line) for line in lines if "==" in line and not line.startswith(("#", "--"))):
        if wanted.marker is None or wanted.marker.evaluate():
            yield wanted


def find_pin(package: str) -> tuple[Path, Requirement] | None:
    """The lock file that pins a package, and how; None where none does."""
    name = canonicalize_name(package)
    pins = ((lock, wanted) for lock in list_locks() for wanted in read_lock(lock))
    return next(((lock, wanted) for lock, wanted in pins if canonicalize_name(wanted.name) == name), None)


def find_package(package: str) -> metadata.Distribution:
    """The installed package, in the version that a lock file of this project pins.

    Where there is no lock file at all (Graft itself was installed from a wheel), any version will do.

    Raises:
        GraftError: The package is not installed, is pinned nowhere, or is of another version than the pinned one.
    """
    pin = find_pin(package)
    try:
        found = metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):  # the latter says that the name is empty
        raise GraftError(
            f"the package {package} is not installed",
            rule="weights that come as a package are installed like code: a stage downloads none",
            remedy=_how_to_install(package) if pin is None else how_to_set_up(pin[0]),
        ) from None
    if pin is None and list_locks():
        raise GraftError(
            f"no lock file pins the package {package} {found.version}",
            rule=f"a package of weights is pinned with its hash, in {LOCK} or in the lock of an extra",
            remedy=_how_to_lock(f"{package}=={found.version}"),
        )
    if pin is not None and not pin[1].specifier.contains(found.version, prereleases=True):
        raise GraftError(
            f"the package {package} is installed as {found.version}, and {pin[0]} has {pin[1].specifier}",
            rule="the packages are those of the lock files, whose digests are part of every record",
            remedy=how_to_set_up(pin[0]),
        )
    return found


def digest_weights(package: str) -> dict[str, str]:
    """The sha256 of the files that tell weights, by path in the package; empty where it is not installed as locked."""
    try:
        found = find_package(package)
    except GraftError:
        return {}
    files = [file for file in found.files or () if file.name.endswith((".pth", ".safetensors", "manifest.json"))]
    paths = {str(file): Path(str(found.locate_file(file))) for file in files}
    return {name: sha256_of(path) for name, path in paths.items() if path.is_file()}


def how_to_set_up(lock: Path) -> str:
    """The command that installs what a lock file pins."""
    if lock == LOCK:
        return "rm -f .venv/installed && make setup"
    return f"make setup EXTRAS={lock.stem}"


def _how_to_install(package: str) -> str:
    if list_locks():
        return _how_to_lock(f"{package}==VERSION")
    return f"pip install {package}"


def _how_to_lock(pinned: str) -> str:
    line = f"{pinned} --hash=sha256:…"
    return f"write {line} (pip hash WHEEL prints the hash) to {EXTRAS}/team.lock, then make setup EXTRAS=team"
