"""Stage 2, validate: puts the deliveries together and judges whether the data is fit to learn from.

Reads what ingest wrote of each delivery.
Writes `validation.json` and `validation.md`, whatever the verdict, and the data of all deliveries as one:
`<split>/<delivery>-00000.parquet`, `manifest.parquet` and `class_map.json`.
Stops when deliveries do not go together, or an expectation of severity critical fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from graft.data.deliveries import MANIFEST, gather
from graft.data.expectations.manifest import read_manifest
from graft.data.expectations.report import as_json, as_markdown, check_gate
from graft.data.expectations.suite import check_task, suite_of
from graft.data.expectations.verdict import judge
from graft.foundation.content import write_json

if TYPE_CHECKING:
    from graft.params.sections import Validate


def validate(
    *,
    task: str,
    validate: Validate,
    ingested: Path,
    interim: Path,
    out: Path,
    split: str = "test",
    batch: str = "first",
    deliveries: Mapping[str, object] = MappingProxyType({}),
    data_docs: Path | None = None,
) -> dict[str, float]:
    """Judges all deliveries together; returns the number of images, of critical rules broken and of warnings.

    Folders in `ingested` that are neither `batch` nor one of `deliveries` are passed over. `split` is the one that
    evaluate will score: without a label in it all training is for nothing. `data_docs` is a folder for the HTML of
    Great Expectations, which is no output of the stage.

    Raises:
        GateClosed: A critical rule is broken; the report in `out` is complete.
        GraftError: An input is missing or damaged, deliveries do not go together, or `validate.allow` names no
            expectation; nothing was written.
    """
    names = [batch, *deliveries]
    for name in names:
        read_manifest(ingested / name / MANIFEST)
    classes = gather(ingested, names, interim)
    rows = read_manifest(interim / MANIFEST)
    check_task(task, classes)
    tables, rules = suite_of(rows, classes, validate, split)
    findings = judge(tables, rules, validate.allow, data_docs)
    write_json(out / "validation.json", as_json(findings, len(rows)) | {"deliveries": names})
    (out / "validation.md").write_text(as_markdown(findings, rows, classes), encoding="utf-8")
    check_gate(findings, "validation.md, beside validation.json in the stage's output folder, has the whole report")
    return {
        "num_images": float(len(rows)),
        "num_critical_broken": 0.0,
        "num_warnings": float(sum(not finding.success for finding in findings)),
    }
