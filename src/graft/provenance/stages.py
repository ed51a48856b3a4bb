"""The table of the seven stages: what each writes, and what a person opens afterwards.

Ingest runs once for each delivery: as `ingest` for the first, as an instance `ingest-delivery@NAME` for a later one.

`dvc.yaml` owns every path of the pipeline; a contract test compares this table with it. No other module names a path
that a stage writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

RECORDS = Path("reports/records")
MEASURED = Path("reports/measured")  # no output of a stage: what a clock decided is not the same twice
DATA_DOCS = Path("reports/data_docs")  # no output of a stage: Great Expectations writes times and random ids into it

INGESTED = "data/deliveries"  # a folder for each delivery, by its name
INTERIM = "data/interim"
VALIDATION = "reports/validation"
AUGMENTED = "data/augmented"
PRETRAINED = "models/pretrained"
NO_MODEL = "models/none"  # in git; a stage depends on it in the place of a model that it does not need
FINE_TUNED = "models/fine_tuned"
FINE_TUNING = "reports/fine_tuning"
EVALUATION = "reports/evaluation"
EXPORTED = "models/exported"

INGESTED_CLASS_MAP, INGESTED_MANIFEST = f"{INGESTED}/class_map.json", f"{INGESTED}/manifest.parquet"
CLASS_MAP = f"{INTERIM}/class_map.json"
TRAIN = f"{INTERIM}/train"
MANIFEST = f"{INTERIM}/manifest.parquet"
FINDINGS = f"{VALIDATION}/validation.json"
PRETRAINED_CARD = f"{PRETRAINED}/card.json"
WEIGHTS = f"{FINE_TUNED}/model.safetensors"
SEEN = f"{FINE_TUNED}/seen.json"
CURVES = f"{FINE_TUNING}/curves.csv"
SCORES = f"{EVALUATION}/metrics.json"
REPORT = f"{EVALUATION}/report.html"
MODEL_CARD = f"{EXPORTED}/model_card.md"
EXPORTED_SCORES = f"{EXPORTED}/metrics.json"
PARITY = f"{EXPORTED}/parity.json"


@dataclass(frozen=True)
class Stage:
    """A stage of `dvc.yaml`.

    Attributes:
        name: Name in `dvc.yaml`, of the command and of the record.
        purpose: Sentence that says what the stage did.
        product: Name under which lineage shows its result.
        outputs: Folders it writes; ingest writes one below its folder, named after the delivery.
        artifacts: Files that its MLflow run keeps beside the record; the first is the one a person opens. Those of
            ingest lie in the folder of the delivery.
    """

    name: str
    purpose: str
    product: str
    outputs: tuple[str, ...]
    artifacts: tuple[str, ...]

    @property
    def record(self) -> Path:
        """Path of the record."""
        return record_path(self.name)


_TABLE = (
    Stage(
        "ingest",
        purpose="Read every image and its truth into shards, and split them.",
        product="shards of a delivery",
        outputs=(INGESTED,),
        artifacts=(INGESTED_CLASS_MAP, INGESTED_MANIFEST),
    ),
    Stage(
        "validate",
        purpose="Put the deliveries together, and judged the data before anything learns from it.",
        product="interim shards, validation report",
        outputs=(INTERIM, VALIDATION),
        artifacts=(f"{VALIDATION}/validation.md", FINDINGS, CLASS_MAP, MANIFEST),
    ),
    Stage(
        "augment",
        purpose="Made the training views.",
        product="training views",
        outputs=(AUGMENTED,),
        artifacts=(f"{AUGMENTED}/preview.png", f"{AUGMENTED}/statistics.json", f"{AUGMENTED}/policy.json"),
    ),
    Stage(
        "pretrain-load",
        purpose="Fitted pretrained weights to the model.",
        product="pretrained weights",
        outputs=(PRETRAINED,),
        artifacts=(PRETRAINED_CARD,),
    ),
    Stage(
        "fine-tune",
        purpose="Adapted the pretrained model to the images.",
        product="fine-tuned weights",
        outputs=(FINE_TUNED, FINE_TUNING),
        artifacts=(
            f"{FINE_TUNING}/curves.png",
            CURVES,
            f"{FINE_TUNING}/parameter_groups.csv",
            f"{FINE_TUNING}/summary.json",
            SEEN,
        ),
    ),
    Stage(
        "evaluate",
        purpose="Scored the model on images it was not trained on.",
        product="evaluation report",
        outputs=(EVALUATION,),
        artifacts=(REPORT, SCORES),
    ),
    Stage(
        "export",
        purpose="Exported the model and compared it with the original.",
        product="exported file",
        outputs=(EXPORTED,),
        artifacts=(MODEL_CARD, PARITY, EXPORTED_SCORES),
    ),
)
STAGES = {stage.name: stage for stage in _TABLE}  # in the order they run in
INGEST, LATER = "ingest", "ingest-delivery"  # of the first delivery, and of those after it, one instance each


def stage_of(name: str) -> Stage:
    """The stage of a name in `dvc.lock`; every delivery has an instance of ingest."""
    return STAGES[INGEST if is_ingest(name) else name]


def instance_of(delivery: str) -> str:
    """Name in `dvc.lock` of the instance of ingest that reads a later delivery."""
    return f"{LATER}@{delivery}"


def delivery_of(name: str) -> str | None:
    """The delivery that an instance of ingest reads; None for the first, and for any other stage."""
    return name.removeprefix(f"{LATER}@") if name.startswith(f"{LATER}@") else None


def is_ingest(name: str) -> bool:
    """Tell whether a name is that of ingest, or of one of its instances."""
    return name == INGEST or delivery_of(name) is not None


def record_path(stage: str) -> Path:
    """Path of the record of a stage, or of an instance of ingest."""
    delivery = delivery_of(stage)
    return RECORDS / f"{stage if delivery is None else f'{INGEST}-{delivery}'}.json"


def measured_path(stage: str) -> Path:
    """Path of what a clock decided of a stage; of the same name as its record."""
    return MEASURED / record_path(stage).name


def recorded_stages() -> list[str]:
    """The names of the stages and instances that have a record here, in the order they run in."""
    files = (path.stem for path in sorted(RECORDS.glob(f"{INGEST}-*.json")))
    later = [instance_of(name.removeprefix(f"{INGEST}-")) for name in files]
    return [name for name in in_order([*STAGES, *later]) if record_path(name).is_file()]


def in_order(names: Iterable[str]) -> list[str]:
    """Sorts names of stages by the order they run in, instances of ingest by their delivery."""
    order = list(STAGES)
    known = [name for name in names if is_ingest(name) or name in STAGES]
    return sorted(known, key=lambda name: (order.index(stage_of(name).name), name))


def artifacts_of(stage: str, files: Iterable[str]) -> list[str]:
    """The files of a record that its MLflow run keeps beside it."""
    if not is_ingest(stage):
        return [path for path in STAGES[stage].artifacts if path in set(files)]
    names = [PurePosixPath(path).name for path in STAGES[INGEST].artifacts]
    return sorted(path for path in files if PurePosixPath(path).name in names)


def maker_of(path: str) -> str | None:
    """Name of the stage that writes an output, or the file or folder in one; None if no stage does."""
    return next((stage.name for stage in _TABLE if is_within(path, *stage.outputs)), None)


def is_within(path: str, *folders: str) -> bool:
    """Tell whether a path is one of the folders or lies in one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def weights_source(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The source that weights were read from: what `self_supervised` starts from, any other itself.

    Args:
        params: Params of a record of pretrain-load; of any other stage there is no such source.
    """
    source = params.get("pretrain_load", {}).get("source", {})
    return source.get("start", source) if isinstance(source, Mapping) else {}
