"""Weights that are not on this machine, with the file that is missing and its place; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from packaging.utils import canonicalize_name

from graft.foundation.errors import GraftError
from graft.foundation.packages import find_package
from graft.models.weights.bundled import FOLDER as BUNDLED
from graft.models.weights.download import cache_folder
from graft.models.weights.hub import FILE, cache_path
from graft.models.weights.known_packages import KNOWN_PACKAGES
from graft.models.weights.timm import published_config
from graft.models.weights.torchvision import member
from graft.selection.candidates import Candidate, PublishedScore

# What counts as the score of published weights, in order of preference.
METRICS = ("mean_iou", "miou", "accuracy", "acc@1")


def absence(candidate: Candidate) -> str | None:
    """A line on the file that is missing before a candidate can be scored; None if nothing is.

    Raises:
        GraftError: Its library knows no such weights.
    """
    options = candidate.source.options
    match candidate.source.name:
        case "torchvision":
            path = cache_folder() / Path(member(candidate.model, options["weights"]).url).name
            pinned = options["sha256"] or f"{path.stem.rpartition('-')[2]}…"
            return _missing(path, path.name, pinned)
        case "timm":
            return _missing_of_hub(options)
        case "file":
            path = Path(options["path"])
            return _missing(path, path.name, options["sha256"])
        case "package":
            return _missing_package(options["package"])
        case "bundled":
            path = BUNDLED / "weights.safetensors"
            return _missing(path, path.name, None)
    return None


def _missing(path: Path, file: str, sha256: str | None) -> str | None:
    if path.is_file():
        return None
    return f"not here: put {file} (sha256 {sha256 or 'unknown'}) at {path}"


def _missing_package(package: str) -> str | None:
    try:
        find_package(package)
    except GraftError as error:
        return f"not here: {error.what} ({error.remedy})"
    return None


def _missing_of_hub(options: Mapping[str, Any]) -> str | None:
    repository, revision = cast(str, published_config(options["weights"]).hf_hub_id), options["revision"]
    if revision is None:
        return (
            f"not here: its entry needs revision and sha256 of {repository}; graft pin finds both for the source in "
            "params.yaml, to be copied from there"
        )
    return _missing(cache_path(repository, revision), f"{FILE} of {repository}", options["sha256"])


def published_score(candidate: Candidate) -> PublishedScore | None:
    """The score that the makers of the weights measured, whether or not the weights are here."""
    if candidate.published is not None:
        return candidate.published
    if candidate.source.name == "torchvision":
        on, measured = next(iter(member(candidate.model, candidate.source.options["weights"]).meta["_metrics"].items()))
        measured = {name: value / 100 for name, value in measured.items()}
    elif candidate.source.name == "bundled" and absence(candidate) is None:
        on, measured = "synthetic streets", candidate.source("", candidate.model, None).metrics
    elif known := KNOWN_PACKAGES.get(canonicalize_name(candidate.source.options.get("package") or "")):
        on, measured = "ImageNet", known.metrics
    else:
        return None
    metric = next((name for name in METRICS if name in measured), None)
    return None if metric is None else PublishedScore(metric=metric, value=float(measured[metric]), on=on)
