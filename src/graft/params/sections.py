"""The sections of `params.yaml`: one frozen, strict model each, every value explicit, no defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from graft.foundation.class_map import SPLITS

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Spec = str | dict[str, Any]
Patterns = Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)] | None


class Section(BaseModel):
    """A section of `params.yaml`: frozen, strict, without defaults."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def keys(cls) -> list[str]:
        """The keys of the section, by the names they have in the file."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @classmethod
    def subsections(cls) -> dict[str, type[Section]]:
        """The sections within this one, by the names they have in the file."""
        kinds = zip(cls.keys(), (field.annotation for field in cls.model_fields.values()), strict=True)
        return {key: kind for key, kind in kinds if isinstance(kind, type) and issubclass(kind, Section)}


class Preprocess(Section):
    """How an image becomes the model's input."""

    resize: Spec


class Runtime(Section):
    """The machine and the arithmetic; each value changes bits of the result."""

    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["float32", "bf16", "fp16"]
    channels_last: bool
    compile: bool
    num_threads: Positive
    deterministic: bool


class Delivery(Section):
    """A folder of images, and how they are read; only a delivery with images without labels says which these are."""

    root: Annotated[str, Field(min_length=1)]
    source: Spec
    unlabelled: Patterns = None

    @field_validator("root")
    @classmethod
    def root_fits_between_quotes(cls, root: str) -> str:
        """Refuses a path that would end the quotes around it in dvc.yaml."""
        if "'" in root or "\n" in root:
            raise ValueError("an apostrophe in this path ends the quotes around it in dvc.yaml: rename the folder")
        return root


class Ingest(Delivery):
    """The first delivery of images, those that came after it, and what holds for all of them."""

    unlabelled: Patterns
    split_seed: Count
    batch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    max_pixels: Positive
    deliveries: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")], Delivery]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all deliveries, in the order in which their classes get ids."""
        return (self.batch, *self.deliveries)

    def of(self, name: str) -> Ingest:
        """The section as it would stand if a later delivery were the only one."""
        own = {key: getattr(self.deliveries[name], key) for key in Delivery.model_fields}
        return self.model_copy(update={**own, "batch": name, "deliveries": {}})

    @model_validator(mode="after")
    def deliveries_are_told_apart(self) -> Ingest:
        """Refuses a name that is taken, and a delivery that is there already."""
        known = {self.batch: (self.root, self.source)}
        for name, delivery in self.deliveries.items():
            if name.lower() in (*SPLITS, self.batch.lower()):
                taken = "ingest.batch, the first delivery" if name.lower() == self.batch.lower() else "a split"
                raise ValueError(f"deliveries.{name}: this is the name of {taken}; choose another")
            if twin := next((other for other, one in known.items() if one == (delivery.root, delivery.source)), None):
                raise ValueError(f"deliveries.{name}: it has root and source of {twin}, so every image would be twice")
            known[name] = (delivery.root, delivery.source)
        return self


class Allowance(Section):
    """Images that one expectation is told to let through, and the reason."""

    expectation: str
    images: str
    reason: Annotated[str, Field(min_length=1)]


class Validate(Section):
    """The limits that `validate` judges images and masks by."""

    min_side_px: Positive
    max_aspect: Annotated[float, Field(ge=1)]
    min_luminance: Annotated[float, Field(ge=0, le=255)]
    max_luminance: Annotated[float, Field(ge=0, le=255)]
    min_class_fraction: Fraction
    max_void_fraction: Fraction
    near_duplicate_bits: Annotated[int, Field(ge=0, le=16)]
    allow: list[Allowance]


class CropSize(Section):
    """Height and width of a training view."""

    height_px: Annotated[int, Field(ge=32)]
    width_px: Annotated[int, Field(ge=32)]


class Augment(Section):
    """The training views, of which images they are, and where they are kept."""

    memory: Spec
    parent: Literal["none", "pretrained"]
    policy: Spec
    crop: CropSize
    views: Positive
    storage: Literal["materialised", "online"]
    unlabelled: Literal["none", "unlabelled"]
    unlabelled_views: Positive


class PretrainLoad(Section):
    """The pretrained weights, the images that their backbone learns from without labels, and what of them is used."""

    source: Spec
    images: Literal["none", "unlabelled", "train"]
    part: Literal["all", "backbone"]
    initialisation: Spec


class FineTune(Section):
    """The training."""

    strategy: Spec
    losses: Annotated[list[dict[str, Any]], Field(min_length=1)]
    class_weights: Literal["none", "inverse", "effective", "median_frequency", "enet"]
    sampling: Spec
    mixing: Spec
    optimizer: Spec
    learning_rate: Rate
    schedule: Spec
    log_prior_bias: bool
    warmup_epochs: Count
    warmup: Literal["linear", "constant", "exponential"]
    epochs: Positive
    sizes: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    batch_size: Positive
    accumulate_steps: Positive
    clip_norm: Rate | None
    clip_value: Rate | None
    averaging: Spec
    validate_every_epochs: Positive
    early_stopping_epochs: Positive | None
    baseline: bool
    baseline_learning_rate: Rate

    @model_validator(mode="after")
    def warmup_is_shorter_than_training(self) -> FineTune:
        """Refuses a warm-up that leaves no epoch to train in."""
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be smaller than epochs ({self.epochs})")
        return self

    @model_validator(mode="after")
    def sizes_grow_to_the_whole_within_training(self) -> FineTune:
        """Refuses views that shrink, that end smaller than the crop, or that grow more often than there are epochs."""
        if self.sizes != sorted(self.sizes) or self.sizes[-1] != 1:
            raise ValueError(f"sizes ({self.sizes}) must grow and end with 1, the whole crop, as in [0.5, 0.75, 1]")
        if len(self.sizes) > self.epochs:
            raise ValueError(f"sizes has {len(self.sizes)} values and epochs is {self.epochs}: each takes an epoch")
        return self

    @model_validator(mode="after")
    def every_loss_has_a_weight(self) -> FineTune:
        """Refuses a loss whose weight is missing or not positive."""
        weights = [loss.get("weight") for loss in self.losses]
        if not all(isinstance(weight, (int, float)) and weight > 0 for weight in weights):
            raise ValueError("each of losses needs a positive weight, as in {name: dice, weight: 0.5}")
        return self


class Predict(Section):
    """How large an image may be before it is tiled."""

    max_pixels: Annotated[int, Field(ge=65536)]
    overlap_px: Count


class TestTime(Section):
    """The scaled and mirrored copies of an image whose probabilities are averaged."""

    scales: Annotated[list[Annotated[float, Field(ge=0.25, le=4)]], Field(min_length=1)]
    flip: bool


class Evaluate(Section):
    """How the model is scored."""

    split: Literal["test", "val"]
    batch_size: Positive
    bootstrap_samples: Positive
    calibration_bins: Annotated[int, Field(ge=2)]
    boundary_fraction: Annotated[float, Field(gt=0, le=0.2)]
    test_time: TestTime


class Report(Section):
    """The pages for people; nothing here changes a score."""

    num_examples: Positive


class Export(Section):
    """The exported file, and how far it may differ from the model."""

    targets: Annotated[list[Spec], Field(min_length=1)]
    calibration: Literal["none", "train"]
    scan: Literal["none", "val"]
    weights_dtype: Literal["float32", "float16"]
    opset: Annotated[int, Field(ge=17)]
    parity_images: Positive
    max_logit_difference: Rate
    min_equal_fraction: Fraction
    max_score_difference: Rate

    @model_validator(mode="after")
    def onnx_is_a_target_and_none_is_there_twice(self) -> Export:
        """Refuses targets without `onnx`, which is served and promoted, and a target that would be written twice."""
        names = [target if isinstance(target, str) else target.get("name") for target in self.targets]
        if "onnx" not in names:
            raise ValueError("targets must hold onnx, the file that is served and promoted, as in [onnx, onnx_int8]")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"targets holds {twice} twice: each is written to one file")
        return self


class Promotion(Section):
    """The rules a model has to pass before `graft promote` makes it champion; no stage reads them."""

    min_score: Fraction
    margin: Fraction
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    bootstrap_samples: Annotated[int, Field(ge=100)]
    class_floors: dict[str, Fraction]
    domain_floors: dict[str, Fraction]
    delivery_floors: dict[str, Fraction]
    max_forgetting: Fraction | None
    max_bytes: Positive
    max_latency_ms: Rate | None
    max_latency_ratio: Rate | None


class Params(Section):
    """The whole of `params.yaml`."""

    task: Literal["segmentation", "classification", "multilabel"]
    seed: Count
    model: Spec
    preprocess: Preprocess
    runtime: Runtime
    ingest: Ingest
    validate_: Annotated[Validate, Field(alias="validate")]
    augment: Augment
    pretrain_load: PretrainLoad
    fine_tune: FineTune
    predict: Predict
    evaluate: Evaluate
    report: Report
    export: Export
    promotion: Promotion

    def section(self, name: str) -> Any:
        """The value of a key, by the name it has in the file: of a section, or of one value in it, `evaluate.split`."""
        value: Any = self
        for part in name.split("."):
            is_section = isinstance(value, Section)
            value = getattr(value, "validate_" if part == "validate" else part) if is_section else value[part]
        return value
