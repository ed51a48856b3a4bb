"""Images of a test set that a model has seen, by digest, or nearly, by perceptual hash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from graft.data.expectations.near_duplicates import near_partners, parse_hashes
from graft.foundation.class_map import UNLABELLED
from graft.foundation.content import read_json
from graft.provenance.promotion.record_chain import fetch_output, trace_ancestors
from graft.provenance.stages import MANIFEST, SEEN

if TYPE_CHECKING:
    from graft.provenance.promotion.frozen_test_set import FrozenImage
    from graft.provenance.promotion.record_chain import RecordChain
    from graft.provenance.tracking.mlflow_store import MlflowClient

LEARNED_FROM = ("train", "val", UNLABELLED)
NUM_SHOWN = 3
NOT_HELD = f"the server does not hold {SEEN}"


@dataclass(frozen=True)
class Leakage:
    """The images of a test set that a model knows.

    Attributes:
        seen: Sentence about those it was trained on, or whose scores chose its best epoch, or that a registered version
            was which it grew out of or learnt from, or that the server does not tell; empty where there are none.
        resembling: Sentence about those that look like one of these images; empty where there are none.
    """

    seen: str = ""
    resembling: str = ""


def find_leakage(
    store: MlflowClient, chain: RecordChain, images: Sequence[FrozenImage], max_bits: int, folder: Path
) -> Leakage:
    """Compares a test set with what a model, and every registered one behind it, was trained on and chosen by.

    Args:
        store: Client of the server.
        chain: Records behind the model.
        images: Images of the test set.
        max_bits: Number of bits in which the perceptual hashes of near duplicates differ at most.
        folder: Folder for downloads.

    Raises:
        GraftError: A file on the server is not the one in its record.
    """
    known = _learned_from(store, chain, folder)
    if known is None:
        return Leakage(seen=f"not known: {NOT_HELD}")
    if seen := [image.image for image in images if image.image in known]:
        return Leakage(seen=f"{len(seen)} of {len(images)} images: {_some(digest[:12] for digest in seen)}")
    untold = []
    for address, ancestor in trace_ancestors(store, chain, folder):
        behind = _learned_from(store, ancestor, folder)
        if behind is None:
            untold.append(str(address))
        elif inherited := [image.image for image in images if image.image in behind]:
            some = _some(digest[:12] for digest in inherited)
            return Leakage(seen=f"{len(inherited)} of {len(images)} images, through {address}: {some}")
    if untold:
        return Leakage(seen=f"not known, through {_some(untold)}: {NOT_HELD}")
    manifest = fetch_output(store, chain, MANIFEST, folder)
    return Leakage(resembling="" if manifest is None else _describe_near(manifest, known, images, max_bits))


def _learned_from(store: MlflowClient, chain: RecordChain, folder: Path) -> set[str] | None:
    """The digests of the images that a version was trained on or chosen by; None where the server does not tell."""
    file = fetch_output(store, chain, SEEN, folder)
    return None if file is None else {one for split in LEARNED_FROM for one in read_json(file).get(split, ())}


def _describe_near(manifest: Path, known: set[str], images: Sequence[FrozenImage], max_bits: int) -> str:
    """Says which images of the test set nearly equal one in `known`."""
    rows = pq.read_table(manifest, columns=["id", "image_sha256", "phash"]).to_pylist()
    rows = [row for row in rows if row["image_sha256"] in known and row["phash"]]
    hashed = [image for image in images if image.phash]
    hashes = parse_hashes([row["phash"] for row in rows] + [image.phash for image in hashed])
    sides = np.repeat([0, 1], [len(rows), len(hashed)])
    partners = near_partners(hashes, sides, np.arange(len(hashes)), max_bits)[len(rows) :]
    pairs = [(image, rows[partner]["id"]) for image, partner in zip(hashed, partners, strict=True) if partner >= 0]
    said = _some(f"{image.image[:12]} is like {name}" for image, name in pairs)
    return f"{len(pairs)} of {len(images)} images: {said}" if pairs else ""


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:NUM_SHOWN]) + (" …" if len(names) > NUM_SHOWN else "")
