"""The seven stages, one after the other in one process, with the params of this repository made small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.foundation.content import read_json
from graft.params.sections import Params
from pipeline.augment import augment
from pipeline.evaluate import evaluate
from pipeline.export import export
from pipeline.fine_tune import fine_tune
from pipeline.ingest import ingest
from pipeline.pretrain_load import pretrain_load
from pipeline.validate import validate
from tests.dotted_keys import put

FILE = Path(__file__).resolve().parents[1] / "params.yaml"
SMALL = {
    "runtime.num_threads": 1,
    "augment.views": 2,
    "fine_tune.batch_size": 4,
    "fine_tune.baseline": False,
    "evaluate.bootstrap_samples": 20,
    "report.num_examples": 2,
    "export.parity_images": 2,
}
FOLDERS = ("ingested/first", "interim", "checked", "augmented", "pretrained", "model", "curves", "scores", "exported")


def small_params(source: dict[str, Any] | str, **changes: Any) -> Params:
    """`params.yaml` with a source, small values, and changes by dotted key."""
    tree = YAML(typ="safe").load(FILE)
    put(tree, SMALL | {"ingest.source": source} | changes)
    return Params(**tree)


def run_stages(raw: Path, work: Path, params: Params, *, exported: bool = True) -> dict[str, Any]:
    """Runs ingest to export (or to evaluate) into folders of `work`, and returns the metrics of evaluate."""
    at = {name: work / name for name in FOLDERS}
    for folder in at.values():
        folder.mkdir(parents=True)
    both = {"task": params.task, "seed": params.seed}
    class_map, report = at["interim"] / "class_map.json", at["checked"] / "validation.json"
    ingest(task=params.task, ingest=params.ingest, root=raw, out=at["ingested/first"])
    validate(
        task=params.task,
        validate=params.validate_,
        ingested=work / "ingested",
        interim=at["interim"],
        out=at["checked"],
        split=params.evaluate.split,
    )
    views = {"preprocess": params.preprocess, "augment": params.augment, "train": at["interim"] / "train"}
    views["unlabelled"] = at["interim"] / params.augment.unlabelled
    views["parent"] = work / params.augment.parent
    augment(**both, **views, class_map=class_map, validation=report, out=at["augmented"])
    start = {"model": params.model, "pretrain_load": params.pretrain_load, "runtime": params.runtime}
    start |= {"images": at["interim"] / params.pretrain_load.images, "class_map": class_map}
    pretrain_load(**both, **start, out=at["pretrained"])
    fine_tune(
        **both,
        model=params.model,
        preprocess=params.preprocess,
        runtime=params.runtime,
        predict=params.predict,
        fine_tune=params.fine_tune,
        augmented=at["augmented"],
        val=at["interim"] / "val",
        class_map=class_map,
        pretrained=at["pretrained"],
        out=at["model"],
        curves=at["curves"],
    )
    judged = {"runtime": params.runtime, "predict": params.predict, "evaluate": params.evaluate}
    judged |= {"images": at["interim"] / params.evaluate.split, "class_map": class_map, "model": at["model"]}
    statistics = at["augmented"] / "statistics.json"
    evaluate(
        **both,
        **judged,
        report=params.report,
        curves=at["curves"],
        validation=report,
        statistics=statistics,
        out=at["scores"],
    )
    metrics, card = at["scores"] / "metrics.json", at["pretrained"] / "card.json"
    if exported:
        judged |= {key: at["interim"] / getattr(params.export, key) for key in ("calibration", "scan")}
        judged |= {"metrics": metrics, "reference": at["scores"] / "reference.parquet"}
        export(**both, **judged, export=params.export, card=card, out=at["exported"])
    return read_json(metrics)
