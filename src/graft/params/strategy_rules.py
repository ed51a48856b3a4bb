"""Rules of `fine_tune.strategy` beside the rest of the params: movement, reuse of features, and the parent."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.foundation.choices import Choice, resolve
from graft.foundation.class_map import RGB
from graft.foundation.errors import GraftError
from graft.models.address import is_address
from graft.models.architectures import Model, build, resolve_model
from graft.models.teacher import read_spec
from graft.models.weights.match import shared_names
from graft.models.weights.self_supervised import NAME as SELF_SUPERVISED
from graft.models.weights.source import Source
from graft.models.widths import narrow
from graft.params.memory import Finding
from graft.params.sections import Params
from graft.params.source_parts import may_hold_stacks
from graft.params.source_rules import all_classes, sources_of
from graft.params.surroundings import refuse_written_by_stage
from graft.training.assembly import reuse_refusals
from graft.training.averaging import AVERAGINGS
from graft.training.context import TrainingContext
from graft.training.losses import resolve_losses
from graft.training.mixing import MIXINGS
from graft.training.strategies import (
    FROM_PARENT,
    FROM_TEACHERS,
    LEARN_WITHOUT_LABELS,
    STRATEGIES,
    refusals,
    steps_of,
)
from graft.training.strategies.channel_pruning import Pruning
from graft.training.strategies.distilled import refuse_smoothing
from graft.training.strategies.ladder import judged_too_seldom, too_few_epochs
from graft.training.strategies.parent import background_of, grown_background, refuse_unknown_parent
from graft.training.strategies.plop import compiled_features
from graft.training.strategies.prune import rounds_problem, start_that_moves
from graft.training.strategies.semi_supervised import no_unlabelled_views, unfit_teacher
from graft.training.strategies.teachers import shared_classes, unfit_divergence, unfit_teachers

PLACE = ("fine_tune", "strategy")


def find_strategy_problems(params: Params, model: Model, weights: Source | None) -> Iterator[Finding]:
    """Finds what does not go together with the strategy.

    Args:
        params: Params in which every choice is known to be fine on its own.
        model: Outline of the model.
        weights: The pretrained weights, if they are here; None where only the stage can fetch them.
    """
    strategy = resolve(STRATEGIES, params.fine_tune.strategy, where="fine_tune.strategy")
    mixing = resolve(MIXINGS, params.fine_tune.mixing, where="fine_tune.mixing").name
    refused = refusals(strategy.options, epochs=params.fine_tune.epochs, model=copy.deepcopy(model))
    if strategy.options.get("reuse_features"):
        refused += reuse_refusals("features", mixing, params.runtime.compile, params.fine_tune.sizes)
    if strategy.options.get("reuse_answers"):
        refused += reuse_refusals("answers", mixing, params.runtime.compile, params.fine_tune.sizes)
    if strategy.name in FROM_PARENT:
        refused += _of_parent(params, strategy, weights)
    if strategy.name in LEARN_WITHOUT_LABELS and steps_of(strategy.options):
        refused += _of_unlabelled(params, strategy)
    if strategy.name in FROM_TEACHERS:
        refused += _of_teachers(params, strategy)
    if strategy.name == "prune":
        refused += _of_pruning(params, strategy, model)
    for error in refused:
        error.where = None
        yield PLACE, error


def _of_pruning(params: Params, strategy: Choice, model: Model) -> Iterator[GraftError]:
    """Errors of a strategy that prunes, the target tried on a network without the values that training starts from."""
    options, chosen = strategy.options, params.fine_tune
    if problem := start_that_moves(options):
        yield problem
    if problem := rounds_problem(
        options["rounds"], options["round_epochs"], chosen.epochs, chosen.early_stopping_epochs
    ):
        yield problem
    if options["fraction"] == 1:
        return
    network = narrow(build(params.task, resolve_model(params.task, params.model), 2), model.widths)
    by_norms = options["importance"] == "batch_norm_scale"  # taylor needs images, and leaves the same widths
    pruning = Pruning(options["target"], "batch_norm_scale" if by_norms else "magnitude")
    try:
        pruning.prune(network, int(pruning.count(network) * options["fraction"]))
    except GraftError as error:
        yield error


def _of_teachers(params: Params, strategy: Choice) -> Iterator[GraftError]:
    """Errors of a strategy that learns from finished models, as far as their files are here."""
    if strategy.options["feature_weight"] and params.runtime.compile:
        yield compiled_features(f"{strategy.name} with feature_weight")
    names, kind, specs = all_classes(params), strategy.options["divergence"], {}
    for pinned in strategy.options["teacher"]:
        if is_address(pinned["model"]):
            continue  # only the stage fetches it
        try:
            refuse_written_by_stage(Path(pinned["model"]), pinned["model"])
            specs[pinned["model"]] = read_spec(pinned, Path(pinned["model"]))
        except GraftError as error:
            error.what = f"{error.where}: {error.what}" if error.where else error.what
            yield error
    are_pictures = not any(may_hold_stacks(source) for _, source in sources_of(params))
    yield from unfit_teachers(specs, params.task, names, (RGB, None) if are_pictures else None)
    known = names if names is None or not specs else shared_classes(next(iter(specs.values())), names)
    if problem := unfit_divergence(kind, params.task, names or (), known or ()):
        yield problem


def _of_unlabelled(params: Params, strategy: Choice) -> Iterator[GraftError]:
    """Errors of a strategy that learns from unlabelled images."""
    if params.augment.unlabelled == "none":
        yield no_unlabelled_views(strategy.name)
    averaging = resolve(AVERAGINGS, params.fine_tune.averaging, where="fine_tune.averaging").name
    if problem := unfit_teacher(strategy.name, averaging):
        yield problem
    if strategy.options.get("ladder") == "auto":
        yield from judged_too_seldom(params.fine_tune.validate_every_epochs, params.fine_tune.early_stopping_epochs)
        if problem := too_few_epochs(1 + len(steps_of(strategy.options)), params.fine_tune.epochs):
            yield problem


def _of_parent(params: Params, strategy: Choice, weights: Source | None) -> Iterator[GraftError]:
    """Errors of a strategy that grows a model out of its parent, as far as they are known before it is loaded."""
    if strategy.name == "plop" and params.runtime.compile:
        yield compiled_features(strategy.name)
    names = all_classes(params)
    if names is None:
        return
    wanted, known = strategy.options.get("background"), _known(params, names, weights)
    try:
        background_of(names, wanted)
        if known is not None:
            context = TrainingContext(params.seed, params.task, names, known)
            refuse_unknown_parent(strategy.name, context)
            if strategy.name == "mib" or (strategy.name == "plop" and context.new):
                grown_background(strategy.name, wanted, context)
        if strategy.name == "mib":
            refuse_smoothing(strategy.name, resolve_losses(params.fine_tune.losses))
    except GraftError as error:
        yield error


def _known(params: Params, names: tuple[str, ...], weights: Source | None) -> tuple[str, ...] | None:
    """The classes that the pretrained weights know; None where only the stage can say it."""
    source: Any = params.pretrain_load.source
    name = source if isinstance(source, str) else source["name"]
    if name in ("none", SELF_SUPERVISED) or params.pretrain_load.part == "backbone":
        return ()
    if weights is None or weights.class_names is None:
        return None
    return tuple(shared_names(names, weights.class_names))
