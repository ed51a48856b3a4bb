"""The images whose labels a model has learnt, itself or through the models that it grew out of or that taught it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from graft.deployment.export.weight_files import stored_state
from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import warn
from graft.models.address import is_address
from graft.models.saved_model import load_model, load_state, tensor_digest
from graft.provenance.promotion.record_chain import RecordChain, fetch_output, trace_ancestors, trace_records
from graft.provenance.stages import FINE_TUNED, PRETRAINED_CARD, SEEN
from graft.provenance.tracking import mlflow_store, model_versions, quick_client

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient

RULE = "a model agrees with the labels it learnt, wrong ones too"
WEIGHTS_FILE = "weights.safetensors"


def learnt_images(model: str) -> set[str]:
    """The sha256 of each image whose label a model has learnt; what it was chosen by is not among them.

    Args:
        model: Address of a registered model, or a folder that export wrote, in the project that trained it.

    Raises:
        GraftError: Nothing tells which these are, there is no such model, or the store does not answer.
    """
    return _learnt_by_versions([model]) if is_address(model) else _learnt_in_project(Path(model))


def learnt_by_weights(pretrained: Path) -> set[str]:
    """The sha256 of each image whose label pretrained weights have learnt; a warning where nothing tells.

    Args:
        pretrained: Folder that pretrain-load wrote.

    Raises:
        GraftError: They are those of a registered model, and the store does not tell which images it learnt.
    """
    card = read_json(pretrained / Path(PRETRAINED_CARD).name)
    origin = card["origin"]
    if not is_address(origin) and card.get("known_classes"):
        warn(
            f"the weights of {origin} know {', '.join(card['known_classes'])}, and nothing tells which images taught "
            "them: labels that they have learnt are not contradicted"
        )
    return _learnt_by_versions([origin] if is_address(origin) else [])


def _learnt_in_project(folder: Path) -> set[str]:
    """The images that a model of a folder learnt, by what fine-tune left in its project, or in this one."""
    stored = load_state(folder / WEIGHTS_FILE)[0]
    dtype = "float16" if torch.float16 in {tensor.dtype for tensor in stored.values()} else "float32"
    for project in (folder.resolve().parent.parent, Path()):
        trained, card = project / FINE_TUNED, project / PRETRAINED_CARD
        if (project / SEEN).is_file() and card.is_file():
            if tensor_digest(stored) != tensor_digest(stored_state(load_model(trained)[0], dtype)):
                continue
            taught = [each["model"] for each in read_json(trained / "strategy.json").get("teacher", ())]
            for each in taught:
                if not is_address(each):
                    warn(f"nothing tells which images {each} has learnt, which taught the model")
            behind = _learnt_by_versions(filter(is_address, taught)) | learnt_by_weights(card.parent)
            return behind | set(read_json(project / SEEN)["train"])
    raise _untold(folder, f"neither in its project nor in this one has {FINE_TUNED} its weights")


def _learnt_by_versions(addresses: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for address in addresses:
        with tempfile.TemporaryDirectory(prefix="graft-") as name, mlflow_store.explain_refusals():
            store, folder = quick_client.open_quickly(), Path(name)
            numbered, version = model_versions.find_numbered(address)
            chain = trace_records(store, version, folder)
            for origin, records in ((numbered, chain), *trace_ancestors(store, chain, folder)):
                found |= _learnt_by(store, records, str(origin), folder)
    return found


def _learnt_by(store: MlflowClient, chain: RecordChain, model: str, folder: Path) -> set[str]:
    file = fetch_output(store, chain, SEEN, folder)
    if file is None:
        raise _untold(model, f"the server does not hold its {SEEN}")
    return set(read_json(file)["train"])


def _untold(where: str | Path, why: str) -> GraftError:
    return GraftError(
        f"no file tells which images the model has learnt ({why})",
        where=where,
        rule=RULE,
        remedy="take a registered model whose records the server holds, or models/exported of the project that trained "
        "it, with the outputs of its pretrain-load and fine-tune (dvc pull)",
    )
