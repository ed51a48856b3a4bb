"""What a training starts from: the loss, the spec of the model to be, and its pretrained weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from graft.checkpoints import ModelSpec, disagreements, load_state
from graft.choices import Choice, resolve
from graft.class_weights import class_weights
from graft.datasets.resizing import RESIZES
from graft.errors import GraftError
from graft.losses import WeightedSum, resolve_losses
from graft.models import Model
from graft.sample import RGB, ClassMap

if TYPE_CHECKING:
    from graft.params import FineTune, Preprocess


def loss_of(fine_tune: FineTune, statistics: Mapping[str, Any]) -> WeightedSum:
    """The losses of `params.yaml`, their classes weighted by how often each occurs before augmentation."""
    weights = class_weights(fine_tune.class_weights, statistics["class_pixels_before"])
    return WeightedSum(resolve_losses(fine_tune.losses), weights)


def loss_facts(fine_tune: FineTune, loss: WeightedSum) -> dict[str, Any]:
    """The losses and class weights with nothing left to a default, for `summary.json`."""
    weights = None if loss.class_weights is None else loss.class_weights.tolist()
    return {"losses": loss.as_list(), "class_weights": {"kind": fine_tune.class_weights, "weights": weights}}


def spec_of(
    task: str,
    architecture: Choice,
    preprocess: Preprocess,
    classes: ClassMap,
    card: Mapping[str, Any],
    statistics: Mapping[str, Any],
    network: Model,
) -> ModelSpec:
    """All it takes, beside the weights, to turn an image into logits."""
    mean, std = normalisation_of(classes, card, statistics)
    return ModelSpec(
        task=task,
        model=architecture.as_dict(),
        num_classes=classes.num_classes,
        class_names=classes.names,
        mean=mean,
        std=std,
        resize=resolve(RESIZES, preprocess.resize, where="preprocess.resize").as_dict(),
        padding_multiple=network.padding_multiple,
        synthetic=classes.synthetic,
        min_side_px=network.min_side_px,
        channels=classes.channels,
        max_value=classes.max_value,
    )


def normalisation_of(
    classes: ClassMap, card: Mapping[str, Any], statistics: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, in 0..1.

    Those the pretrained weights expect where these have as many channels; else theirs for red, green and blue, and
    for every other channel those of the training images (a channel that never changes gets a deviation of one level).
    """
    channels, (mean, std) = classes.channels, (card["mean"], card["std"])
    if len(mean) == len(channels) and (len(channels) != len(RGB) or channels == RGB):
        return tuple(mean), tuple(std)
    known = dict(zip(RGB, zip(mean, std, strict=True), strict=True)) if len(mean) == len(RGB) else {}
    seen = zip(statistics["mean"], [max(value, 1 / 255) for value in statistics["std"]], strict=True)
    chosen = [known.get(name, of_training) for name, of_training in zip(channels, seen, strict=True)]
    return tuple(value for value, _ in chosen), tuple(value for _, value in chosen)


def with_log_prior(network: Model, counts: np.ndarray, new: Collection[str]) -> Model:
    """The network, its new class layers changed so that it begins by predicting each class as often as it occurs.

    The bias of class k becomes log p_k, that of further class layers, which are added, zero: the first steps are not
    spent on learning what is rare (Lin et al. 2017, "Focal Loss for Dense Object Detection", section 4.1, with the
    softmax for its sigmoid). Layers whose values came from a source stay as they are.

    Args:
        network: Changed in place.
        counts: Pixels (or images) of each class in the training data, int64 [K]; a class without any counts as one.
        new: Names of the tensors that no source provided.
    """
    shares = torch.from_numpy(counts).double().clamp(min=1)
    log_prior = (shares / shares.sum()).log()
    biases = [network.get_submodule(name).bias for name in network.class_layers if f"{name}.bias" in new]
    with torch.no_grad():
        for bias, value in zip(biases, [log_prior, *[torch.zeros_like(log_prior)] * len(biases)], strict=False):
            cast(torch.Tensor, bias).copy_(value)
    return network


def with_weights(network: Model, path: Path) -> Model:
    """The network with the weights of a file, all of them.

    Raises:
        GraftError: They are those of another model.
    """
    state, _ = load_state(path)
    if problems := disagreements(network.state_dict(), state):
        what = f"{path}: not the weights of the model in params.yaml"
        raise GraftError.of_all(what, problems[:5], remedy="run dvc repro, which loads the weights of this model first")
    network.load_state_dict(state)
    return network
