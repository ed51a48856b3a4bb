"""Deliveries in records: what a record of ingest says of the one it read, and where its images are listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from graft.foundation.content import read_json
from graft.foundation.errors import GraftError
from graft.provenance.records import Record
from graft.provenance.stages import (
    CLASS_MAP,
    FINDINGS,
    INTERIM,
    MANIFEST,
    PRETRAINED_CARD,
    SEEN,
    delivery_of,
    is_ingest,
)

SECTION = "ingest"


def refuse_other_order(names: Sequence[str]) -> None:
    """Refuses an order of deliveries that the data was not put together in: to DVC a mapping has no order.

    Raises:
        GraftError: The same deliveries were put together in another order.
    """
    if len(names) < 3 or not Path(FINDINGS).is_file():  # a later one alone has no order
        return
    before = read_json(Path(FINDINGS)).get("deliveries", [])
    if sorted(before) == sorted(names) and before != [*names]:
        raise GraftError(
            f"ingest.deliveries: their order was {', '.join(before[1:])} when the data was put together",
            where="params.yaml",
            rule="the order decides which ids new classes get, and DVC does not compare it",
            remedy="put them into that order again, or run: dvc repro --force --single-item validate",
        )


def ingest_section(record: Record) -> Mapping[str, Any]:
    """The section `ingest` as a record of ingest states it, for the one delivery that it read.

    Records of older releases hold the section as a whole; later ones name each value that DVC compares.
    """
    if SECTION in record.params:
        whole: Mapping[str, Any] = record.params[SECTION]
        return whole
    delivery = delivery_of(record.stage)
    found = {name.removeprefix(f"{SECTION}."): value for name, value in record.params.items()}
    if delivery is None:
        return found
    return {**found, **found[f"deliveries.{delivery}"], "batch": delivery}


def front_of(record: Record) -> str:
    """The text before the id of every image of a record of ingest."""
    delivery = delivery_of(record.stage)
    return "" if delivery is None else f"{delivery}/"


def manifest_of(record: Record) -> str | None:
    """The path of the manifest that the stage of a record wrote; None if it writes none."""
    folder = _folder_of(record)
    return None if folder is None else f"{folder}/{PurePosixPath(MANIFEST).name}"


def class_map_of(record: Record) -> str | None:
    """The path of the class map that the stage of a record wrote; None if it writes none."""
    folder = _folder_of(record)
    return None if folder is None else f"{folder}/{PurePosixPath(CLASS_MAP).name}"


def file_beside(record: Record) -> str | None:
    """The path of the file that says more than the record: a list of images, or the card of weights."""
    return {"pretrain-load": PRETRAINED_CARD, "fine-tune": SEEN}.get(record.stage, manifest_of(record))


def _folder_of(record: Record) -> str | None:
    """The folder of images that a stage wrote, of one delivery or of all; in older releases ingest wrote the latter."""
    if is_ingest(record.stage):
        return next(iter(record.outputs), None)
    return INTERIM if INTERIM in record.outputs else None
