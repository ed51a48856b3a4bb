"""Values of `params.yaml` that are fine each on its own but do not go together: found before anything runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.data.augmentations import POLICIES
from graft.data.augmentations.steps import contradictions
from graft.data.resize import RESIZES
from graft.deployment.export.targets import image_problems
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import padding
from graft.models.architectures import Model, build, resolve_model
from graft.models.pins import no_download
from graft.models.weights import WEIGHTS
from graft.models.weights.file import check_digest
from graft.models.weights.match import match_tensors
from graft.models.weights.registry import refuse_unpinned
from graft.models.weights.self_supervised import at_start, start_of
from graft.models.weights.source import Source
from graft.models.weights.timm import is_published, outline_of, published_config, require_pin
from graft.models.weights.torchvision import member
from graft.models.widths import narrow
from graft.params.memory import Finding
from graft.params.pretraining_rules import find_pretraining_problems
from graft.params.sections import CropSize, Params
from graft.params.source_rules import find_memory_problems, find_source_problems, known_num_classes
from graft.params.strategy_rules import find_strategy_problems
from graft.params.surroundings import find_package_problem, refuse_written_by_stage
from graft.training import freezing
from graft.training.losses import class_weight_refusals, resolve_losses
from graft.training.optimizers import OPTIMIZERS
from graft.training.schedules import SCHEDULES, refuse_too_long
from graft.training.strategies import STRATEGIES
from graft.training.strategies.combinations import movement_of
from graft.training.view_sizes import view_sizes

NOTHING_TO_OPTIMISE = "empty parameter list"  # in torch's own words


def find_disagreements(params: Params) -> Iterator[Finding]:
    """Finds values that cannot work together; yields the place of one of them, and the error.

    Args:
        params: Params in which every choice is known to be fine on its own.
    """
    yield from find_source_problems(params)
    yield from find_memory_problems(params)
    yield from _check_weights(params)
    yield from _check_losses(params)
    yield from _check_policy(params)
    yield from _check_optimizer(params)
    yield from _check_schedule(params)
    model = _build_outline(params)
    weights, problem = _weights_here(params)
    yield from problem
    if weights is not None:
        narrow(model, weights.widths_for(resolve_model(params.task, params.model)))
    yield from _check_fit(params, model, weights)
    yield from find_pretraining_problems(params, model)
    yield from _check_crop(params, model)
    yield from _check_sizes(params, model)
    yield from _check_resize(params, model)
    yield from find_strategy_problems(params, model, weights)
    yield from _check_batch_size(params, model)
    yield from ((("export", key), problem) for key, problem in image_problems(params.export).items())


def _check_weights(params: Params) -> Iterator[Finding]:
    """Refuses weights that nobody publishes or that are not pinned; downloads nothing."""
    chosen = resolve(WEIGHTS, params.pretrain_load.source, where="pretrain_load.source")
    source = start_of(chosen)
    given = source.options
    try:
        match source.name:
            case "torchvision":
                member(resolve_model(params.task, params.model), given["weights"])
            case "timm":
                published_config(given["weights"])
                require_pin(given["weights"], given["revision"], given["sha256"])
            case "file":
                refuse_written_by_stage(Path(given["path"]), given["path"])
                if given["sha256"] is None:
                    check_digest(Path(given["path"]), None)
            case "registry":
                refuse_unpinned(given["model_uri"], given["sha256"])
    except GraftError as error:
        error = error if source is chosen else at_start(error)
        error.what = f"{error.where}: {error.what}" if error.where else error.what
        yield ("pretrain_load", "source"), error


def _weights_here(params: Params) -> tuple[Source | None, list[Finding]]:
    """The weights that are here, or whose shapes timm knows (None: they have to be fetched), and what is wrong."""
    model = resolve_model(params.task, params.model)
    chosen = resolve(WEIGHTS, params.pretrain_load.source, where="pretrain_load.source")
    given = start_of(chosen)
    try:
        match given.name:
            case "bundled":
                return given(params.task, model, no_download), []
            case "file" if given.options["sha256"] is not None and Path(given.options["path"]).is_file():
                return given(params.task, model, no_download), []
            case "package" if find_package_problem(given.as_dict()) is None:
                return given(params.task, model, no_download), []
            case "timm" if is_published(given.options["weights"]):
                return outline_of(given.options["weights"]), []
    except GraftError as error:
        return None, [_of_source(error if given is chosen else at_start(error))]
    return None, []


def _check_fit(params: Params, model: Model, weights: Source | None) -> Iterator[Finding]:
    """Refuses weights of which too little fits the model's backbone."""
    try:
        if weights is not None:
            match_tensors(model, weights, weights.class_names or (), params.pretrain_load.part)
    except GraftError as error:
        yield _of_source(error)


def _of_source(error: GraftError) -> Finding:
    error.what = f"pretrain_load.source: {error.what}"
    return ("pretrain_load", "source"), error


def _check_losses(params: Params) -> Iterator[Finding]:
    chosen = params.fine_tune
    refused = class_weight_refusals([loss["name"] for loss in chosen.losses]) if chosen.class_weights != "none" else []
    for problem in refused:
        yield (
            ("fine_tune", "class_weights"),
            GraftError(problem, remedy="set class_weights: none, or another loss"),
        )
    num_classes = known_num_classes(params)
    if params.task == "segmentation" and num_classes is not None:
        yield from _check_number_of_classes(chosen.losses, num_classes)


def _check_number_of_classes(losses: list[dict[str, Any]], num_classes: int) -> Iterator[Finding]:
    """Refuses a loss that does not accept logits of this many classes."""
    import torch

    logits, targets = torch.zeros(1, num_classes, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
    for number, (_, loss) in enumerate(resolve_losses(losses)):
        try:
            loss(logits, targets, None)
        except GraftError as error:
            yield ("fine_tune", "losses", number), error


def _check_policy(params: Params) -> Iterator[Finding]:
    policy = resolve(POLICIES, params.augment.policy, where="augment.policy").as_dict()
    for problem in contradictions(policy, params.task):
        yield ("augment", "policy"), GraftError(problem)


def _check_optimizer(params: Params) -> Iterator[Finding]:
    """Refuses options that the optimizer itself refuses; with nothing to optimise, it comes no further than these.

    The first optimizer that torch completes imports torch._dynamo, which takes as long as torch itself.
    """
    optimizer = resolve(OPTIMIZERS, params.fine_tune.optimizer, where="fine_tune.optimizer")
    try:
        optimizer([], params.fine_tune.learning_rate)
    except GraftError as error:
        yield ("fine_tune", "optimizer"), error
    except ValueError as error:
        if NOTHING_TO_OPTIMISE not in str(error):
            raise


def _check_schedule(params: Params) -> Iterator[Finding]:
    section = params.fine_tune
    schedule = resolve(SCHEDULES, section.schedule, where="fine_tune.schedule")
    try:
        refuse_too_long(schedule, section.epochs, section.warmup_epochs, section.validate_every_epochs)
    except GraftError as error:
        yield ("fine_tune", "schedule"), error


def _check_crop(params: Params, model: Model) -> Iterator[Finding]:
    """Refuses views too small for the model, not of the one size it takes, or not a multiple of its patches."""
    crop, fixed, least = params.augment.crop, model.fixed_size_px, model.min_side_px
    if fixed is not None and (crop.height_px, crop.width_px) != (fixed, fixed):
        rule = f"it takes images of exactly {fixed}×{fixed} px"
        remedy = f"set augment.crop: {{height_px: {fixed}, width_px: {fixed}}}, or choose another model"
    elif min(crop.height_px, crop.width_px) < least:
        rule = f"its smallest height and width are {least} px"
        remedy = "enlarge augment.crop (and the images, by preprocess.resize), or choose another model"
    elif fixed is None and model.is_transformer and (sizes := _nearest_sizes(model, crop)):
        multiple = model.padding_multiple
        rule = (
            f"a transformer trains on views whose sides are multiples of {multiple} px, or every batch would be padded"
        )
        remedy = f"set {sizes}"
    else:
        return
    name = resolve_model(params.task, params.model).name
    yield (
        ("augment", "crop"),
        GraftError(f"views of {crop.width_px}×{crop.height_px} px for {name}", rule=rule, remedy=remedy),
    )


def _check_sizes(params: Params, model: Model) -> Iterator[Finding]:
    """Refuses views that begin too small for the model, or that grow where it takes one size."""
    crop = params.augment.crop
    try:
        view_sizes((crop.height_px, crop.width_px), params.fine_tune.sizes, model)
    except GraftError as error:
        yield ("fine_tune", "sizes"), error


def _check_resize(params: Params, model: Model) -> Iterator[Finding]:
    """Refuses images that are not of the one size the model takes."""
    fixed, resize = model.fixed_size_px, resolve(RESIZES, params.preprocess.resize, where="preprocess.resize")
    if fixed is not None and resize.as_dict() != {"name": "fit", "size_px": fixed}:
        yield (
            ("preprocess", "resize"),
            GraftError(
                f"images of any size for {resolve_model(params.task, params.model).name}",
                rule=f"it takes images of exactly {fixed}×{fixed} px",
                remedy=f"set preprocess.resize: {{name: fit, size_px: {fixed}}}; the rest is mirrored",
            ),
        )


def _nearest_sizes(model: Model, crop: CropSize) -> str:
    """Names, for each side of the crop that the model would pad, the nearest sizes that it would not."""
    multiple = model.padding_multiple
    words = []
    for key, side in (("height_px", crop.height_px), ("width_px", crop.width_px)):
        below = side // multiple * multiple
        if side != below:
            smaller = f"{below} or " if below >= model.min_side_px else ""
            words.append(f"augment.crop.{key} to {smaller}{below + multiple}")
    return " and ".join(words)


def _check_batch_size(params: Params, model: Model) -> Iterator[Finding]:
    """Refuses batches of one image for a model that trains layers which cannot normalise one."""
    if params.fine_tune.batch_size > 1:
        return
    movement = movement_of(resolve(STRATEGIES, params.fine_tune.strategy, where="fine_tune.strategy").options)
    freezing.apply(model, movement.train, movement.normalisation)
    crop, rule = params.augment.crop, (model.padding_multiple, model.min_side_px)
    smallest = (round(side * params.fine_tune.sizes[0]) for side in (crop.height_px, crop.width_px))
    height_px, width_px = (side + padding(side, *rule) for side in smallest)
    if model.needs_two(height_px, width_px):
        yield (
            ("fine_tune", "batch_size"),
            GraftError(
                f"batches of one image for {resolve_model(params.task, params.model).name}",
                rule="it normalises one value per channel and image, which has no variance in a batch of one",
                remedy="set fine_tune.batch_size to 2 or more (accumulate_steps does not help), or change the model",
            ),
        )


def _build_outline(params: Params) -> Model:
    """Builds the model without values if its library can; the number of classes does not matter here."""
    import torch

    choice = resolve_model(params.task, params.model)
    with warnings.catch_warnings(action="ignore"):
        try:
            with torch.device("meta"):
                return build(params.task, choice, 2)
        except Exception:  # a Mix Transformer reads values while it is built
            return build(params.task, choice, 2)
