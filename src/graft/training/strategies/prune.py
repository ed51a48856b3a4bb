"""Structured pruning: channels that matter least are taken out of a trained model, which then learns to do without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from torch import Tensor

from graft.data.views.view import BatchSource, Views
from graft.foundation.content import content_seed
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress, say, warn
from graft.models.architectures import Model
from graft.training.context import TrainingContext
from graft.training.forward import Forward
from graft.training.losses import WeightedSum
from graft.training.state import Trainee, ValidationResult
from graft.training.strategies.channel_pruning import WHERE, Importance, Pruning, Target, sizes_of
from graft.training.strategies.shared_options import completed, moving_as_supervised
from graft.training.strategies.supervised import Supervised

Fraction = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
# Training images by whose gradients `taylor` judges channels.
NUM_IMAGES = 128


class Pruned(Supervised):
    """Narrows the layers of the model before the first step, and again where further rounds begin.

    Args:
        loss: Loss to be minimised.
        pruning: Quantity that is counted, and measure by which channels stay.
        fraction: Share of the count that is left in the end; 1 leaves the model whole.
        rounds: Number of times that channels are taken out.
        round_epochs: Number of epochs from one time to the next.
        movement: Options of `supervised` on movement.
    """

    context: TrainingContext
    views: Views
    forward: Forward
    whole: dict[str, int]

    def __init__(
        self,
        loss: WeightedSum,
        pruning: Pruning,
        fraction: float,
        rounds: int,
        round_epochs: int,
        movement: dict[str, Any],
    ) -> None:
        super().__init__(loss, completed(movement))
        self.pruning, self.fraction = pruning, fraction
        self.rounds, self.round_epochs, self.round = rounds, round_epochs, 0
        if problem := start_that_moves(self.options):
            raise problem

    def begin(self, model: Model, context: TrainingContext) -> None:
        """Counts what the model has; says so where its class layers have learnt nothing yet."""
        self.context = context
        self.pruning = Pruning(self.pruning.target, self.pruning.importance, len(context.channels))
        self.count = self.pruning.count(model)
        if self.fraction < 1 and not context.known_classes:
            warn(
                "prune: the pretrained weights know none of the classes, so channels are judged by a model that is not "
                "trained for them; set pretrain_load.source to a model that was, {name: registry, model_uri: "
                "models:/NAME@champion}, run graft pin, and prune that"
            )

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """Keeps what the importance of channels is measured with."""
        assert isinstance(views, Views), "pixels, as no features are reused"
        self.views, self.forward = views, forward
        self.size = forward.padded_size(views.size)
        self.whole = self.now = sizes_of(model, self.size, len(self.context.channels))
        return super().prepare(model, views, forward)

    def begin_epoch(self, model: Model, epoch: int, epochs: int) -> None:
        """Unfreezes as `supervised`; refuses rounds that training has no epochs for."""
        if problem := rounds_problem(self.rounds, self.round_epochs, epochs, None):
            raise problem
        super().begin_epoch(model, epoch, epochs)

    def begin_batch(self, trainee: Trainee, batch: int) -> None:
        """Takes channels out where a round begins."""
        due = min(trainee.epoch // self.round_epochs + 1, self.rounds)
        if self.fraction == 1 or self.round == due:
            return
        self.round = due
        wanted = int(self.count * self.fraction ** (self.round / self.rounds))
        trainee.reshape(lambda model: self._prune(model, wanted))
        left = ", ".join(f"{name} {self.now[name] / self.whole[name]:.1%}" for name in self.whole)
        say(f"prune, round {self.round} of {self.rounds}: {left} of the whole model's")

    def worth(self, held: ValidationResult) -> float:
        """The val score; an epoch of a later round, when less is left, is worth more than any of those before."""
        return held.score + max(self.round - 1, 0)

    def measures(self) -> dict[str, float]:
        """The `macs` of a training view and the `parameters` that are left; nothing of a model that stays whole."""
        return {} if self.fraction == 1 else {name: float(count) for name, count in self.now.items()}

    def facts(self) -> dict[str, Any]:
        """The MACs of a training view and the parameters, before and after."""
        return {"pruned": {name: {"before": self.whole[name], "after": self.now[name]} for name in self.whole}}

    def state(self) -> dict[str, Any]:
        """The number of rounds that are done; the widths are part of the trainee."""
        return {"round": self.round, "now": self.now}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state`."""
        self.round, self.now = state["round"], state["now"]

    def _prune(self, model: Model, wanted: int) -> None:
        was_training = model.training
        self.pruning.prune(model, wanted, self._learn if self.pruning.importance == "taylor" else None)
        model.to(memory_format=self.forward.layout)
        model.train(was_training)
        self.now = sizes_of(model, self.size, len(self.context.channels))

    def _learn(self, model: Model) -> None:
        """Leaves the gradients of the loss in the parameters: of the first view of a sample of the training images.

        The loss is that of training, an auxiliary head's part in it too, while all layers stay in evaluation mode.
        """
        answer = self.forward.of(model, "float32")
        order = np.random.default_rng(content_seed(self.context.seed, "taylor")).permutation(self.views.num_samples)
        chosen, device = np.sort(order[:NUM_IMAGES]), self.forward.scale.device
        batches = self.views.batches(chosen, 0, self.context.batch_size, device)
        total = -(-len(chosen) // self.context.batch_size)
        targets: Tensor
        model.training = True  # the flag alone, by which the model answers with its auxiliary logits too
        for images, targets in progress(batches, "Measuring which channels matter", total=total, unit="batch"):
            (self.loss(answer(images), targets) * len(images) / len(chosen)).backward()
        model.training = False


def start_that_moves(options: Mapping[str, Any]) -> GraftError | None:
    """The error of weights that are pulled to where they started, while pruning takes their places away."""
    if not options["l2_sp_alpha"]:
        return None
    return GraftError(
        f"l2_sp_alpha: {options['l2_sp_alpha']} with strategy prune",
        where=WHERE,
        rule="L2-SP pulls weights to where they started, and pruned layers have other weights than at the start",
        remedy="leave l2_sp_alpha and l2_sp_beta out, or use the weight_decay of the optimizer",
    )


def rounds_problem(rounds: int, round_epochs: int, epochs: int, early_stopping_epochs: int | None) -> GraftError | None:
    """The error of rounds that training has no epochs for, or that early stopping could leave out."""
    if (rounds - 1) * round_epochs >= epochs:
        return GraftError(
            f"round {rounds} would begin in epoch {(rounds - 1) * round_epochs + 1}, training ends after {epochs}",
            where=WHERE,
            rule="every round trains for at least one epoch",
            remedy=f"set fine_tune.epochs to at least {(rounds - 1) * round_epochs + 1}, or fewer rounds",
        )
    if rounds > 1 and early_stopping_epochs is not None:
        return GraftError(
            f"rounds: {rounds} with fine_tune.early_stopping_epochs: {early_stopping_epochs}",
            where=WHERE,
            rule="only after the last round is the model as small as it was asked for",
            remedy="set fine_tune.early_stopping_epochs: null, or rounds: 1",
        )
    return None


@moving_as_supervised
def prune(
    loss: WeightedSum,
    *,
    fraction: Fraction,
    target: Target = "macs",
    importance: Importance = "magnitude",
    rounds: Count = 1,
    round_epochs: Count = 1,
    **movement: Any,
) -> Pruned:
    """Structured pruning: channels that matter least are taken out of a trained model, which learns to do without.

    For a model that has to be smaller or faster than it is, on any hardware: what is left is a plain network with
    narrower layers. Start from a *trained* model: set `pretrain_load.source` to a registered version (or, as a `file`,
    to weights that Graft exported elsewhere), with the same `model`. Which layers lose channels together follows from
    the dependencies of the network (Fang et al. 2023, "DepGraph", with its library Torch-Pruning). Every layer loses
    the same share, as little as brings the count down; class layers and attention keep their width, so that of a
    transformer only the layers between shrink. The widths that are left stand in the spec, by which evaluate, export
    and all others build the network; a model can be pruned again. It helps less where the architecture is small
    already. With `fraction: 1` it is `supervised`, to the bit.

    Args:
        loss: Loss to be minimised.
        fraction: Share of the count that is left, at most.
        target: Quantity that is counted: `macs`, multiplications with addition for one image, or `parameters`.
        importance: Measure by which a channel stays. `magnitude`: its weights (Li et al. 2017, "Pruning Filters for
            Efficient ConvNets"); `batch_norm_scale`: the factor of its normalisation (Liu et al. 2017, "Learning
            Efficient Convolutional Networks through Network Slimming"); `taylor`: how the loss on up to 128 training
            images would change to first order (Molchanov et al. 2019, "Importance Estimation for Neural Network
            Pruning", equation 8).
        rounds: Number of times that channels are taken out, each time by the same factor; momenta and averages of the
            weights begin anew with each. The weights that are kept are those of the best epoch after the last.
        round_epochs: Number of epochs from one round to the next.

    Raises:
        GraftError: A layer would be left without channels, the architecture cannot be pruned, or options make no sense
            together.
    """
    return Pruned(loss, Pruning(target, importance), fraction, rounds, round_epochs, movement)
