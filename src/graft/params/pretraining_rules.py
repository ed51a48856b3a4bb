"""Rules of `pretrain_load` beside the rest of the params: the images that a source learns from, and its views."""

from __future__ import annotations

from collections.abc import Iterator

from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.models.architectures import Model
from graft.models.weights import WEIGHTS
from graft.models.weights.self_supervised import NAME, images_problem
from graft.params.memory import Finding
from graft.params.sections import Params
from graft.training.self_supervision.continuation import refuse_crop


def find_pretraining_problems(params: Params, model: Model) -> Iterator[Finding]:
    """Finds images that nobody learns from, a source without images, and views that the model cannot take.

    Args:
        params: Params in which every choice is known to be fine on its own.
        model: Outline of the model.
    """
    source = resolve(WEIGHTS, params.pretrain_load.source, where="pretrain_load.source")
    if problem := images_problem(source.name, params.pretrain_load.images):
        problem.where = None
        yield ("pretrain_load", "images"), problem
    if source.name == NAME:
        try:
            refuse_crop(model, source.options["crop_px"])
        except GraftError as error:
            error.where = None
            yield ("pretrain_load", "source"), error
