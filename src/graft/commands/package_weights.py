"""Weights of a model as a package that others lock and install like code."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.commands.weights_wheel import CARD, LICENCES, build_wheel, check_name, check_version
from graft.foundation.content import digest_of, json_bytes, replace_file, sha256_of
from graft.foundation.errors import GraftError
from graft.foundation.progress import warn
from graft.models.address import SCHEME, is_address, registered_name
from graft.models.saved_model import SPEC_FILE, ModelSpec
from graft.models.weights.manifest import FILE as MANIFEST
from graft.models.weights.manifest import Manifest
from graft.models.weights.registry import FILE as WEIGHTS
from graft.models.weights.registry import read_exported
from graft.models.weights.source import Source
from graft.provenance.audit.exported_folder import refuse_changed
from graft.provenance.tracking import model_versions

NEEDED = (WEIGHTS, SPEC_FILE, "class_map.json", CARD)


@dataclass(frozen=True)
class WeightsPackage:
    """A wheel of weights, and what those who use it write.

    Attributes:
        wheel: Place of the wheel.
        requirement: Name and version of the package, as a lock file pins it.
        sha256: Digest of the wheel, in hex.
        model: Model that the weights fit, with every option.
        source: Value of `pretrain_load.source` that takes the weights.
    """

    wheel: Path
    requirement: str
    sha256: str
    model: dict[str, Any]
    source: dict[str, Any]


def package_weights(model: str, out: Path, name: str | None = None, version: str | None = None) -> WeightsPackage:
    """Writes the weights of a model as a wheel, after they are compared with what was registered or exported.

    The same model, name and version give the same bytes.

    Args:
        model: Address of a registered model, or a folder that export wrote.
        out: Folder for the wheel; made if it is not there.
        name: Name of the package; by default that of the registered model, and `-weights`.
        version: Version of the package; by default the number of the registered version.

    Raises:
        GraftError: There is no such model, its files were changed, the name or version is not valid, or `out` holds
            another wheel of that name and version.
    """
    with tempfile.TemporaryDirectory(prefix="graft-") as downloads:
        exported = _fetch(model, Path(downloads)) if is_address(model) else _open(Path(model), version)
        source = read_exported(exported.folder, exported.origin, sha256_of(exported.folder / WEIGHTS))
        chosen_name, chosen_version = check_name(name or exported.name), check_version(version or exported.version)
        manifest = _describe(exported, source)
        content = json_bytes(manifest.model_dump(mode="json"))
        facts = {"name": chosen_name, "version": chosen_version, "description": source.description}
        files: dict[str, bytes | Path] = {
            WEIGHTS: exported.folder / WEIGHTS,
            MANIFEST: content,
            CARD: exported.folder / CARD,
            LICENCES: _licences(exported.folder, source.licence),
        }
        wheel = _write(files, facts, out)
    pinned = {"name": "package", "package": chosen_name, "sha256": hashlib.sha256(content).hexdigest()}
    return WeightsPackage(wheel, f"{chosen_name}=={chosen_version}", sha256_of(wheel), manifest.model, pinned)


@dataclass(frozen=True)
class _Exported:
    """An exported model that was verified: its files, and what its package is named by default."""

    folder: Path
    origin: str
    name: str
    version: str


def _fetch(model: str, downloads: Path) -> _Exported:
    """A registered version, its files compared with what was registered."""
    address, _ = model_versions.find_numbered(model)
    folder = model_versions.download_model(str(address), downloads)
    _refuse_incomplete(folder, address)
    return _Exported(folder, str(address), f"{address.name}-weights", str(address.number))


def _open(folder: Path, version: str | None) -> _Exported:
    """A folder, its files compared with the record of export where there is one."""
    if not folder.is_dir():
        rule = f"a model is a folder that graft export wrote, or {SCHEME}NAME@ALIAS, or {SCHEME}NAME/NUMBER"
        raise GraftError("no such model", where=folder, rule=rule, remedy="correct the path")
    if version is None:
        raise GraftError(
            "a folder has no version",
            where=folder,
            rule="a lock pins a package by its version; that of a registered model is its number",
            remedy="say which, for example --version 1, or package the registered model",
        )
    _refuse_incomplete(folder, folder)
    if doubt := refuse_changed(folder):
        warn(doubt)
    origin = f"a folder that graft export wrote, its digest {digest_of(folder)}"
    name = registered_name(ModelSpec.read(folder / SPEC_FILE).task)
    return _Exported(folder, origin, f"{name}-weights", version)


def _refuse_incomplete(folder: Path, where: object) -> None:
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise GraftError(
            f"it lacks {', '.join(missing)}",
            where=where,
            rule="only models that Graft exported can be packaged",
            remedy="export the model again: dvc repro export",
        )


def _describe(exported: _Exported, source: Source) -> Manifest:
    assert source.sha256 is not None, "weights in a file have a digest"
    spec = ModelSpec.read(exported.folder / SPEC_FILE)
    return Manifest(
        model=spec.model,
        file=WEIGHTS,
        sha256=source.sha256,
        class_names=source.class_names,
        mean=source.mean,
        std=source.std,
        licence=source.licence,
        description=source.description,
        origin=source.origin,
        metrics=dict(source.metrics),
        widths=spec.widths,
    )


def _licences(folder: Path, licence: str) -> bytes:
    """A text of the licence and of the section of the card that says whose data and weights went into these."""
    _, title, rest = (folder / CARD).read_text(encoding="utf-8").partition("## Licences\n")
    section = title + rest.partition("\n## ")[0]
    return f"The licence of these weights is {licence}.\n\n{section}".rstrip().encode() + b"\n"


def _write(files: Mapping[str, bytes | Path], facts: Mapping[str, str], out: Path) -> Path:
    """Builds the wheel aside, and puts it into `out` whole."""
    with tempfile.TemporaryDirectory(prefix="graft-") as scratch:
        built = build_wheel(files, facts, Path(scratch))
        wheel = out / built.name
        if wheel.is_file() and sha256_of(wheel) != sha256_of(built):
            raise GraftError(
                "this file is there already, and is another wheel",
                where=wheel,
                rule="a version of a package never changes: locks pin it by its hash",
                remedy="say another --version, or remove the file if nobody has it yet",
            )
        with replace_file(wheel) as pending:
            shutil.copyfile(built, pending)
    return wheel
