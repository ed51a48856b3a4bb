"""Pinning of weights and teachers in a params file: version for alias, revision for name, and always the digest."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.models.address import is_address
from graft.models.architectures import resolve_model
from graft.models.pins import weights_file
from graft.models.teacher import SHAPE, named_by
from graft.models.weights.download import cache_folder, fetch
from graft.models.weights.hub import fetch_from_hub, newest_revision
from graft.models.weights.package import find_weights
from graft.models.weights.registry import FILE
from graft.models.weights.timm import published_config
from graft.models.weights.torchvision import member
from graft.params.params_file import PARAMS_FILE, load_params
from graft.params.yaml_tree import on_one_line, read_tree, write_tree
from graft.provenance.tracking import model_versions


def pin(path: Path = PARAMS_FILE) -> list[str]:
    """Pins `pretrain_load.source` and teachers in the params file; returns a line for each value it wrote.

    Raises:
        GraftError: The params file breaks a rule, or the weights cannot be fetched.
    """
    params, tree = load_params(path), read_tree(path)
    written = params.pretrain_load.source
    spec: Mapping[str, Any] = {"name": written} if isinstance(written, str) else written
    place = "pretrain_load.source"
    if isinstance(spec.get("start"), dict):  # of self_supervised, which reads no weights itself
        place, spec = f"{place}.start", spec["start"]
    new = {key: value for key, value in pins(spec, params.task, params.model).items() if spec.get(key) != value}
    said = [f"{path}: {place}.{key}: {value}" for key, value in new.items()]
    if new:
        node = tree
        for key in place.split("."):
            node = node[key]
        node.update(new)
    strategy = params.fine_tune.strategy
    taught_by = strategy.get("teacher") if isinstance(strategy, dict) else None
    pinned: Any = None if taught_by is None else pins_of_teachers(taught_by)
    if pinned != taught_by:
        lines = [on_one_line(one) for one in pinned] if isinstance(pinned, list) else on_one_line(pinned)
        tree["fine_tune"]["strategy"]["teacher"] = lines
        said += [f"{path}: fine_tune.strategy.teacher: {pinned}"]
    if said:
        write_tree(path, tree)
    return said


def pins_of_teachers(written: Any) -> Any:
    """The teachers of a strategy with their versions and digests, as one or as a list, as they are written.

    Args:
        written: Value of `fine_tune.strategy.teacher`.

    Raises:
        GraftError: A teacher is not there, or something that names none.
    """
    return [_pins_of_teacher(one) for one in written] if isinstance(written, list) else _pins_of_teacher(written)


def _pins_of_teacher(written: Any) -> dict[str, str]:
    name = named_by(written)
    if name is None:
        what, remedy = f"{written!r} names no teacher", "correct it; a name of digits is written in quotes"
        raise GraftError(what, where="fine_tune.strategy.teacher", rule=SHAPE, remedy=remedy)
    if not is_address(name):
        return {"model": name, "sha256": sha256_of(weights_file(Path(name), name))}
    pinned = _pins_of_version(name)
    return {"model": pinned["model_uri"], "sha256": pinned["sha256"]}


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
