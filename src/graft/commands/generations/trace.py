"""The line of parents of a registered model, traced from its records on the server."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.commands.generations.matrix import Generation, Matrix
from graft.foundation.content import read_json
from graft.metrics.confusion import HEADLINE
from graft.models.address import ModelAddress, is_address
from graft.provenance.deliveries import ingest_section
from graft.provenance.promotion.promote import find_judged
from graft.provenance.promotion.record_chain import RecordChain, fetch_output, trace_records
from graft.provenance.stages import INGEST, SCORES, weights_source
from graft.provenance.tracking import registry
from graft.provenance.tracking.pipeline_run import SHOWN_BY_CLASS

if TYPE_CHECKING:
    from graft.provenance.tracking.mlflow_store import MlflowClient
    from graft.provenance.tracking.registry import ModelVersion


def trace_generations(store: MlflowClient, name: str, number: int | None) -> Matrix:
    """Traces a version back to the first of its line.

    Args:
        store: Client of the server.
        name: Name of the registered model.
        number: Number of the version; by default the one that `candidate` points at.

    Raises:
        GraftError: There is no such version, or the scores of one were changed on the server.
    """
    version: ModelVersion | None = find_judged(store, name, number)
    found: list[Generation] = []
    notes: list[str] = []
    task = "segmentation"
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        while version is not None:
            place = Path(folder) / version.version
            place.mkdir()
            chain = trace_records(store, version, place)
            scores = fetch_output(store, chain, SCORES, place)
            if scores is None or "export" not in chain.records:
                notes.append(f"version {version.version}: its scores are not on the server (dvc pull, graft publish)")
                break
            task = str(chain.records["export"].params["task"])
            found.append(_generation(int(version.version), read_json(scores), chain, task))
            parent = parent_of(chain, name)
            version = None if parent is None else registry.find_version(store, ModelAddress(name, parent))
            if parent is not None and version is None:
                notes.append(f"version {parent}, which version {found[-1].version} grew out of, was deleted")
    found.reverse()
    return Matrix(HEADLINE[task], found, (*notes, *_caveats(found)))


def parent_of(chain: RecordChain, name: str) -> int | None:
    """The number of the version that a version grew out of; None where it grew out of other weights."""
    record = chain.records.get("pretrain-load")
    uri = weights_source(record.params).get("model_uri", "") if record else ""
    address = ModelAddress.parse(uri) if is_address(uri) else None
    return address.number if address and address.name == name else None


def _generation(version: int, metrics: dict[str, Any], chain: RecordChain, task: str) -> Generation:
    """Reads a generation from the scores of evaluate, which tell deliveries apart where there are several."""
    ingest = chain.records.get(INGEST)
    only = str(ingest_section(ingest)["batch"]) if ingest else "all"
    parts = metrics.get("per_delivery") or {only: metrics}
    by_class = SHOWN_BY_CLASS[HEADLINE[task]]
    return Generation(
        version,
        {name: part[HEADLINE[task]] for name, part in parts.items()},
        {name: part["num_images"] for name, part in parts.items()},
        tuple(metrics[by_class]),
        {name: part.get(by_class, {}) for name, part in parts.items()},
    )


def _caveats(found: list[Generation]) -> list[str]:
    """Sentences on what keeps the scores of two generations from being compared as they stand."""
    said = []
    for before, after in pairwise(found):
        if grown := [name for name in after.class_names if name not in before.class_names]:
            said.append(f"version {after.version} knows {', '.join(grown)} too: its scores are means over more classes")
        if lost := [name for name in before.scores if name not in after.scores]:
            said.append(f"version {after.version} was not scored on {', '.join(lost)}")
        for name, number in before.num_images.items():
            if after.num_images.get(name, number) != number:
                said.append(
                    f"delivery {name} had {number} test images when version {before.version} was scored, and "
                    f"{after.num_images[name]} for version {after.version}"
                )
    return said
