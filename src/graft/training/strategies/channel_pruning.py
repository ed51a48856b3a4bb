"""Channels that matter least are taken out of a network: Torch-Pruning says which layers lose them together."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from graft.foundation.errors import GraftError
from graft.models.architectures import Model
from graft.models.parts.pooling import MatrixPool
from graft.models.widths import changed_widths, narrow, num_macs, num_parameters, usual_size

Target = Literal["macs", "parameters"]
Importance = Literal["magnitude", "batch_norm_scale", "taylor"]
WHERE = "fine_tune.strategy"
NUM_SHARES = 256  # to which the share of channels is found
MOST_GUESSES = 5
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Pruning:
    """A target of pruning: how much of what is to be left, and which channels.

    Attributes:
        target: Quantity that is counted, the `macs` of an image or the `parameters`.
        importance: Measure by which a channel stays.
        num_channels: Number of channels of an image.
    """

    target: Target
    importance: Importance
    num_channels: int = 3

    def count(self, model: Model) -> int:
        """The MACs of a small image, or the parameters."""
        if self.target == "parameters":
            return num_parameters(model)
        return num_macs(model, usual_size(model), self.num_channels)

    def prune(self, model: Model, wanted: int, learn: Callable[[Model], None] | None = None) -> None:
        """Narrows the layers of the model until no more than `wanted` is left, and every layer loses the same share.

        Class layers, and attention with all that adds up to what it returns, keep their width. The shapes follow from
        the network alone; `importance` decides which channels of a layer stay:

        * `magnitude`: the square of the weights that make and read a channel (Li et al. 2017, "Pruning Filters");
        * `batch_norm_scale`: the factors of its normalisation (Liu et al. 2017, "Network Slimming");
        * `taylor`: how much the loss would change, to first order (Molchanov et al. 2019, equation 8).

        Args:
            model: Network, changed in place; frozen parameters stay frozen.
            wanted: Largest count that may be left.
            learn: Function that leaves the gradients of the loss in the parameters of a network; `taylor` needs it.

        Raises:
            GraftError: A layer would lose all its channels, or layers do not fit together afterwards.
        """
        place, left = self._search(model, wanted)
        if left is None:
            return
        example = _example(model, self.num_channels)
        if self.importance != self._shape_importance:
            left = _without(model, place / NUM_SHARES, self.importance, example, learn)
        widths, state = changed_widths(left, model), left.state_dict()
        shapes = {name: tensor.shape for name, tensor in narrow(copy.deepcopy(model), widths).state_dict().items()}
        if bare := [name for name, tensor in state.items() if tensor.shape != shapes[name]]:
            raise _not_prunable(f"{bare[0]} would become narrower, and belongs to no layer that has a width")
        narrow(model, widths).load_state_dict(state)
        _refuse_other_answers(left, model, example)

    def _search(self, model: Model, wanted: int) -> tuple[int, Model | None]:
        """The smallest share of its channels that every layer has to lose, in `NUM_SHARES`, and what is left then.

        Nothing (None) where none has to. Each try takes Torch-Pruning seconds, so that after the middle, at which every
        layer can lose channels, places are guessed by the count; what is left between them is halved if guesses fail.
        """
        low, high = (0, whole := self.count(model)), (NUM_SHARES, 0)
        if whole <= wanted:
            return 0, None
        example, kind = _example(model, self.num_channels), self._shape_importance
        prunable: set[str] = set()
        found, least, tries = None, 1.0, 0
        while high[0] - low[0] > 1:
            guesses = 0 < tries <= MOST_GUESSES
            place, tries = _guess(low, high, wanted) if guesses else (low[0] + high[0]) // 2, tries + 1
            left = _without(model, place / NUM_SHARES, kind, example)
            narrowed = set(changed_widths(left, model))
            prunable = prunable or narrowed
            if not prunable:
                raise _nothing_to_prune(model, self.importance)
            if prunable - narrowed:  # Torch-Pruning leaves a layer whole rather than without channels
                high = place, 0
                continue
            count = self.count(left)
            least = min(least, count / whole)
            if count <= wanted:
                high, found = (place, count), left
            else:
                low = place, count
        if found is None:
            raise _too_little(self.target, wanted / whole, least)
        return high[0], found

    @property
    def _shape_importance(self) -> Importance:
        """The importance that shapes are found by: which channels stay does not change how many do.

        Only without normalisation a layer has no scale to go by.
        """
        return "batch_norm_scale" if self.importance == "batch_norm_scale" else "magnitude"


def _guess(low: tuple[int, int], high: tuple[int, int], wanted: int) -> int:
    """A place between two others where about as much as wanted is left.

    What is left falls nearly with the square of the channels that stay, so its root falls nearly on a line.

    Args:
        low: A place, and what is left there: more than wanted.
        high: A later place, and what is left there: no more than wanted.
        wanted: Largest count that may be left.
    """
    before, after, root = math.sqrt(low[1]), math.sqrt(high[1]), math.sqrt(wanted)
    place = low[0] + math.ceil((high[0] - low[0]) * (before - root) / (before - after))
    return min(max(place, low[0] + 1), high[0] - 1)


def _without(
    model: Model,
    share: float,
    importance: Importance,
    example: Tensor,
    learn: Callable[[Model], None] | None = None,
) -> Model:
    """A copy of the model without this share of the channels of each layer."""
    import torch_pruning as tp

    measures = {
        "magnitude": tp.importance.GroupMagnitudeImportance,
        "batch_norm_scale": tp.importance.BNScaleImportance,
        "taylor": tp.importance.GroupTaylorImportance,
    }
    left = _with_plain_pooling(copy.deepcopy(model)).eval().requires_grad_(True)
    if learn is not None:
        learn(left)
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # on what it does with bare parameters
            pruner = tp.pruner.BasePruner(
                left,
                example,
                importance=measures[importance](),
                pruning_ratio=share,
                ignored_layers=_kept_whole(left),
                forward_fn=_all_outputs,
                in_channel_groups={},  # its own defaults are one dictionary for all pruners of a process
                out_channel_groups={},
                num_heads={},
            )
            pruner.step()
            _all_outputs(left, example)
    except Exception as error:  # on layers that it cannot follow it fails in many ways
        said = str(error).partition("\n")[0]
        raise _not_prunable(f"Torch-Pruning cannot follow its layers: {type(error).__name__}, {said}") from None
    left.zero_grad()
    return left


def _with_plain_pooling(model: Model) -> Model:
    """The model with torch's pooling for ours: Torch-Pruning needs minutes to follow a product of matrices."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, MatrixPool):
                setattr(module, name, nn.AdaptiveAvgPool2d((child.height, child.width)))
    return model


def _kept_whole(model: Model) -> list[nn.Module]:
    """The class layers, and attention: its heads share out the channels by numbers that no layer holds."""
    attention = [module for module in model.modules() if "attention" in type(module).__name__.lower()]
    return [*map(model.get_submodule, model.class_layers), *attention]


def _all_outputs(model: Model, images: Tensor) -> list[Tensor]:
    """Outputs of head and auxiliary head for images [B, C, H, W], so that the graph holds both."""
    features = model.backbone(images)
    return [head(features) for head in (model.head, model.auxiliary) if head is not None]


def _example(model: Model, num_channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, num_channels, *usual_size(model), generator=generator)
    return images.to(next(model.parameters()).device)


@torch.no_grad()
def _refuse_other_answers(left: Model, rebuilt: Model, example: Tensor) -> None:
    """Refuses a network that its spec would not bring back: the one narrowed by widths has to answer like it."""
    was_training = rebuilt.training
    pairs = zip(_all_outputs(left, example), _all_outputs(rebuilt.eval(), example), strict=True)
    agree = all(torch.allclose(theirs, ours, rtol=TOLERANCE, atol=TOLERANCE) for theirs, ours in pairs)
    rebuilt.train(was_training)
    if not agree:
        raise _not_prunable("built anew with the widths that are left it answers otherwise")


def _not_prunable(why: str) -> GraftError:
    return GraftError(
        f"the model cannot be pruned ({why})",
        where=WHERE,
        rule="what is left of the layers has to fit together, and the spec to bring the network back",
        remedy="choose another architecture in `model`, or fine_tune.strategy: sparsify or distil",
    )


def _nothing_to_prune(model: Model, importance: Importance) -> GraftError:
    of_norms = importance == "batch_norm_scale"
    what = "no layer is followed by batch normalisation" if of_norms else "no layer can lose channels"
    return GraftError(
        f"the model cannot be pruned ({what})",
        where=WHERE,
        rule="class layers and attention keep their width; batch_norm_scale goes by factors of batch normalisation",
        remedy="set importance: magnitude" if of_norms else "choose another architecture in `model`",
    )


def _too_little(target: Target, fraction: float, least: float) -> GraftError:
    return GraftError(
        f"{fraction:.2%} of the {target} would leave a layer without channels",
        where=f"{WHERE}.fraction",
        rule=f"every layer keeps at least one channel, and class layers and attention all of theirs: of this model at "
        f"least about {least:.1%} of the {target} stay",
        remedy=f"set fraction to {min(1.0, round(least + 0.005, 2)):g} or more, or choose a smaller architecture",
    )


def sizes_of(model: Model, size: Sequence[int], num_channels: int) -> dict[str, int]:
    """The `macs` of an image of this height and width, and the `parameters`."""
    return {"macs": num_macs(model, size, num_channels), "parameters": num_parameters(model)}
