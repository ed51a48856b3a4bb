"""The weights that come with Graft: LR-ASPP MobileNetV3-Large, pretrained by this pipeline on procedural scenes."""

from __future__ import annotations

from pathlib import Path

from graft.foundation.choices import Choice
from graft.foundation.content import read_json, sha256_of
from graft.foundation.errors import GraftError
from graft.models.pins import Downloader
from graft.models.saved_model import ModelSpec, load_state
from graft.models.weights.source import Source

FOLDER = Path(__file__).parent / "bundled_lraspp"


def bundled(task: str, model: Choice, download: Downloader) -> Source:
    """The bundled segmenter; its backbone also fits DeepLabV3 and the classifier on MobileNetV3-Large.

    The start that needs no network. It was trained from nothing on Graft's own daylight streets with strong photometric
    augmentation, and its card says so: it helps with streets and outdoor scenes, and may hurt far from them (on ants
    and bees a classifier from scratch did better).

    Raises:
        GraftError: The weights are not in this checkout, or are damaged.
    """
    return read_bundle(FOLDER)


def read_bundle(folder: Path) -> Source:
    """The weights of a folder that `make bundled` wrote, floating point values as they are stored (half precision)."""
    path = folder / "weights.safetensors"
    if not path.is_file():
        raise GraftError(
            "the bundled weights are not in this checkout",
            where=path,
            remedy="rebuild them with `make bundled`, or train from scratch: pretrain_load.source: {name: none}",
        )
    spec = ModelSpec.read(folder / "spec.json")
    state, _ = load_state(path)
    trained_on = "synthetic images" if spec.synthetic else "photographs"
    return Source(
        state,
        description=f"{spec.model['name']} that this pipeline trained on {trained_on} for {spec.task}",
        origin="bundled with Graft; rebuilt by pipeline/recipes/pretrain-scenes.yaml",
        licence="Apache-2.0",
        sha256=sha256_of(path),
        class_names=spec.class_names,
        mean=spec.mean,
        std=spec.std,
        metrics={name: value for name, value in read_json(folder / "metrics.json").items() if isinstance(value, float)},
    )
