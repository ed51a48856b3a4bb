"""Where training begins: what the stages before it wrote and what `params.yaml` says, read and put together."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.adaptation import STRATEGIES
from graft.assembling import Bench
from graft.checkpoints import ModelSpec
from graft.choices import resolve
from graft.datasets.views import open_views
from graft.losses import WeightedSum
from graft.models import Model, fresh, resolve_model
from graft.sample import ClassMap, content_seed, read_json
from graft.starting import loss_of, spec_of, with_log_prior, with_weights
from graft.training import Training

if TYPE_CHECKING:
    from graft.params import FineTune, Preprocess, Runtime


@dataclass(frozen=True)
class Beginning:
    """What a training begins with.

    Attributes:
        bench: What all trainings share: params, views and the spec of the model to be.
        loss: What is made small, on the CPU.
        card: Of the pretrained weights.
        scratch: The model before any weights are loaded.
        pretrained: Folder of the weights.
    """

    bench: Bench
    loss: WeightedSum
    card: Mapping[str, Any]
    scratch: Model
    pretrained: Path

    @property
    def spec(self) -> ModelSpec:
        """All it takes, beside the weights, to turn an image into logits."""
        return self.bench.spec

    def model(self) -> Model:
        """The model with the pretrained weights.

        Raises:
            GraftError: They are those of another model.
        """
        network = with_weights(copy.deepcopy(self.scratch), self.pretrained / "weights.safetensors")
        return self._begun(network, self.card["reinitialised"])

    def training(self, learning_rate: float) -> Training:
        """The training of that model by the strategy of the params.

        Raises:
            GraftError: An option cannot be used, or the device is not there.
        """
        strategy = resolve(STRATEGIES, self.bench.params.strategy, where="fine_tune.strategy")
        return self.bench.training(self.model(), strategy(self.loss.to(self.bench.device())), learning_rate)

    def from_scratch(self) -> Model:
        """The model before any weights are loaded."""
        return self._begun(self.scratch, self.scratch.state_dict())

    def _begun(self, network: Model, new: Collection[str]) -> Model:
        if not self.bench.params.log_prior_bias:
            return network
        return with_log_prior(network, self.bench.views.class_counts.sum(axis=0), new)


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
) -> Beginning:
    """Reads what training begins with.

    Raises:
        GraftError: A file is missing or damaged, or a choice cannot be used.
    """
    classes, architecture = ClassMap.read(class_map), resolve_model(task, model)
    card, statistics = read_json(pretrained / "card.json"), read_json(augmented / "statistics.json")
    scratch = fresh(task, architecture, classes.num_classes, content_seed(seed, "scratch"), len(classes.channels))
    spec = spec_of(task, architecture, preprocess, classes, card, statistics, scratch)
    bench = Bench(seed, fine_tune, runtime, open_views(augmented, task), spec)
    return Beginning(bench, loss_of(fine_tune, statistics), card, scratch, pretrained)
