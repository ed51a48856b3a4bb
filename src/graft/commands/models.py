"""A list of all models with what a choice needs: size, input rule, weights and their licence; works offline."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from graft.foundation.choices import Choice, option_rules
from graft.foundation.errors import GraftError
from graft.models.architectures import MODELS, build, family_of
from graft.models.parts.segmentation_models import UNIVERSAL
from graft.models.parts.timm_library import timm_names
from graft.models.weights.known_packages import KNOWN_PACKAGES
from graft.models.weights.torchvision import published_weights

NUM_CLASSES = 21
UNKNOWN = "unknown"
# Models that the bundled weights fit, all but the first by their backbone, and the licence of those weights.
SEGMENTERS = ("lraspp", "deeplabv3", "fcn")
BUNDLED = dict.fromkeys(
    [*((name, "mobilenet_v3_large") for name in SEGMENTERS), ("mobilenet_v3", "large")], "Apache-2.0"
)
# Building a model without values takes a tenth of a second, and an answer should come within a few seconds.
MOST_OUTLINED = 20


@dataclass(frozen=True)
class ModelRow:
    """One row of the list.

    Attributes:
        name: Name of the registry entry; `encoder` for a network that fits under any decoder.
        task: `segmentation` or `classification`.
        variant: Value of the option `variant`, `backbone` or `encoder`.
        num_parameters: Number of parameters for 21 classes; None if not counted, or if the library cannot build it.
        input_rule: Image sizes it accepts, in words.
        weights: Names of the weights that a source can load into it.
        licence: Licence of these weights.
    """

    name: str
    task: str
    variant: str
    num_parameters: int | None = None
    input_rule: str = ""
    weights: tuple[str, ...] = ()
    licence: str = UNKNOWN


def list_models(pattern: str | None, task: str | None) -> list[ModelRow]:
    """Lists each entry with its default variant; with a pattern, every entry, variant and encoder whose name matches.

    Args:
        pattern: Pattern with the wildcards `*`, `?` and `[…]`; without any, a part of the name.
        task: Task to restrict the list to; None for all.
    """
    rows = [row for row in _candidates(pattern is not None) if task is None or row.task == family_of(task)]
    if pattern is not None:
        wanted = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
        rows = [
            row for row in rows if fnmatch.fnmatchcase(row.variant, wanted) or fnmatch.fnmatchcase(row.name, wanted)
        ]
    outlined = rows if pattern is None else rows[:MOST_OUTLINED]
    return [_add_weights(_outline(row)) for row in outlined] + [_add_weights(row) for row in rows[len(outlined) :]]


def _candidates(with_variants: bool) -> Iterator[ModelRow]:
    for task, entries in MODELS.items():
        for name, entry in entries.items():
            option, default, values = _find_variants(entry)
            yield ModelRow(name, task, default)
            if with_variants and option != "encoder":
                yield from (ModelRow(name, task, value) for value in values if value != default)
    if with_variants:
        import segmentation_models_pytorch as smp

        encoders = [*smp.encoders.get_encoder_names(), *(f"{UNIVERSAL}{name}" for name in _untagged())]
        yield from (ModelRow("encoder", "segmentation", name) for name in encoders)


def _find_variants(entry: Any) -> tuple[str, str, Iterable[str]]:
    """Returns the option that selects the network, its default and its possible values."""
    hints, rules = get_type_hints(entry), option_rules(entry)
    for option in ("variant", "backbone", "encoder"):
        if option in rules:
            is_literal = get_origin(hints[option]) is Literal
            values = get_args(hints[option]) if is_literal else _untagged() if option == "variant" else ()
            return option, rules[option][1], values
    return "", "", ()


def _untagged() -> Iterator[str]:
    return (name for name in timm_names() if "." not in name)


def _outline(row: ModelRow) -> ModelRow:
    """Adds the number of parameters and the input rule, read from the model built without values."""
    import torch

    name = "fpn" if row.name == "encoder" else row.name
    option = "encoder" if row.name == "encoder" else _find_variants(MODELS[row.task][name])[0]
    spec = {"name": name, **({option: row.variant} if option else {})}
    try:
        with warnings.catch_warnings(action="ignore"):
            try:
                with torch.device("meta"):
                    model = build(row.task, spec, NUM_CLASSES)
            except GraftError:  # a Mix Transformer reads values while it is built
                model = build(row.task, spec, NUM_CLASSES)
    except GraftError:
        return replace(row, input_rule="not with this decoder" if option == "encoder" else "cannot be built here")
    part = model.backbone if row.name == "encoder" else model
    count = sum(parameter.numel() for parameter in part.parameters())
    return replace(row, num_parameters=count, input_rule=_rule(model))


def _rule(model: Any) -> str:
    if model.fixed_size_px:
        return f"exactly {model.fixed_size_px} px"
    multiple = f", multiples of {model.padding_multiple}" if model.padding_multiple > 1 else ""
    side = 4 * model.min_side_px
    return f"from {model.min_side_px} px{multiple}{', batches of 2' if model.needs_two(side, side) else ''}"


def _add_weights(row: ModelRow) -> ModelRow:
    """Adds the names of weights and their licences: those that packages hold first, for these need no network."""
    published, variant = _add_published(row), row.variant.removeprefix(UNIVERSAL)
    # Our own architectures leave the prefix out; in timm itself it tells TensorFlow's padding from its own.
    names = (variant,) if row.name in ("timm", "encoder") else (variant, f"tf_{variant}")
    packaged = {name: known.licence for name, known in KNOWN_PACKAGES.items() if known.timm_name in names}
    if not packaged:
        return published
    licences = [*packaged.values(), *(published.licence.split(", ") if published.weights else [])]
    distinct = {licence.casefold(): licence for licence in reversed(licences)}
    return replace(published, weights=(*packaged, *published.weights), licence=", ".join(reversed(distinct.values())))


def _add_published(row: ModelRow) -> ModelRow:
    name = row.variant.removeprefix(UNIVERSAL)
    if row.name == "timm" or row.variant.startswith(UNIVERSAL):
        tags, licence = _of_timm(name)
        return replace(row, weights=tags, licence=licence)
    published, licence = _of_torchvision(row)
    if bundled := BUNDLED.get((row.name, row.variant)):
        return replace(row, weights=("bundled", *published), licence=f"{bundled} (bundled), {licence}")
    return replace(row, weights=published, licence=licence)


def _of_torchvision(row: ModelRow) -> tuple[tuple[str, ...], str]:
    name = "fpn" if row.name == "encoder" else row.name
    members = published_weights(Choice(name, MODELS[row.task][name], {"variant": row.variant}))
    licences = {member.meta.get("license", UNKNOWN) for member in members.values()} or {UNKNOWN}
    return tuple(members), ", ".join(sorted(licences))


def _of_timm(name: str) -> tuple[tuple[str, ...], str]:
    import timm

    names = [name] if "." in name else timm.list_pretrained(f"{name}.*")
    licences = {(settings.license if (settings := timm.get_pretrained_cfg(tagged)) else None) for tagged in names}
    return tuple(tagged.partition(".")[2] for tagged in names), ", ".join(
        sorted(found or UNKNOWN for found in licences)
    )
