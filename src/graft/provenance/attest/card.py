"""The fields of a model card, each with how it is known: measured, declared by a person, or missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from graft.foundation.errors import GraftError
from graft.provenance.deliveries import ingest_section
from graft.provenance.records import Record
from graft.provenance.stages import CLASS_MAP, EXPORTED_SCORES, FINDINGS, PARITY, PRETRAINED_CARD, is_ingest

MEASURED, DECLARED, MISSING = "measured", "declared", "missing"
DECLARATION = "model_card.yaml"
EVIDENCE = (EXPORTED_SCORES, PARITY, PRETRAINED_CARD, CLASS_MAP, FINDINGS)
SCORES = (
    "mean_iou",
    "pixel_accuracy",
    "accuracy",
    "mean_average_precision",
    "macro_f1",
    "micro_f1",
    "calibration_error",
)
Field = dict[str, Any]


class Declaration(BaseModel):
    """The fields of `model_card.yaml`, which only people can fill in; one left out is shown as missing.

    Attributes:
        intended_use: Purpose of the model, and the people who may use it.
        out_of_scope: Uses that are excluded.
        personal_data: People who can be recognised in the images, and the legal ground of processing them.
        owner: Person who answers for the model.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    intended_use: str | None = None
    out_of_scope: str | None = None
    personal_data: str | None = None
    owner: str | None = None


def read_declaration(text: str) -> Declaration:
    """Reads the content of `model_card.yaml`.

    Raises:
        GraftError: It is not YAML, or holds anything but these four fields.
    """
    remedy = f"say {', '.join(Declaration.model_fields)}, each a text or null"
    try:
        return Declaration.model_validate(YAML(typ="safe").load(text) or {})
    except YAMLError as error:
        raise GraftError(f"not valid YAML: {str(error).splitlines()[0]}", where=DECLARATION, remedy=remedy) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc'])) or 'all of it'}: {each['msg']}" for each in error.errors()]
        raise GraftError.of_all(f"{DECLARATION} breaks the rules", problems, remedy=remedy) from None


def fields(records: Mapping[str, Record], files: Mapping[str, str]) -> list[Field]:
    """Fills in the card, in order.

    Args:
        records: Records by stage.
        files: Text of DECLARATION and of the available files of EVIDENCE, by path.

    Raises:
        GraftError: The declaration breaks its rules.
    """
    read = {path: json.loads(text) for path, text in files.items() if path != DECLARATION}
    said = read_declaration(files.get(DECLARATION, ""))
    rows = [*_model(records), *_data(records, read), *_weights(read), *_scores(read), *_origin(records)]
    rows += [_declared_row(name.replace("_", " "), value, DECLARATION) for name, value in said]
    return [{"field": name, "value": value, "known": known, "source": source} for name, value, known, source in rows]


Row = tuple[str, Any, str, str]


def _model(records: Mapping[str, Record]) -> Iterator[Row]:
    params = records.get("fine-tune", Record.empty("fine-tune")).params
    yield _declared_row("task", params.get("task"), "params.yaml")
    yield _declared_row("architecture", params.get("model"), "params.yaml")
    yield _declared_row("strategy", params.get("fine_tune", {}).get("strategy"), "params.yaml")


def _data(records: Mapping[str, Record], read: Mapping[str, Any]) -> Iterator[Row]:
    classes, ingests = read.get(CLASS_MAP, {}), [record for stage, record in records.items() if is_ingest(stage)]
    yield _declared_row("classes", classes.get("names"), CLASS_MAP)
    yield _declared_row("source of the images", classes.get("source"), CLASS_MAP)
    yield _declared_row("synthetic images", classes.get("synthetic"), CLASS_MAP)
    licence = classes.get("licence")
    yield _declared_row("licence of the images", None if licence == "unknown" else licence, CLASS_MAP)
    names = [ingest_section(record).get("batch") for record in ingests]
    yield _declared_row("delivery", names[0] if len(names) == 1 else names or None, "params.yaml")
    for split in ("train", "val", "test"):
        counts = [record.metrics[f"num_{split}"] for record in ingests if f"num_{split}" in record.metrics]
        yield _measured_row(f"{split} images", sum(counts) if counts else None, "record of ingest")
    critical = records.get("validate", Record.empty("validate")).metrics.get("num_critical_broken")
    yield _measured_row("critical expectations broken", critical, "record of validate")


def _weights(read: Mapping[str, Any]) -> Iterator[Row]:
    card = read.get(PRETRAINED_CARD, {})
    for name in ("name", "origin", "licence"):
        yield _declared_row(f"pretrained weights, {name}", card.get(name), PRETRAINED_CARD)
    yield _measured_row("pretrained weights, sha256", card.get("sha256"), PRETRAINED_CARD)


def _scores(read: Mapping[str, Any]) -> Iterator[Row]:
    metrics, parity = read.get(EXPORTED_SCORES, {}), read.get(PARITY, {})
    found = [name for name in SCORES if metrics.get(name) is not None]
    for name in found:
        interval = (metrics.get("interval") or {}).get(name)
        value = {"value": metrics[name], "interval": interval} if interval else metrics[name]
        yield _measured_row(name.replace("_", " "), value, EXPORTED_SCORES)
    if not found:
        yield _measured_row("scores", None, EXPORTED_SCORES)
    by_class = metrics.get("iou") or metrics.get("average_precision") or metrics.get("recall")
    yield _measured_row("scores by class", by_class, EXPORTED_SCORES)
    domains = {name: part.get("num_images") for name, part in metrics.get("per_domain", {}).items()}
    yield _measured_row("images scored by domain", domains or None, EXPORTED_SCORES)
    yield _measured_row("predictions equal after export", parity.get("equal_fraction"), PARITY)
    for target, report in parity.get("targets", {}).items():
        facts = {fact: report[fact] for fact in ("sha256", "num_bytes", "equal_fraction", "exported_score")}
        yield _measured_row(f"exported as {target}", facts, PARITY)


def _origin(records: Mapping[str, Record]) -> Iterator[Row]:
    tuned = records.get("fine-tune", Record.empty("fine-tune"))
    yield _measured_row("environment", dict(tuned.environment) or None, "record of fine-tune")
    yield _measured_row("commit", tuned.git.commit, "record of fine-tune")


def _measured_row(name: str, value: Any, source: str) -> Row:
    return name, value, MISSING if value is None else MEASURED, source


def _declared_row(name: str, value: Any, source: str) -> Row:
    return name, value, MISSING if value is None else DECLARED, source
