"""The start of training: the outputs of the stages before it and `params.yaml`, read and put together."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from graft.data.resize import RESIZES
from graft.data.views.view import UNLABELLED_VIEWS, open_views
from graft.foundation.choices import Choice, check_task, resolve
from graft.foundation.class_map import UNLABELLED, ClassMap
from graft.foundation.content import content_seed, read_json
from graft.foundation.errors import GraftError
from graft.models.architectures import Model, build_fresh, resolve_model
from graft.models.pins import Downloader, no_download
from graft.models.saved_model import ModelSpec, disagreements, load_state
from graft.models.widths import narrow
from graft.training.assembly import Assembly
from graft.training.class_weights import class_weights
from graft.training.loop import Training
from graft.training.losses import WeightedSum, resolve_losses
from graft.training.normalisation import normalisation_of
from graft.training.strategies import STRATEGIES
from graft.training.strategies import TASKS as STRATEGY_TASKS
from graft.training.strategies.teachers import teachers_of

if TYPE_CHECKING:
    from graft.params.sections import FineTune, Preprocess, Runtime


def loss_of(fine_tune: FineTune, statistics: Mapping[str, Any]) -> WeightedSum:
    """The losses of `params.yaml`, their classes weighted by how often each occurs before augmentation."""
    weights = class_weights(fine_tune.class_weights, statistics["class_pixels_before"])
    return WeightedSum(resolve_losses(fine_tune.losses), weights, of_labels=statistics["task"] == "multilabel")


def loss_facts(fine_tune: FineTune, loss: WeightedSum) -> dict[str, Any]:
    """The losses and class weights with nothing left to a default, for `summary.json`."""
    weights = None if loss.class_weights is None else loss.class_weights.tolist()
    return {"losses": loss.as_list(), "class_weights": {"kind": fine_tune.class_weights, "weights": weights}}


def strategy_of(spec: str | dict[str, Any], task: str) -> Choice:
    """The strategy of `params.yaml`, `loss -> Strategy`.

    Raises:
        GraftError: It cannot be used, or is not for this task.
    """
    choice = resolve(STRATEGIES, spec, where="fine_tune.strategy")
    check_task(choice, STRATEGY_TASKS, task, where="fine_tune.strategy")
    return choice


def spec_of(
    task: str,
    architecture: Choice,
    preprocess: Preprocess,
    classes: ClassMap,
    card: Mapping[str, Any],
    statistics: Mapping[str, Any],
    network: Model,
) -> ModelSpec:
    """The spec of the model: all that turns an image into logits, besides the weights."""
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
        widths=network.widths,
    )


def set_log_prior(network: Model, counts: np.ndarray, new: Collection[str], num_images: int | None = None) -> Model:
    """Sets the biases of new class layers so that the network begins by predicting each class as often as it occurs.

    The bias of class k becomes log p_k, that of further class layers, which are added, zero: the first steps are not
    spent on learning what is rare (Lin et al. 2017, "Focal Loss for Dense Object Detection", section 4.1, with the
    softmax for its sigmoid). Where an image may have several labels it is the sigmoid, and log p_k / (1 - p_k). Layers
    whose values came from a source stay as they are.

    Args:
        network: Network, changed in place.
        counts: Pixels (or images) of each class in the training data, int64 [K]; a class without any counts as one.
        new: Names of the tensors that no source provided.
        num_images: Number of the training images, where each has any number of labels; None where it has one.
    """
    if num_images is None:
        shares = torch.from_numpy(counts).double().clamp(min=1)
        log_prior = (shares / shares.sum()).log()
    else:
        shares = torch.from_numpy(counts).double().clamp(1, max(num_images - 1, 1))
        log_prior = (shares / num_images).logit(eps=1e-6)
    biases = [network.get_submodule(name).bias for name in network.class_layers if f"{name}.bias" in new]
    with torch.no_grad():
        for bias, value in zip(biases, [log_prior, *[torch.zeros_like(log_prior)] * len(biases)], strict=False):
            cast(torch.Tensor, bias).copy_(value)
    return network


def load_weights(network: Model, path: Path) -> Model:
    """Loads the weights of a file into the network, and returns it.

    Raises:
        GraftError: The weights are those of another model.
    """
    state, _ = load_state(path)
    if problems := disagreements(network.state_dict(), state):
        what = f"{path}: not the weights of the model in params.yaml"
        raise GraftError.of_all(what, problems[:5], remedy="run dvc repro, which loads the weights of this model first")
    network.load_state_dict(state)
    return network


def seen_before(pretrained: Path) -> list[str]:
    """The digests of the images from which the backbone learnt without labels in pretrain-load; mostly none."""
    path = pretrained / "seen.json"
    return read_json(path)[UNLABELLED] if path.is_file() else []


@dataclass(frozen=True)
class TrainingStart:
    """All that a training starts from.

    Attributes:
        assembly: The parts that all trainings share: params, views and the spec of the model.
        loss: The loss to be minimised, on the CPU.
        card: Card of the pretrained weights.
        scratch: The model before any weights are loaded.
        pretrained: Folder of the pretrained weights.
    """

    assembly: Assembly
    loss: WeightedSum
    card: Mapping[str, Any]
    scratch: Model
    pretrained: Path

    @property
    def spec(self) -> ModelSpec:
        """The spec of the model: all that turns an image into logits, besides the weights."""
        return self.assembly.spec

    def model(self) -> Model:
        """The model with the pretrained weights.

        Raises:
            GraftError: The weights are those of another model.
        """
        network = load_weights(copy.deepcopy(self.scratch), self.pretrained / "weights.safetensors")
        return self._with_log_prior(network, self.card["reinitialised"])

    def training(self, learning_rate: float) -> Training:
        """The training of that model by the strategy of the params.

        Raises:
            GraftError: An option cannot be used, or the device is not there.
        """
        strategy = strategy_of(self.assembly.params.strategy, self.spec.task)
        return self.assembly.training(self.model(), strategy(self.loss.to(self.assembly.device())), learning_rate)

    def from_scratch(self) -> Model:
        """The model before any weights are loaded."""
        return self._with_log_prior(self.scratch, self.scratch.state_dict())

    def _with_log_prior(self, network: Model, new: Collection[str]) -> Model:
        if not self.assembly.params.log_prior_bias:
            return network
        counts = self.assembly.views.class_counts
        return set_log_prior(network, counts.sum(axis=0), new, len(counts) if self.spec.task == "multilabel" else None)


def begin(
    task: str,
    seed: int,
    model: str | dict[str, Any],
    preprocess: Preprocess,
    runtime: Runtime,
    fine_tune: FineTune,
    augmented: Path,
    class_map: Path,
    pretrained: Path,
    download: Downloader = no_download,
) -> TrainingStart:
    """Reads all that a training starts from; `download` fetches teachers that are registered models.

    Raises:
        GraftError: A file is missing or damaged, or a choice cannot be used.
    """
    classes, architecture = ClassMap.read(class_map), resolve_model(task, model)
    card, statistics = read_json(pretrained / "card.json"), read_json(augmented / "statistics.json")
    scratch = build_fresh(task, architecture, classes.num_classes, content_seed(seed, "scratch"), len(classes.channels))
    narrow(scratch, card.get("widths", {}))
    spec = spec_of(task, architecture, preprocess, classes, card, statistics, scratch)
    known = tuple(card.get("known_classes", ()))  # cards written before there were such strategies lack it
    views, weak = open_views(augmented, task), augmented / UNLABELLED_VIEWS
    unlabelled = open_views(weak, task) if weak.is_dir() else None
    teachers = teachers_of(strategy_of(fine_tune.strategy, task).options, spec, download)
    assembly = Assembly(seed, fine_tune, runtime, views, spec, known, unlabelled, teachers)
    return TrainingStart(assembly, loss_of(fine_tune, statistics), card, scratch, pretrained)
