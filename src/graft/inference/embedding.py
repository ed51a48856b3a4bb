"""The embedding of an image: pooled features of the backbone, taken from the forward pass that gives its logits.

Legend of shape suffixes: B batch, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from graft.inference.image_to_logits import (
    Preparation,
    Runner,
    confidence_of,
    most_likely_classes,
    predict_confidence,
    predict_logits,
)
from graft.inference.label_decisions import decide_labels, label_confidence, label_probabilities
from graft.inference.tiles import TilingRule
from graft.inference.torch_runner import Normalisation, torch_runner
from graft.models.architectures import Model


class Form(Preparation, Normalisation, Protocol):
    """The form in which a torch model wants its input; `saved_model.ModelSpec` is one."""


class FeatureTap:
    """Keeps the pooled features of every forward pass that a model makes, whoever asks for it.

    Args:
        model: Model whose backbone is listened to for as long as it lives.
    """

    def __init__(self, model: Model) -> None:
        self._passes: list[np.ndarray] = []
        model.backbone.register_forward_hook(self._keep)

    def _keep(self, backbone: torch.nn.Module, inputs: Any, features: Any) -> None:
        self._passes.append(pooled(features).float().cpu().numpy())

    def take(self) -> np.ndarray:
        """Features of the images of the passes since the last call, float32 [B, D]; the mean, where tiles made several.

        All of these passes are of the same images: the one of a batch, or those of the tiles of one image.
        """
        passes, self._passes = self._passes, []
        return passes[0] if len(passes) == 1 else np.mean(passes, axis=0)


@dataclass(frozen=True)
class FeaturePrediction:
    """An image as a model sees it.

    Attributes:
        class_ids: uint8 [H, W], or for classification the class, int64 []; for multilabel uint8 [K], one for each class
            that the image is said to have.
        confidence: Probability of that class: float32 of the same shape; for multilabel the mean over the classes, [].
        features: Embedding of the image, float32 [D].
    """

    class_ids: np.ndarray
    confidence: np.ndarray
    features: np.ndarray


class FeaturePredictor:
    """A model that predicts an image and embeds it in one forward pass.

    Args:
        model: The model.
        spec: Form in which it wants its input.
        tiling: The largest input of one forward pass; the features of a larger image are the mean over its tiles.
        device: Device that it runs on.
    """

    def __init__(self, model: Model, spec: Form, tiling: TilingRule, *, device: torch.device | str = "cpu") -> None:
        self.spec, self.tiling = spec, tiling
        self._tap, self._runner = FeatureTap(model), torch_runner(model, spec, device=device)

    def predict(self, image: np.ndarray) -> FeaturePrediction:
        """Predicts and embeds one image, uint8 [H, W, C], in bounded memory."""
        predict = predict_confidence if self.spec.task == "segmentation" else _predict_label
        class_ids, confidence = predict(self._runner, image, self.spec, self.tiling)
        return FeaturePrediction(class_ids, confidence, self._tap.take()[0])


def pooled(features: Any) -> Tensor:
    """The deepest of a backbone's features, averaged over the places of a map [B, D, h, w] or tokens [B, N, D]: [B, D].

    Args:
        features: Features as a backbone returned them.
    """
    found = deepest(features)
    places = {4: (2, 3), 3: (1,)}.get(found.ndim)
    return found.mean(places) if places else found


def deepest(features: Any) -> Tensor:
    """The deepest of a backbone's features: `out` of a mapping that has it, else the last."""
    return features["out"] if isinstance(features, Mapping) and "out" in features else [*tensors_in(features)][-1]


def tensors_in(features: Any) -> Iterator[Tensor]:
    """Every tensor of a backbone's features: a tensor, or a nest of mappings and sequences of them."""
    if isinstance(features, Tensor):
        yield features
    else:
        for part in features.values() if isinstance(features, Mapping) else features:
            yield from tensors_in(part)


def _predict_label(
    runner: Runner, image: np.ndarray, spec: Preparation, tiling: TilingRule
) -> tuple[np.ndarray, np.ndarray]:
    logits = predict_logits(runner, image, spec, tiling)
    if spec.task == "multilabel":
        found = label_probabilities(logits)
        decided = decide_labels(found, spec.thresholds)
        return decided, np.asarray(label_confidence(found, decided), np.float32)
    return most_likely_classes(logits), confidence_of(logits)
