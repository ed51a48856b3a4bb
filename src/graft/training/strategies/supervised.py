"""Supervised fine-tuning: labels say what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from graft.data.views.view import BatchSource
from graft.foundation.errors import GraftError
from graft.models.architectures import Model, WithAuxiliary
from graft.training.features import FeatureForward, FeatureViews, RememberingModel
from graft.training.forward import Forward
from graft.training.freezing import Normalisation, Train, Unfreeze, apply, exempt_from_decay
from graft.training.loop import Strategy
from graft.training.losses import WeightedSum
from graft.training.mixing.mixed_targets import MixedTargets
from graft.training.plan import Plan
from graft.training.strategies.combinations import movement_of, refusals
from graft.training.strategies.l2_sp import L2SP
from graft.training.strategies.re_estimation import re_estimate_on_views

Factor = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
NumEpochs = Annotated[int, Field(gt=0)]


class Supervised(Strategy):
    """Trains on the loss of the logits against the targets of the batch; the options say which parts train when.

    Args:
        loss: Loss to be minimised.
        options: Options of `supervised`, all of them.
    """

    def __init__(self, loss: WeightedSum, options: dict[str, Any]) -> None:
        if problems := refusals(options):
            raise problems[0] if len(problems) == 1 else GraftError.of_all("a strategy that makes no sense", problems)
        self.loss, self.options, self.movement = loss, options, movement_of(options)
        self.target_weights = loss.target_weights
        self.pull: L2SP | None = None
        self.rest: FeatureForward | None = None

    def parameter_groups(self, model: Model) -> list[dict[str, Any]]:
        """Freezes what never trains, and returns the rest as named groups; L2-SP takes the place of weight decay."""
        if problems := refusals(self.options, model=model):
            raise problems[0]
        alpha, beta = self.options["l2_sp_alpha"], self.options["l2_sp_beta"]
        groups = self.movement.parameter_groups(model, decay=not alpha)
        if alpha:
            exempt = exempt_from_decay(model)
            named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
            pretrained = [p for name, p in named if name.startswith("backbone.")]
            head = [p for name, p in named if not name.startswith("backbone.") and name not in exempt]
            self.pull = L2SP(pretrained, head, alpha, beta)
        return groups

    def begin_epoch(self, model: Model, epoch: int, epochs: int) -> None:
        """Unfreezes what trains from this epoch on."""
        self.movement.begin_epoch(model, epoch, epochs)

    def prepare(self, model: Model, views: BatchSource, forward: Forward) -> tuple[BatchSource, Callable[[Any], Any]]:
        """With `reuse_features` the views are features, and the forward is the rest of the model."""
        if not self.options["reuse_features"]:
            return views, forward
        self.rest = FeatureForward(forward, model)
        return FeatureViews(views, self.rest), self.rest

    def model_to_validate(self, model: Model) -> nn.Module:
        """With `reuse_features` the features of val images are remembered too."""
        return model if self.rest is None else RememberingModel(model, self.rest)

    def step(
        self, forward: Callable[[Any], Tensor | WithAuxiliary], images: Any, targets: Tensor | MixedTargets
    ) -> dict[str, Tensor]:
        """`loss`, and as part of it `l2_sp` where weights are pulled to their start.

        Args:
            forward: From images to logits.
            images: uint8 [B, C, H, W], or their features.
            targets: Long [B, H, W] or [B].
        """
        return self.in_all(self.loss(forward(images), targets))

    def in_all(self, loss: Tensor, **parts: Tensor) -> dict[str, Tensor]:
        """The loss with what is added to it, which is reported too, by name."""
        if self.pull is not None:
            parts["l2_sp"] = self.pull()
        return {"loss": sum(parts.values(), loss), **{name: part.detach() for name, part in parts.items()}}

    def finish(self, model: Model, views: BatchSource, forward: Forward, plan: Plan) -> None:
        """Measures normalisation statistics on the first view of the training images, if that was asked for."""
        if self.options["normalisation"] == "re_estimated":
            apply(model, self.movement.train)  # whatever has not thawed yet: a resumed training does not know
            re_estimate_on_views(model, forward, views, plan.batch_size)


def supervised(
    loss: WeightedSum,
    *,
    train: Train = "all",
    unfreeze: Unfreeze = "none",
    head_epochs: NumEpochs = 1,
    unfreeze_every_epochs: NumEpochs = 1,
    backbone_rate_factor: Factor = 1.0,
    layer_decay: Factor = 1.0,
    l2_sp_alpha: Strength = 0.0,
    l2_sp_beta: Strength = 0.0,
    normalisation: Normalisation = "trained",
    reuse_features: bool = False,
) -> Supervised:
    """Fine-tuning on labelled images; the options say what of the model moves, when, and how fast.

    The first thing to try is everything at one rate. Few labels, or images like those the backbone knows, call for
    less movement: a frozen backbone (cheapest with `reuse_features`), the head first, slower early layers, or L2-SP.
    Defaults leave all of it out.

    Args:
        loss: Loss to be minimised.
        train: Part that trains: `all`; `frozen_backbone`, all but the backbone; `head`, the class layers only. Frozen
            parts keep every bit, normalisation statistics included.
        unfreeze: `head_first` trains the head alone for `head_epochs`, then everything, so that a head that knows
            nothing does not pull the backbone about (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features");
            `gradual` begins with the head and adds the next deepest stage every `unfreeze_every_epochs` (Howard & Ruder
            2018, "Universal Language Model Fine-tuning", section 3.3).
        head_epochs: Number of epochs that `head_first` trains the head alone.
        unfreeze_every_epochs: Number of epochs between two stages of `gradual`; the paper has 1.
        backbone_rate_factor: Factor of the learning rate of the backbone; 0.1 is usual.
        layer_decay: Factor of the learning rate for each stage further from the head: 0.65 to 0.9 for
            ELECTRA and BEiT (Clark et al. 2020; Bao et al. 2022, appendices), 1/2.6 in Howard & Ruder 2018,
            section 3.2.
        l2_sp_alpha: Strength of the pull of the backbone to where it started, in place of weight decay (Li et al. 2018,
            "Explicit Inductive Bias for Transfer Learning", section 3); 0.1 is a value to begin the search with.
        l2_sp_beta: Strength of the pull of the head's weights to zero; a tenth of alpha is a beginning.
        normalisation: `trained`; `frozen` rests the backbone's normalisation layers, affine values and statistics, for
            batches too small to measure them; `re_estimated` measures the statistics anew with the best weights (Wu &
            Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3).
        reuse_features: Whether the features of the frozen layers are computed once for each view and kept in a
            temporary file, so that an epoch costs only what trains. It pays when there are more epochs than views.

    Raises:
        GraftError: Options that make no sense together.
    """
    options = dict(locals())
    return Supervised(options.pop("loss"), options)
