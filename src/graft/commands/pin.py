"""Pinning of the pretrained weights in a params file: version for alias, revision for name, and always the digest."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.models.architectures import resolve_model
from graft.models.weights.download import cache_folder, fetch
from graft.models.weights.hub import fetch_from_hub, newest_revision
from graft.models.weights.package import find_weights
from graft.models.weights.registry import FILE
from graft.models.weights.timm import published_config
from graft.models.weights.torchvision import member
from graft.params.params_file import PARAMS_FILE, load_params
from graft.params.yaml_tree import read_tree, write_tree
from graft.provenance.tracking import model_versions


def pin(path: Path = PARAMS_FILE) -> list[str]:
    """Pins `pretrain_load.source` in the params file; returns a line for each value it wrote.

    Raises:
        GraftError: The params file breaks a rule, or the weights cannot be fetched.
    """
    params, tree = load_params(path), read_tree(path)
    written = params.pretrain_load.source
    spec = {"name": written} if isinstance(written, str) else written
    new = {key: value for key, value in pins(spec, params.task, params.model).items() if spec.get(key) != value}
    if new:
        tree["pretrain_load"]["source"].update(new)
        write_tree(path, tree)
    return [f"{path}: pretrain_load.source.{key}: {value}" for key, value in new.items()]


def pins(spec: Mapping[str, Any], task: str, model: str | Mapping[str, Any]) -> dict[str, str]:
    """The options that fix the bytes of a source for ever; empty where it needs none.

    Args:
        spec: Source as written in the params file, possibly with an alias.
        task: Task of the params file.
        model: Model of the params file; torchvision's weights are named after it.

    Raises:
        GraftError: The weights cannot be fetched.
    """
    match spec.get("name"):
        case "file":
            return {"sha256": sha256_of(_existing(Path(spec.get("path", ""))))}
        case "torchvision":
            address = member(resolve_model(task, model), spec.get("weights", "")).url
            return {"sha256": fetch(address, cache_folder() / Path(address).name, None)}
        case "timm":
            return _pins_of_hub(spec.get("weights", ""))
        case "package":
            return find_weights(spec.get("package", "")).pins()
        case "registry":
            return _pins_of_version(spec.get("model_uri", ""))
    return {}


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise GraftError("weights file not found", where=path, remedy="correct pretrain_load.source.path")
    return path


def _pins_of_hub(weights: str) -> dict[str, str]:
    """The newest revision of timm's weights and the digest of their file."""
    repository = cast(str, published_config(weights).hf_hub_id)
    revision = newest_revision(repository)
    return {"revision": revision, "sha256": fetch_from_hub(repository, revision, None)[1]}


def _pins_of_version(uri: str) -> dict[str, str]:
    """The version an alias points at, and the digest of its weights."""
    address, _ = model_versions.find_numbered(uri)
    with tempfile.TemporaryDirectory() as folder:
        return {
            "model_uri": str(address),
            "sha256": sha256_of(model_versions.download_model(str(address), Path(folder)) / FILE),
        }
