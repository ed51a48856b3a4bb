"""Strategies of training: one file each, `(loss, *, options) -> Strategy`."""

from __future__ import annotations

from collections.abc import Callable

from graft.training.loop import Strategy
from graft.training.strategies.adapt import adapt
from graft.training.strategies.adaptation import steps_of, without_steps
from graft.training.strategies.combinations import refusals
from graft.training.strategies.distil import distil
from graft.training.strategies.ewc import ewc
from graft.training.strategies.fix_match import fix_match
from graft.training.strategies.flex_match import flex_match
from graft.training.strategies.incremental import incremental
from graft.training.strategies.lwf import lwf
from graft.training.strategies.mean_teacher import mean_teacher
from graft.training.strategies.mib import mib
from graft.training.strategies.plop import plop
from graft.training.strategies.prune import prune
from graft.training.strategies.pseudo_labels import pseudo_labels
from graft.training.strategies.sparsify import sparsify
from graft.training.strategies.supervised import supervised
from graft.training.strategies.uni_match import uni_match

STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "adapt": adapt,
    "distil": distil,
    "ewc": ewc,
    "fix_match": fix_match,
    "flex_match": flex_match,
    "incremental": incremental,
    "lwf": lwf,
    "mean_teacher": mean_teacher,
    "mib": mib,
    "plop": plop,
    "prune": prune,
    "pseudo_labels": pseudo_labels,
    "sparsify": sparsify,
    "supervised": supervised,
    "uni_match": uni_match,
}
# Which tasks each serves: background is a question of masks, images that are counted one of labels. Only one is known
# to do well where images have several labels: the others take the most likely class, or a softmax, for the answer.
TASKS = (
    dict.fromkeys(STRATEGIES, ("segmentation", "classification"))
    | dict.fromkeys(("mib", "plop", "uni_match"), ("segmentation",))
    | {"flex_match": ("classification",), "supervised": ("segmentation", "classification", "multilabel")}
)
# Those that keep the answers of a parent: pretrained weights that know classes by name.
FROM_PARENT = ("ewc", "incremental", "lwf", "mib", "plop")
# Those that learn from finished models.
FROM_TEACHERS = ("distil",)
# Those that take channels or weights away from a trained model.
MAKE_SMALLER = ("prune", "sparsify")
# Those that learn from unlabelled images too.
LEARN_WITHOUT_LABELS = ("adapt", "fix_match", "flex_match", "mean_teacher", "pseudo_labels", "uni_match")

__all__ = [
    "FROM_PARENT",
    "FROM_TEACHERS",
    "LEARN_WITHOUT_LABELS",
    "MAKE_SMALLER",
    "STRATEGIES",
    "TASKS",
    "refusals",
    "steps_of",
    "supervised",
    "without_steps",
]
