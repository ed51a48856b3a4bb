"""Loads foreign weights into a model, tensor by tensor, and records the fate of each."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError
from graft.models.architectures import Model
from graft.models.architectures.vit import resample_positions
from graft.models.initialisations import apply
from graft.models.parts.same_padding import has_same_padding
from graft.models.parts.stem import spread
from graft.models.parts.timm_library import outline
from graft.models.weights.source import Source

# Prefixes that other programs use for what is `backbone.` and `head.` here. The spelling that fits best is taken.
SPELLINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "Graft": (("", ""),),
    "torchvision segmenter": (("aux_classifier.", "auxiliary."), ("classifier.", "head."), ("", "")),
    "torchvision classifier with features": (("features.", "backbone."), ("classifier.", "head.classifier.")),
    "segmentation-models-pytorch": (("encoder.", "backbone."), ("", "head.")),
    "torchvision ResNet": (
        ("fc.", "head.fc."),
        ("AuxLogits.", "auxiliary.AuxLogits."),
        ("", "backbone."),
    ),
    "torchvision classifier": (("classifier.", "head.classifier."), ("", "backbone.")),
    "timm classifier": (("classifier.", "head.fc."), ("", "backbone.")),
    "backbone alone": (("", "backbone."),),
    "timm's model as encoder": (("", "backbone.model."),),
    "Graft, backbone below features": (("backbone.", "backbone.features."),),
    "Graft, features as backbone": (("backbone.features.", "backbone."),),
    "Graft, timm's model as encoder": (("backbone.", "backbone.model."),),
    "Graft, encoder as timm's model": (("backbone.model.", "backbone."),),
}
# torchvision's DenseNet files say `norm.1` where its models say `norm1` (torchvision.models.densenet._load_state_dict).
DOTTED_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
LEAST_BACKBONE_FRACTION = 0.5


@dataclass
class Match:
    """Fate of each tensor; every list is in order of name.

    Attributes:
        matched: Names (ours) of tensors whose values were taken over unchanged.
        resized: Lines on tensors whose values were adapted: class rows picked by name, another number of input
            channels, or position embeddings of another grid.
        reinitialised: Names (ours) of tensors that kept their initialisation.
        left_out: Names (theirs) of tensors that have no place in our model.
        backbone_fraction: Share of the values in the backbone that were taken over.
        known_classes: Names (ours) of the classes whose rows in the class layers were taken over, in order of id.
    """

    matched: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    reinitialised: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    backbone_fraction: float = 0.0
    known_classes: list[str] = field(default_factory=list)


def load_into(
    model: Model, source: Source, class_names: Sequence[str], part: Literal["all", "backbone"] = "all"
) -> Match:
    """Takes over from `source` what fits `model`, or its backbone alone; all else keeps its initialisation.

    Names are mapped from the spelling that fits best. Rows of class layers are matched by class name where the source
    knows its classes; a source without class names must have as many. A first convolution for another number of input
    channels is spread over ours (`spread`); the position embeddings of a vision transformer for another
    image size are resampled to ours.

    Raises:
        GraftError: The source holds values that are not finite, less than half of the backbone fits, or it pads
            otherwise than the network of the weights.
    """
    assert source.state is not None
    _refuse_non_finite(source)
    match, new = match_tensors(model, source, class_names, part)
    model.load_state_dict({**model.state_dict(), **new})
    return match


def match_tensors(
    model: Model, source: Source, class_names: Sequence[str], part: Literal["all", "backbone"] = "all"
) -> tuple[Match, dict[str, Tensor]]:
    """Finds what of `source` fits `model`, without loading it; arguments as in `load_into`.

    Returns:
        The fate of each tensor, and those to load, by name. Of tensors on the meta device only shapes are compared.

    Raises:
        GraftError: Less than half of the backbone fits, or it pads otherwise than the network of the weights.
    """
    assert source.state is not None
    state = {_current_name(name): tensor for name, tensor in source.state.items()}
    ours = model.state_dict()
    mapped = max(
        (_respell(state, spelling) for spelling in SPELLINGS.values()), key=lambda names: _fit(names, state, ours)
    )
    match, new = Match(), {}
    for name, tensor in sorted(ours.items()):
        wanted = name in mapped and (part == "all" or name.startswith("backbone."))
        theirs = state[mapped[name]] if wanted else None
        taken, how = (None, "") if theirs is None else _adapt(name, theirs, tensor, model, source, class_names)
        if taken is None:
            match.reinitialised.append(name)
            continue
        new[name] = taken.to(tensor.dtype)
        match.resized.append(f"{name}: {how}") if how else match.matched.append(name)
    match.left_out = sorted(set(state) - {mapped[name] for name in new})
    match.backbone_fraction = _backbone_fraction(model, new)
    match.known_classes = _known_classes(model, source, class_names, new)
    _refuse_useless(match, source, state, ours)
    _refuse_other_padding(model, source)
    return match, new


def initialise_rest(model: Model, match: Match, initialisation: Choice, seed: int) -> dict[str, str]:
    """Initialises the tensors that no source provided, and returns by name how each was initialised.

    In training from scratch those are all of them.

    Args:
        model: Model that the match was made for; changed in place.
        match: Fate of its tensors.
        initialisation: Choice out of INITIALISATIONS.
        seed: Seed of everything that is drawn.
    """
    initialise = initialisation()
    filled = set() if initialise is None else apply(initialise, model, set(match.reinitialised), seed)
    how = {True: initialisation.name, False: "as its library does"}
    return {name: how[name in filled] for name in match.reinitialised}


def _current_name(name: str) -> str:
    return DOTTED_DENSENET.sub(r"\1\2", name.removeprefix("module."))


def _respell(state: Mapping[str, Tensor], spelling: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Our name to theirs; the first prefix that fits a name maps it."""
    mapped = {}
    for name in state:
        prefix = next(((theirs, ours) for theirs, ours in spelling if name.startswith(theirs)), None)
        if prefix is not None:
            mapped[prefix[1] + name.removeprefix(prefix[0])] = name
    return mapped


def _fit(mapped: Mapping[str, str], state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> tuple[int, int]:
    """Number of tensors that would fit as they are, then of those that we have in whatever shape: these may adapt."""
    shared = {name: theirs for name, theirs in mapped.items() if name in ours}
    return sum(state[theirs].shape == ours[name].shape for name, theirs in shared.items()), len(shared)


def _adapt(
    name: str, theirs: Tensor, ours: Tensor, model: Model, source: Source, class_names: Sequence[str]
) -> tuple[Tensor | None, str]:
    """The values for our tensor (None: nothing fits), and how they were adapted (empty: not at all)."""
    if name.rpartition(".")[0] in model.class_layers and source.class_names is not None:
        return _adapt_class_rows(theirs, ours, source.class_names, class_names)
    if theirs.shape == ours.shape:
        return theirs, ""
    if name.endswith(".pos_embedding"):
        return _adapt_positions(theirs, ours)
    is_stem = name == _stem(model)
    if is_stem and theirs.ndim == ours.ndim and theirs.shape[0] == ours.shape[0] and theirs.shape[2:] == ours.shape[2:]:
        return spread(theirs, ours.shape[1]), f"{theirs.shape[1]} input channels to {ours.shape[1]}"
    return None, ""


def _adapt_positions(theirs: Tensor, ours: Tensor) -> tuple[Tensor | None, str]:
    """Embeddings [1, 1 + wanted², D] of a class token and a square grid, out of [1, 1 + given², D]."""
    if theirs.ndim != ours.ndim or theirs.shape[::2] != ours.shape[::2] or theirs.shape[1] < 2:
        return None, ""
    given, wanted = (math.isqrt(embedding.shape[1] - 1) for embedding in (theirs, ours))
    if given**2 + 1 != theirs.shape[1]:
        return None, ""
    taken = resample_positions(theirs.to(ours.dtype), given, wanted, wanted)
    return taken, f"positions of {given} x {given} patches to {wanted} x {wanted}"


def _adapt_class_rows(
    theirs: Tensor, ours: Tensor, their_names: Sequence[str], our_names: Sequence[str]
) -> tuple[Tensor | None, str]:
    """Rows of the classes that both know, by name; our initial values for the others."""
    rows = {_comparable_name(name): row for row, name in enumerate(their_names)}
    shared = [
        (row, rows[_comparable_name(name)]) for row, name in enumerate(our_names) if _comparable_name(name) in rows
    ]
    if not shared or theirs.shape[1:] != ours.shape[1:] or theirs.shape[0] != len(their_names):
        return None, ""
    if theirs.shape == ours.shape and shared == [(row, row) for row in range(len(our_names))]:
        return theirs, ""
    to, origin = (list(rows) for rows in zip(*shared, strict=True))
    taken = ours.clone()
    taken[to] = theirs[origin].to(ours.dtype)
    return taken, f"{len(shared)} of {len(our_names)} classes by name, from {len(their_names)}"


def _known_classes(model: Model, source: Source, class_names: Sequence[str], new: Mapping[str, Tensor]) -> list[str]:
    """The classes that the taken rows of the head's class layers tell apart; of a source without names, all."""
    if not all(f"{layer}.weight" in new for layer in model.class_layers if layer.startswith("head.")):
        return []
    return shared_names(class_names, source.class_names or class_names)


def shared_names(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Those of our class names that are among theirs, capitals and punctuation aside."""
    known = {_comparable_name(name) for name in theirs}
    return [name for name in ours if _comparable_name(name) in known]


def _comparable_name(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _stem(model: Model) -> str:
    """The name of the first convolution's weights, empty where there is none."""
    return next((f"backbone.{name}" for name, tensor in model.backbone.named_parameters() if tensor.ndim == 4), "")


def _backbone_fraction(model: Model, new: Mapping[str, Tensor]) -> float:
    sizes = {f"backbone.{name}": parameter.numel() for name, parameter in model.backbone.named_parameters()}
    return sum(size for name, size in sizes.items() if name in new) / sum(sizes.values())


def _refuse_non_finite(source: Source) -> None:
    state = {_current_name(name): tensor for name, tensor in (source.state or {}).items()}
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if broken:
        raise GraftError.of_all(
            f"{source.origin}: weights that are not finite", broken[:5], remedy="fetch or train them again"
        )


def _refuse_useless(match: Match, source: Source, state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> None:
    if match.backbone_fraction >= LEAST_BACKBONE_FRACTION:
        return
    if source.widths:
        raise GraftError(
            f"only {match.backbone_fraction:.0%} of the model's backbone is in these weights, which were pruned",
            where=source.origin,
            rule="narrowed layers fit a network of the same `model` alone, with every option the same",
            remedy=f"set model: {json.dumps(dict(source.architecture or {}))}, or pretrain_load.source to weights that "
            "were not pruned",
        )
    raise GraftError(
        f"only {match.backbone_fraction:.0%} of the model's backbone is in these weights ({source.description}); "
        f"they hold {', '.join(sorted(state)[:3])}, …; the model wants {', '.join(sorted(ours)[:3])}, …",
        where=source.origin,
        rule=f"at least {LEAST_BACKBONE_FRACTION:.0%} of the backbone's values must be taken over",
        remedy="choose weights of the architecture in `model`, or set pretrain_load.source to {name: none}",
    )


def _refuse_other_padding(model: Model, source: Source) -> None:
    """Refuses weights whose tensors fit by name and shape, but give other features: some networks exist in two forms.

    With TensorFlow's padding, as in `tf_efficientnet_lite0`, a stride begins one pixel away from where torch's begins.
    """
    if source.timm_name is None or has_same_padding(model.backbone) == has_same_padding(outline(source.timm_name)):
        return
    name = source.timm_name.partition(".")[0]
    raise GraftError(
        f"these weights are of timm's {name}, which pads its convolutions otherwise than the model's backbone",
        where=source.origin,
        rule="features are those that were learnt only where the padding is: TensorFlow's (tf_…) or torch's",
        remedy=f"choose {name} itself in `model`: encoder: tu-{name}, or for classification the model timm with "
        f"variant: {name}",
    )
