"""A wheel that holds weights and no code: its name and version, and the building of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from graft.foundation.errors import GraftError
from graft.models.weights.known_packages import KNOWN_PACKAGES
from graft.models.weights.manifest import FILE

CARD, LICENCES = "model_card.md", "LICENCES.md"


def check_name(name: str) -> str:
    """Returns the normalised form of a package's name: lower case, words joined by single hyphens.

    Raises:
        GraftError: It is no valid name, or that of a package that holds something else.
    """
    try:
        normalised = canonicalize_name(name, validate=True)
    except InvalidName:
        raise GraftError(
            f"{name!r} is no name for a package",
            where="--name",
            rule="it consists of letters and digits, between them also . _ and -",
            remedy="name it, for example --name road-weights",
        ) from None
    if normalised in KNOWN_PACKAGES or _is_other(normalised):
        raise GraftError(
            f"there is another package named {normalised}",
            where="--name",
            rule="whoever installs the weights would lose it",
            remedy="choose a name of your own, for example one that begins with your team's",
        )
    return normalised


def _is_other(name: str) -> bool:
    """Whether a package of this name is installed that holds no weights with their manifest."""
    try:
        files = metadata.distribution(name).files or ()
    except metadata.PackageNotFoundError:
        return False
    return not any(file.name == FILE for file in files)


def check_version(version: str) -> str:
    """Returns the normalised form of a package's version.

    Raises:
        GraftError: It is no valid version.
    """
    try:
        return str(Version(version))
    except InvalidVersion:
        raise GraftError(
            f"{version!r} is no version of a package",
            where="--version",
            rule="a version is numbers joined by dots, as PEP 440 has it",
            remedy="write one like 3 or 1.2.0",
        ) from None


def build_wheel(files: Mapping[str, bytes | Path], facts: Mapping[str, str], scratch: Path) -> Path:
    """Builds the wheel; the same files and facts give the same bytes.

    Args:
        files: Content of each file, or a file to copy it from, by name; CARD and LICENCES among them.
        facts: `name`, `version` and `description` of the package, as pyproject.toml says them.
        scratch: Empty folder to work in.

    Returns:
        Its path in `scratch`.
    """
    from hatchling.builders.wheel import WheelBuilder

    folder = facts["name"].replace("-", "_")
    (scratch / folder).mkdir()
    for name, content in files.items():
        data = content.read_bytes() if isinstance(content, Path) else content
        (scratch / (name if name == LICENCES else f"{folder}/{name}")).write_bytes(data)
    build = {"ignore-vcs": True, "targets": {"wheel": {"only-include": [folder]}}}
    project: dict[str, Any] = {**facts, "readme": f"{folder}/{CARD}", "license-files": [LICENCES]}
    project["requires-python"] = ">=3"  # without it the wheel says that Python 2 takes it too
    builder = WheelBuilder(str(scratch), config={"project": project, "tool": {"hatch": {"build": build}}})
    (wheel,) = builder.build(directory=str(scratch / "dist"), versions=["standard"])
    return Path(wheel)
