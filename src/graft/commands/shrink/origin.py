"""The model that is shrunk: the champion, or that of this project where there is none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.content import digest_of, sha256_of
from graft.foundation.errors import GraftError
from graft.models.address import ModelAddress, registered_name
from graft.models.saved_model import ModelSpec
from graft.models.weights.registry import FILE
from graft.provenance.promotion import history, move
from graft.provenance.stages import EXPORTED
from graft.provenance.tracking import mlflow_store, model_versions, quick_client

if TYPE_CHECKING:
    from graft.params.sections import Params

FOLDER = Path("build/shrink")


@dataclass(frozen=True)
class Origin:
    """The model that attempts begin from.

    Attributes:
        folder: Its exported files, kept where no stage writes.
        digest: Their digest.
        said: The model in words.
        source: Source of pretrained weights that pins it.
        teacher: Teacher that pins it.
        is_own: Whether `params.yaml` as it stands here makes it.
    """

    folder: Path
    digest: str
    said: str
    source: Mapping[str, Any]
    teacher: Mapping[str, str]
    is_own: bool

    @property
    def spec(self) -> ModelSpec:
        """Its spec."""
        return ModelSpec.read(self.folder / "spec.json")


def find_origin(params: Params, folder: Path = FOLDER) -> Origin:
    """Finds the champion; without one the project's own model, by its version where it is registered.

    Args:
        params: Params of the project.
        folder: Folder to keep its files in.

    Raises:
        GraftError: There is neither, or its files cannot be fetched, or are not those that were promoted.
    """
    own = digest_of(Path(EXPORTED)) if (Path(EXPORTED) / FILE).is_file() else None
    if not mlflow_store.is_off():
        with mlflow_store.explain_refusals():
            mlflow_store.relocate()
            store = quick_client.open_quickly()
            name = registered_name(params.task)
            standing = history.champion(move.settle(store, name))
            holder = None if own is None else model_versions.find_holder(store, name, own)
        if standing is not None:
            return _registered(name, standing.version, standing.promoted.model_digest, "the champion", own, folder)
        if holder is not None and own is not None:
            said = "not promoted, as there is no champion"
            return _registered(name, int(holder.version), own, said, own, folder)
    if own is None:
        raise GraftError(
            "there is no model to shrink",
            where=EXPORTED,
            rule="what is shrunk is the champion, or the model that was trained here",
            remedy="dvc repro, then graft shrink",
        )
    kept = _keep(Path(EXPORTED), own, folder)
    pinned = {"name": "file", "path": str(kept / FILE), "sha256": sha256_of(kept / FILE)}
    teacher = {"model": str(kept), "sha256": pinned["sha256"]}
    return Origin(kept, own, f"{EXPORTED}, which is registered nowhere", pinned, teacher, is_own=True)


def _registered(name: str, number: int, digest: str, said: str, own: str | None, folder: Path) -> Origin:
    kept, address = _place(digest, folder), str(ModelAddress(name, number))
    if not kept.is_dir():
        with tempfile.TemporaryDirectory(prefix="graft-") as temporary:
            _keep(move.download_verified(name, number, digest, Path(temporary)), digest, folder)
    sha256 = sha256_of(kept / FILE)
    pinned = {"name": "registry", "model_uri": address, "sha256": sha256}
    teacher = {"model": address, "sha256": sha256}
    return Origin(kept, digest, f"{address}, {said}", pinned, teacher, is_own=own == digest)


def _place(digest: str, folder: Path) -> Path:
    return folder / f"origin-{digest[:16]}"


def _keep(files: Path, digest: str, folder: Path) -> Path:
    """Copies the files of a model to where no stage writes, in one step."""
    kept = _place(digest, folder)
    if not kept.is_dir():
        pending = kept.with_name(f".tmp-{kept.name}")
        shutil.rmtree(pending, ignore_errors=True)
        shutil.copytree(files, pending)
        pending.rename(kept)
    return kept
