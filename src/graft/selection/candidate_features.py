"""Features of a candidate at the chosen points, computed once and shared by all scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from graft.foundation.class_map import RGB
from graft.foundation.content import content_digest, content_seed, replace_file
from graft.foundation.progress import progress
from graft.inference.embedding import pooled, tensors_in
from graft.inference.image_to_logits import prepare
from graft.inference.torch_runner import autocast, normalisation
from graft.models.architectures import Model, build_fresh
from graft.models.saved_model import ModelSpec, tensor_digest
from graft.models.weights.match import load_into
from graft.models.widths import narrow
from graft.selection.candidates import Candidate
from graft.selection.points import Points
from graft.training.normalisation import normalisation_of

if TYPE_CHECKING:
    from graft.models.pins import Downloader
    from graft.models.weights import Source
    from graft.params.sections import Runtime

CACHE = Path("reports/selection/features")
NOT_RESIZED = {"name": "none"}


@dataclass(frozen=True)
class PointFeatures:
    """Input of the scores; float32.

    Attributes:
        features: Features of the backbone, `[N, D]`: for segmentation all maps it hands to the head, side by side, each
            divided by its root mean square so that all stages count alike; for classification its averaged output.
        probabilities: Probabilities `[N, Z]` that the pretrained head gives to the Z classes it knows; None without
            such a head.
    """

    features: np.ndarray
    probabilities: np.ndarray | None


@dataclass(frozen=True)
class LoadedCandidate:
    """A candidate's network as its makers left it.

    Attributes:
        model: Model with the classes of its source, in evaluation mode.
        spec: Form in which it wants its input; images come resized.
        has_head: True if its class layers come from the source.
        source: Source of the weights.
    """

    model: Model
    spec: ModelSpec
    has_head: bool
    source: Source


def load_candidate(candidate: Candidate, points: Points, download: Downloader) -> LoadedCandidate:
    """Builds the network of a candidate with its weights, its head included if the source has one that fits.

    Raises:
        GraftError: The weights are not here, are not the pinned ones, or do not fit the architecture.
    """
    classes, seed = points.classes, content_seed(points.seed, "select", candidate.name)
    source = candidate.source(classes.task, candidate.model, download)
    names = source.class_names or classes.names
    model = build_fresh(classes.task, candidate.model, len(names), seed, len(classes.channels))
    narrow(model, source.widths_for(candidate.model))
    has_head = False
    if source.state is not None:
        left = load_into(model, source, names).reinitialised
        has_head = source.class_names is not None and not any(name.startswith("head.") for name in left)
    statistics = points.channel_statistics if classes.channels != RGB else {}
    mean, std = normalisation_of(classes, {"mean": source.mean, "std": source.std}, statistics)
    spec = ModelSpec(
        task=classes.task,
        model=candidate.model.as_dict(),
        num_classes=len(names),
        class_names=tuple(names),
        mean=mean,
        std=std,
        resize=NOT_RESIZED,
        padding_multiple=model.padding_multiple,
        synthetic=classes.synthetic,
        min_side_px=model.min_side_px,
        channels=classes.channels,
        max_value=classes.max_value,
        widths=model.widths,
    )
    return LoadedCandidate(model.eval(), spec, has_head, source)


def extract_features(
    loaded: LoadedCandidate, points: Points, name: str, runtime: Runtime, *, cache: Path = CACHE
) -> PointFeatures:
    """Returns features (and probabilities) of a network at the points, from the cache if they are in it.

    Args:
        loaded: The network.
        points: Points at which features are taken.
        name: Name of the candidate, for the progress display.
        runtime: Device, precision and memory layout.
        cache: Folder of one file for each network and set of points, named by the digest of both.
    """
    how = {"precision": runtime.precision, "device": runtime.device, "has_head": loaded.has_head, "version": 1}
    key = {"spec": loaded.spec.as_dict(), "tensors": tensor_digest(loaded.model.state_dict()), "points": points.digest}
    file = cache / f"{content_digest(key | how)}.npz"
    if file.is_file():
        with np.load(file, allow_pickle=False) as stored:
            return PointFeatures(stored["features"], stored.get("probabilities"))
    found = _compute(loaded, points, name, runtime)
    arrays: dict[str, Any] = {"features": found.features}
    if found.probabilities is not None:
        arrays["probabilities"] = found.probabilities
    with replace_file(file) as pending, pending.open("wb") as stream:
        np.savez(stream, **arrays)
    return found


def _compute(loaded: LoadedCandidate, points: Points, name: str, runtime: Runtime) -> PointFeatures:
    device = torch.device(runtime.device)
    layout = torch.channels_last if runtime.channels_last else torch.contiguous_format
    model = loaded.model.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch takes both at once
    scale, shift = (values.to(device) for values in normalisation(loaded.spec.mean, loaded.spec.std))
    maps: list[list[np.ndarray]] = []
    probabilities: list[np.ndarray] = []
    images = progress(points.images(), f"Features of {name}", total=len(points.rows), unit="image")
    with torch.inference_mode(), autocast(device.type, runtime.precision):
        for number, image in enumerate(images):
            pixels = prepare(image, loaded.spec, max_pixels=points.max_pixels)
            inputs = torch.from_numpy(pixels).to(device)[None].permute(0, 3, 1, 2).float() * scale + shift
            features = model.backbone(inputs)
            place = torch.from_numpy(points.places[number]).to(device) if points.places else None
            for layer, values in enumerate(_at(features, inputs, place)):
                if layer == len(maps):
                    maps.append([])
                maps[layer].append(values.float().cpu().numpy())
            if loaded.has_head:
                likely = torch.softmax(model.on_features(features, inputs.shape[-2:]).float(), 1)
                sampled = likely if place is None else _sample(likely, place, inputs.shape[-2:])
                probabilities.append(sampled.cpu().numpy())
    stacked = [np.concatenate(layer) for layer in maps]
    equalised = [layer / max(float(np.sqrt(np.mean(np.square(layer, dtype=np.float64)))), 1e-12) for layer in stacked]
    return PointFeatures(np.concatenate(equalised, axis=1), np.concatenate(probabilities) if probabilities else None)


def _at(features: Any, inputs: Tensor, place: Tensor | None) -> list[Tensor]:
    """Each map of a backbone's output at the places, `[P, C]`; for classification its averaged output, `[1, C]`."""
    if place is None:
        return [pooled(features)]
    # Encoders of segmentation-models-pytorch return the image itself first.
    maps = [layer for layer in tensors_in(features) if layer.ndim == 4 and layer.shape != inputs.shape]
    return [_sample(layer, place, inputs.shape[-2:]) for layer in maps]


def _sample(layer: Tensor, place: Tensor, size: Any) -> Tensor:
    """A map `[1, C, h, w]` of an input of `size` at (y, x) in the input's pixels, bilinear: `[P, C]`."""
    sides = torch.tensor(list(size), dtype=torch.float32, device=place.device)
    grid = (place / sides * 2 - 1).flip(1)[None, None]
    return F.grid_sample(layer.float(), grid, padding_mode="border", align_corners=False)[0, :, 0].T
