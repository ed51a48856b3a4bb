"""Weights and the spec beside them, as safetensors and JSON: same content, same bytes, and nothing unpickles."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from graft.foundation.class_map import RGB
from graft.foundation.content import read_json, replace_file, write_json
from graft.foundation.errors import GraftError
from graft.models.architectures import Model, build
from graft.models.widths import narrow

WEIGHTS_FILE = "model.safetensors"
SPEC_FILE = "spec.json"
# The models that fine-tune leaves, by the name of their run: what people read, and their colour in every chart.
MODEL_NAMES = {"fine_tuned": "fine-tuned", "source_only": "source only", "baseline": "from scratch"}
MODEL_COLOURS = {"fine_tuned": "#0f766e", "source_only": "#b45309", "baseline": "#b3aa9b"}
# safetensors shuffles several metadata keys between processes; one key that holds sorted JSON keeps the bytes the same.
METADATA_KEY = "graft"


@dataclass(frozen=True)
class ModelSpec:
    """Everything beside the weights that turning an image into logits needs.

    Attributes:
        task: Task, `segmentation`, `classification` or `multilabel`.
        model: Name of the architecture and every option, as in `params.yaml`.
        num_classes: Number of classes, K.
        class_names: K names, in order of id.
        mean: Mean of each of the C channels for the normalisation, in 0..1.
        std: Standard deviation of each channel, in the same unit.
        resize: The resize rule with its options.
        padding_multiple: Height and width are padded to a multiple of this.
        synthetic: True if the training images were drawn by a program.
        min_side_px: Side to which shorter ones are padded; specs without it are of models that need no more than 32.
        channels: C names of the channels; specs without them are of pictures in red, green and blue.
        max_value: Largest value of a stack of channels, as in the class map; None for pictures.
        widths: Widths of the layers that pruning narrowed, by name and attribute; none of a model as it was designed.
        thresholds: K probabilities from which on an image has a class, where it may have several; none else.
    """

    task: str
    model: dict[str, Any]
    num_classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: dict[str, Any]
    padding_multiple: int
    synthetic: bool
    min_side_px: int = 32
    channels: tuple[str, ...] = RGB
    max_value: int | None = None
    widths: dict[str, dict[str, int]] = field(default_factory=dict)
    thresholds: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The spec as plain JSON values; without `thresholds` where there are none."""
        stored = json.loads(json.dumps(asdict(self)))
        if not self.thresholds:
            del stored["thresholds"]
        return stored

    def write(self, path: Path) -> None:
        """Writes the spec as JSON."""
        write_json(path, self.as_dict())

    @classmethod
    def read(cls, path: Path) -> ModelSpec:
        """The spec in a JSON file.

        Raises:
            GraftError: The file is missing, is not JSON, or has other fields.
        """
        return cls.of(read_json(path), where=path)

    @classmethod
    def of(cls, stored: Any, *, where: object = None) -> ModelSpec:
        """The spec out of plain JSON values; `GraftError` where fields are missing or unknown."""
        fields = {one.name: one for one in dataclasses.fields(cls)}
        missing = dataclasses.MISSING
        needed = {name for name, one in fields.items() if one.default is missing and one.default_factory is missing}
        if not isinstance(stored, dict) or not needed <= set(stored) <= set(fields):
            rule = f"a spec has exactly the fields {', '.join(sorted(fields))}"
            raise GraftError("not the spec of a model", where=where, rule=rule, remedy="rebuild the model: dvc repro")
        read: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
        return cls(**read)


def model_folder(root: Path, run: str) -> Path:
    """The folder of a run's model: that of `fine_tuned` is `root` itself, any other has its own in there."""
    return root if run == "fine_tuned" else root / run


def save_model(folder: Path, model: nn.Module | Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Writes `model.safetensors` and `spec.json`; the weights carry a copy of the spec."""
    state = model.state_dict() if isinstance(model, nn.Module) else model
    save_state(folder / WEIGHTS_FILE, state, spec.as_dict())
    spec.write(folder / SPEC_FILE)


def load_model(folder: Path, *, weights: str = WEIGHTS_FILE) -> tuple[Model, ModelSpec]:
    """The model of a folder, in evaluation mode, its floating point weights as float32.

    Raises:
        GraftError: A file is missing or damaged, or the weights are not those of the model the spec names.
    """
    spec = ModelSpec.read(folder / SPEC_FILE)
    state, _ = load_state(folder / weights)
    return restore_model(state, spec, where=folder / weights), spec


def restore_model(state: Mapping[str, Tensor], spec: ModelSpec, *, where: object) -> Model:
    """The model that a spec names with these weights, in evaluation mode.

    Raises:
        GraftError: They are the weights of another model; `where` says which.
    """
    model = narrow(build(spec.task, spec.model, spec.num_classes, len(spec.channels)), spec.widths)
    if problems := disagreements(model.state_dict(), state):
        raise GraftError.of_all(
            f"{where}: not the weights of the model in {SPEC_FILE}", problems[:5], remedy="rebuild the model: dvc repro"
        )
    model.load_state_dict(state)
    return model.eval()


def disagreements(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """A line for each tensor that is missing, unknown, or of another shape; empty when all fit."""
    lines = [f"{name}: missing" for name in expected if name not in found]
    lines += [f"{name}: unknown" for name in found if name not in expected]
    both = [name for name in expected if name in found and expected[name].shape != found[name].shape]
    return lines + [f"{name}: {list(found[name].shape)} instead of {list(expected[name].shape)}" for name in both]


def save_state(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes tensors and metadata (JSON values) as safetensors; the file is replaced at once or not at all."""
    from safetensors.torch import save

    # safetensors refuses channels-last tensors and tensors that share memory.
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state.items()}
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with replace_file(path) as pending:
        pending.write_bytes(save(plain, {METADATA_KEY: text}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and metadata (empty if another program wrote the file).

    Raises:
        GraftError: The file is missing, or is not intact safetensors.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise GraftError("file not found", where=path, remedy="run the stage that writes it: dvc repro")
    try:
        with safe_open(path, framework="pt") as file:
            # Copies: a tensor of `safe_open` is the mapped file itself, which may be replaced while we use it.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get(METADATA_KEY, "{}")
            return state, json.loads(text)
    except (SafetensorError, ValueError) as error:
        raise GraftError(
            f"damaged safetensors file ({error})", where=path, remedy="remove it and write or fetch it again"
        ) from None


def tensor_digest(state: Mapping[str, Tensor]) -> str:
    """Hex sha256 over names, types, shapes and values, whatever the order, layout or device of the tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
