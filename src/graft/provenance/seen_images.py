"""The images that a model learned from, was chosen by or was scored on, and those the project has labels for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from graft.foundation.class_map import UNLABELLED
from graft.foundation.content import read_json
from graft.foundation.progress import warn
from graft.models.address import is_address
from graft.provenance.promotion.record_chain import fetch_output, trace_records
from graft.provenance.stages import MANIFEST, SEEN
from graft.provenance.tracking import mlflow_store, model_versions, quick_client


def seen_images(model: str) -> set[str]:
    """The sha256 of each; those of the project at hand, and of a registered model those that the server knows, too.

    Images that a training saw without a label are left out: a label is what they still want.
    Where nothing tells which images a model has seen, that is a warning.

    Args:
        model: Address of a registered model, or a folder that export wrote.

    Raises:
        GraftError: There is no such model, or the store does not answer.
    """
    here = [Path(path) for path in (SEEN, MANIFEST) if Path(path).is_file()]
    known = _digests(here)
    if is_address(model):
        with tempfile.TemporaryDirectory(prefix="graft-") as folder:
            there = _fetch(model, Path(folder))
            known |= _digests(there)
            here += there
    if not any(path.name == Path(SEEN).name for path in here):
        warn(f"no file tells which images {model} has seen: they are not left out")
    return known


def _digests(files: list[Path]) -> set[str]:
    found: set[str] = set()
    for file in files:
        if file.suffix == ".json":
            found.update(*(digests for split, digests in read_json(file).items() if split != UNLABELLED))
        else:
            table = pq.read_table(file, columns=["split", "image_sha256"]).to_pylist()
            found.update(row["image_sha256"] for row in table if row["split"] != UNLABELLED)
    return found


def _fetch(model: str, folder: Path) -> list[Path]:
    with mlflow_store.explain_refusals():
        store = quick_client.open_quickly()
        _, version = model_versions.find_numbered(model)
        chain = trace_records(store, version, folder)
        fetched = [fetch_output(store, chain, path, folder) for path in (SEEN, MANIFEST)]
    return [file for file in fetched if file is not None]
