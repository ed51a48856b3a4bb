"""The attempts, cheapest first, and what each writes into `params.yaml`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml.comments import CommentedMap

from graft.commands.shrink.siblings import Sibling
from graft.foundation.choices import resolve
from graft.models.architectures import resolve_model
from graft.params.yaml_tree import dump_tree, plain, put_value
from graft.training.strategies import STRATEGIES
from graft.training.strategies.shared_options import SHARED

if TYPE_CHECKING:
    from graft.commands.shrink.origin import Origin
    from graft.params.sections import Params

FRACTIONS = (0.5, 0.25)  # of the MACs that pruning leaves
INT8 = "onnx_int8"
LEAST_DIFFERENCE = 0.001  # limit of 8 bits where the score may hardly fall at all
LEAST_EQUAL = 0.5  # share of predictions that stay: the goal bounds the score, so this refuses only a broken file
PULLS_BACK = "l2_sp_alpha"  # an option of movement that means the weights training starts from


@dataclass(frozen=True)
class Attempt:
    """A way to a smaller model.

    Attributes:
        name: Name in words.
        changes: Values that it writes into params.yaml, by key: `fine_tune.strategy`.
        target: Export target whose file is judged.
        after: Name of the attempt whose model it takes; empty where it trains one, or takes the origin.
    """

    name: str
    changes: Mapping[str, Any]
    target: str = "onnx"
    after: str = ""


def plan(params: Params, origin: Origin, siblings: Sequence[Sibling], max_drop: float) -> list[Attempt]:
    """Lists the attempts: 8 bits, pruning, smaller siblings that are taught, and each of these in 8 bits.

    Args:
        params: Params of the project.
        origin: Model that is shrunk.
        siblings: Smaller architectures.
        max_drop: By how much the score may fall; 8 bits alone may take half of it.
    """
    int8 = _in_8_bits(params, max_drop)
    found = [Attempt("int8", int8, INT8)] if origin.is_own else []
    for one in [*_pruned(params, origin), *_taught(params, origin, siblings)]:
        found += [one, Attempt(f"{one.name}, int8", {**one.changes, **int8}, INT8, after=one.name)]
    return found


def apply(tree: CommentedMap, changes: Mapping[str, Any]) -> CommentedMap:
    """A copy of a params tree with values in the place of its own; comments stay, and so does what is equal.

    Args:
        tree: Params as `read_tree` read them.
        changes: Values by key of the form `section.key`, or `model`.
    """
    tree = copy.deepcopy(tree)
    for key, value in changes.items():
        place, field = _place(tree, key)
        if plain(place[field]) != value:
            put_value(place, field, value)
    return tree


def differing(tree: CommentedMap, changes: Mapping[str, Any]) -> list[str]:
    """The values that differ from those of a params tree, a line each: `fine_tune.baseline: false`."""
    found = []
    for key, value in changes.items():
        place, field = _place(tree, key)
        if plain(place[field]) != value:
            found.append(f"{key}: {dump_tree(value, flow=True).strip().removesuffix('...').strip()}")
    return found


def _place(tree: CommentedMap, key: str) -> tuple[CommentedMap, str]:
    """The mapping that a key stands in, and its last part."""
    *section, field = key.split(".")
    return (tree[section[0]] if section else tree), field


def _in_8_bits(params: Params, max_drop: float) -> dict[str, Any]:
    """The section `export` with 8 bits."""
    limit = max(round(max_drop / 2, 6), LEAST_DIFFERENCE)
    int8 = {"name": INT8, "max_score_difference": limit, "min_equal_fraction": LEAST_EQUAL}
    targets = [*_without_8_bits(params), int8]
    return {"export.targets": targets, "export.calibration": "train", "export.scan": "val"}


def _without_8_bits(params: Params) -> list[Any]:
    return [one for one in params.export.targets if (one if isinstance(one, str) else one["name"]) != INT8]


def _training(params: Params, origin: Origin) -> dict[str, Any]:
    """The values that all trainings share: weights of the origin, no baseline, no export in 8 bits."""
    return {
        "pretrain_load.source": dict(origin.source),
        "pretrain_load.images": "none",
        "pretrain_load.part": "all",
        "fine_tune.baseline": False,
        "export.targets": _without_8_bits(params),
        "export.calibration": "none",
        "export.scan": "none",
    }


def _pruned(params: Params, origin: Origin) -> list[Attempt]:
    trains = _training(params, origin)
    if resolve_model(params.task, params.model).as_dict() != origin.spec.model:
        trains["model"] = {"name": origin.spec.model["name"], **origin.spec.model}
    return [
        Attempt(f"prune {fraction:.0%}", {**trains, "fine_tune.strategy": {"name": "prune", "fraction": fraction}})
        for fraction in FRACTIONS
    ]


def _taught(params: Params, origin: Origin, siblings: Sequence[Sibling]) -> list[Attempt]:
    written = params.fine_tune.strategy
    given = written if isinstance(written, dict) else {}
    known = resolve(STRATEGIES, written, where="fine_tune.strategy").options
    movement = {key: value for key, value in given.items() if key in SHARED and key in known and key != PULLS_BACK}
    strategy = {"name": "distil", "teacher": dict(origin.teacher), **movement}
    found = []
    for one in siblings:
        start = {} if one.source is None else {"pretrain_load.source": dict(one.source)}
        changes = {**_training(params, origin), **start, "model": dict(one.model), "fine_tune.strategy": strategy}
        found.append(Attempt(f"distil {_short(one.model)}", changes))
    return found


def _short(model: Mapping[str, Any]) -> str:
    """A model in few words: its name and what tells it from its siblings."""
    told = ("backbone", "variant", "pyramid_channels", "width")
    return " ".join(str(model[key]) for key in ("name", *told) if key in model)
