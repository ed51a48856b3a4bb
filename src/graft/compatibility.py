"""Which values of `params.yaml` do not go together, each fine on its own: found before anything runs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator

from graft.adaptation import STRATEGIES
from graft.adaptation.combinations import refusals
from graft.augmentations import POLICIES
from graft.augmentations.steps import contradictions
from graft.choices import resolve
from graft.datasets.resizing import RESIZES
from graft.errors import GraftError
from graft.losses import refused_class_weights
from graft.mixing import MIXINGS
from graft.models import Model, build, resolve_model
from graft.params import Params
from graft.schedules import SCHEDULES, refuse_too_long

Place = tuple[str, ...]


def disagreements(params: Params) -> Iterator[tuple[Place, GraftError]]:
    """What cannot work together, and the key it is said of.

    Args:
        params: Every choice in it is known to be fine on its own.
    """
    yield from _of_losses(params)
    yield from _of_the_policy(params)
    yield from _of_the_schedule(params)
    model = _outline(params)
    yield from _of_sizes(params, model)
    yield from _of_the_strategy(params, model)


def _of_losses(params: Params) -> Iterator[tuple[Place, GraftError]]:
    chosen = params.fine_tune
    refused = refused_class_weights([loss["name"] for loss in chosen.losses]) if chosen.class_weights != "none" else []
    for problem in refused:
        yield (
            ("fine_tune", "class_weights"),
            GraftError(problem, remedy="set class_weights: none, or another loss"),
        )


def _of_the_policy(params: Params) -> Iterator[tuple[Place, GraftError]]:
    policy = resolve(POLICIES, params.augment.policy, where="augment.policy").as_dict()
    for problem in contradictions(policy, params.task):
        yield ("augment", "policy"), GraftError(problem)


def _of_the_schedule(params: Params) -> Iterator[tuple[Place, GraftError]]:
    schedule = resolve(SCHEDULES, params.fine_tune.schedule, where="fine_tune.schedule")
    try:
        refuse_too_long(schedule, params.fine_tune.epochs, params.fine_tune.warmup_epochs)
    except GraftError as error:
        yield ("fine_tune", "schedule"), error


def _of_sizes(params: Params, model: Model) -> Iterator[tuple[Place, GraftError]]:
    """Views that are too small for the model or not of the one size it takes, batches that cannot be normalised."""
    crop, resize = params.augment.crop, resolve(RESIZES, params.preprocess.resize, where="preprocess.resize")
    fixed, least = model.fixed_size_px, model.min_side_px
    name = resolve_model(params.task, params.model).name
    if fixed is not None and (crop.height_px, crop.width_px) != (fixed, fixed):
        yield (
            ("augment", "crop"),
            GraftError(
                f"views of {crop.width_px}×{crop.height_px} px for {name}",
                rule=f"it takes images of exactly {fixed}×{fixed} px",
                remedy=f"set augment.crop: {{height_px: {fixed}, width_px: {fixed}}}, or choose another model",
            ),
        )
    elif min(crop.height_px, crop.width_px) < least:
        yield (
            ("augment", "crop"),
            GraftError(
                f"views of {crop.width_px}×{crop.height_px} px for {name}",
                rule=f"its smallest height and width are {least} px",
                remedy="enlarge augment.crop (and the images, by preprocess.resize), or choose another model",
            ),
        )
    if fixed is not None and resize.as_dict() != {"name": "fit", "size_px": fixed}:
        yield (
            ("preprocess", "resize"),
            GraftError(
                f"images of any size for {name}",
                rule=f"it takes images of exactly {fixed}×{fixed} px",
                remedy=f"set preprocess.resize: {{name: fit, size_px: {fixed}}}; the rest is mirrored",
            ),
        )
    if params.fine_tune.batch_size == 1 and model.needs_two:
        yield (
            ("fine_tune", "batch_size"),
            GraftError(
                f"batches of one image for {name}",
                rule="it normalises one value a channel and image, which has no variance in a batch of one",
                remedy="set fine_tune.batch_size to 2 or more (accumulate_steps does not help), or change the model",
            ),
        )


def _of_the_strategy(params: Params, model: Model) -> Iterator[tuple[Place, GraftError]]:
    strategy = resolve(STRATEGIES, params.fine_tune.strategy, where="fine_tune.strategy")
    mixing = resolve(MIXINGS, params.fine_tune.mixing, where="fine_tune.mixing").name
    for error in refusals(strategy.options, epochs=params.fine_tune.epochs, mixing=mixing, model=copy.deepcopy(model)):
        error.where = None
        yield ("fine_tune", "strategy"), error


def _outline(params: Params) -> Model:
    """The model without values, where its library can build it so; the number of classes does not matter here."""
    import torch

    choice = resolve_model(params.task, params.model)
    with warnings.catch_warnings(action="ignore"):
        try:
            with torch.device("meta"):
                return build(params.task, choice, 2)
        except Exception:  # a Mix Transformer reads values while it is built
            return build(params.task, choice, 2)
