"""Teachers: finished models that another one learns from, each one file that is pinned by its digest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress, is_address
from graft.models.model import Model
from graft.models.pins import Downloader, verify_sha256, weights_file
from graft.models.saved_model import ModelSpec, load_state, restore_model

KEYS = {"model", "sha256"}
SHAPE = "a teacher is {model: models:/NAME/VERSION or a folder, sha256: its digest}"


@dataclass(frozen=True)
class Teacher:
    """A finished model that answers to the images of another one's training.

    Attributes:
        name: Its address or folder, as `params.yaml` has it.
        model: Model in evaluation mode, whose parameters are frozen.
        spec: All that turns an image into its logits, besides the weights.
    """

    name: str
    model: Model
    spec: ModelSpec


def check_teachers(written: Any) -> list[dict[str, str]]:
    """Returns teachers as a list of their model and digest, if each of them is pinned."""
    teachers = written if isinstance(written, list) else [written]
    if not teachers:
        raise ValueError("an empty list teaches nothing; name at least one model")
    return [_check_teacher(one) for one in teachers]


Teachers = Annotated[str | dict[str, Any] | list[Any], AfterValidator(check_teachers)]


def named_by(written: Any) -> str | None:
    """The address or folder that a teacher names, pinned or not; None where it is not written as `SHAPE` says."""
    spec = {"model": written} if isinstance(written, str) else written
    name = spec.get("model") if isinstance(spec, dict) and set(spec) <= KEYS else None
    return name if isinstance(name, str) and name else None


def _check_teacher(written: Any) -> dict[str, str]:
    name = named_by(written)
    if name is None:
        raise ValueError(f"{written!r}: {SHAPE}")
    spec = {"model": written} if isinstance(written, str) else written
    is_pinned = re.fullmatch(r"[0-9a-fA-F]{64}", str(spec.get("sha256")))
    if not is_pinned or (is_address(name) and _parse(name).number is None):
        raise ValueError(f"{name} is not pinned: run graft pin, which writes version and sha256 of every teacher")
    return {"model": name, "sha256": spec["sha256"].lower()}


def _parse(address: str) -> ModelAddress:
    try:
        return ModelAddress.parse(address)
    except GraftError:
        raise ValueError(f"{address}: a registered model is models:/NAME/VERSION") from None


def read_spec(pinned: Mapping[str, str], folder: Path) -> ModelSpec:
    """The spec of a pinned teacher, whose files lie in a folder.

    Raises:
        GraftError: There is no model, or another than the pinned one.
    """
    return _read(pinned, folder)[1]


def load_teacher(pinned: Mapping[str, str], download: Downloader) -> Teacher:
    """Loads a pinned teacher: the file is compared with its digest, and says itself what model it is of.

    Args:
        pinned: Its `model` and `sha256`.
        download: Function that brings the files of a registered model here.

    Raises:
        GraftError: There is no such model, or another than the pinned one.
    """
    name = pinned["model"]
    state, spec = _read(pinned, download(name) if is_address(name) else Path(name))
    with _remedied():
        model = restore_model(state, spec, where=name)
    return Teacher(name, model.requires_grad_(False), spec)


def _read(pinned: Mapping[str, str], folder: Path) -> tuple[dict[str, Any], ModelSpec]:
    path = weights_file(folder, pinned["model"])
    verify_sha256(path, pinned["sha256"])
    with _remedied():
        state, metadata = load_state(path)
        return state, ModelSpec.of(metadata, where=path)


@contextmanager
def _remedied() -> Iterator[None]:
    """Gives the errors of a model's file the remedy of a teacher, which no stage here makes anew."""
    try:
        yield
    except GraftError as error:
        error.remedy = "name a model that export or fine-tune wrote in fine_tune.strategy.teacher, and run graft pin"
        raise
