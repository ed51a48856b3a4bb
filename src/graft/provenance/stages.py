"""The table of the seven stages: what each writes, and what a person opens afterwards.

`dvc.yaml` owns every path of the pipeline; a contract test compares this table with it. No other module names a path
that a stage writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RECORDS = Path("reports/records")
MEASURED = Path("reports/measured")  # no output of a stage: what a clock decided is not the same twice
DATA_DOCS = Path("reports/data_docs")  # no output of a stage: Great Expectations writes times and random ids into it

INTERIM = "data/interim"
VALIDATION = "reports/validation"
AUGMENTED = "data/augmented"
PRETRAINED = "models/pretrained"
FINE_TUNED = "models/fine_tuned"
FINE_TUNING = "reports/fine_tuning"
EVALUATION = "reports/evaluation"
EXPORTED = "models/exported"

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
        outputs: Folders it writes.
        artifacts: Files that its MLflow run keeps beside the record; the first is the one a person opens.
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
        product="interim shards",
        outputs=(INTERIM,),
        artifacts=(CLASS_MAP, MANIFEST),
    ),
    Stage(
        "validate",
        purpose="Judged the data before anything learns from it.",
        product="validation report",
        outputs=(VALIDATION,),
        artifacts=(f"{VALIDATION}/validation.md", FINDINGS),
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


def record_path(stage: str) -> Path:
    """Path of the record of a stage."""
    return RECORDS / f"{stage}.json"


def maker_of(path: str) -> str | None:
    """Name of the stage that writes an output, or the file or folder in one; None if no stage does."""
    return next((stage.name for stage in _TABLE if is_within(path, *stage.outputs)), None)


def is_within(path: str, *folders: str) -> bool:
    """Tell whether a path is one of the folders or lies in one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
