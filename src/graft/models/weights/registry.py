"""Weights of a model in the registry, pinned by version and digest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from graft.foundation.choices import Choice
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress
from graft.models.pins import Downloader, Sha256, verify_sha256
from graft.models.saved_model import ModelSpec, load_state
from graft.models.weights.source import Source

FILE = "weights.safetensors"


def check_uri(uri: str) -> str:
    """Returns the address itself, if it names one version and not an alias, which moves."""
    try:
        address = ModelAddress.parse(uri)
    except GraftError:
        raise ValueError("a registered model is models:/NAME/VERSION") from None
    if address.alias is not None:
        raise ValueError("an alias moves: run graft pin, which writes the version it points at now")
    return uri


def refuse_unpinned(model_uri: str, sha256: str | None) -> None:
    """Refuses a version whose weights have no digest in `params.yaml`.

    Raises:
        GraftError: There is no digest.
    """
    if sha256 is None:
        raise GraftError(
            f"{model_uri} is not pinned",
            where="pretrain_load.source",
            rule="params.yaml names the digest of every foreign file, so that the stage notices when it changes",
            remedy="run graft pin, which writes the sha256 of its weights",
        )


def registry(
    task: str,
    model: Choice,
    download: Downloader,
    *,
    model_uri: Annotated[str, AfterValidator(check_uri)],
    sha256: Sha256 | None = None,
) -> Source:
    """The weights of a version in the MLflow registry: models grow out of models.

    It helps where a champion of one place is to serve the next: its classes, normalisation and lineage come along. The
    version and the digest of its weights are pinned; `graft pin` turns an alias into both. The tracking server of the
    environment (`MLFLOW_TRACKING_URI`) is asked once, when the stage runs.

    Args:
        task: Unused: every tensor that fits is taken.
        model: Unused, for the same reason.
        download: Function that brings the files of a registered model here.
        model_uri: Address of the version, `models:/NAME/VERSION`.
        sha256: Digest of the version's `weights.safetensors`, 64 hex digits.

    Raises:
        GraftError: Not pinned, no such version, no weights in it, or a digest differs.
    """
    refuse_unpinned(model_uri, sha256)
    folder = download(model_uri)
    path = folder / FILE
    if not path.is_file():
        raise GraftError(f"{model_uri} holds no {FILE}", rule="only models that Graft exported can be grown from")
    return read_exported(folder, model_uri, verify_sha256(path, sha256))


def read_exported(folder: Path, origin: str, digest: str) -> Source:
    """The weights of a folder that export wrote, with what it says of them.

    Args:
        folder: The exported files.
        origin: Where they come from, for example the address of the version.
        digest: Hex sha256 of the weights.
    """
    spec = ModelSpec.read(folder / "spec.json")
    scores = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
    return Source(
        load_state(folder / FILE)[0],
        description=f"{spec.model['name']} trained for {spec.task}",
        origin=origin,
        licence=f"that of its data ({ClassMap.read(folder / 'class_map.json').licence}) and of what it grew from; "
        "see its model card",
        sha256=digest,
        class_names=spec.class_names,
        mean=spec.mean,
        std=spec.std,
        architecture=spec.model,
        widths=spec.widths,
        metrics={name: value for name, value in scores.items() if isinstance(value, float)},
    )
