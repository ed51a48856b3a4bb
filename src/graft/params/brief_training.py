"""A training made short, for commands that train to learn about candidates or labels and not to keep the model."""

from __future__ import annotations

from typing import Any

from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.params.sections import FineTune
from graft.training.schedules import SCHEDULES, refuse_too_long
from graft.training.strategies import FROM_PARENT, FROM_TEACHERS, MAKE_SMALLER, STRATEGIES
from graft.training.strategies.shared_options import SHARED


def shorten(fine_tune: FineTune, epochs: int) -> tuple[FineTune, str]:
    """Adapts the section `fine_tune` to few epochs; returns it with a sentence on how it trains.

    A strategy that keeps what a parent knows, learns from a teacher or makes a trained model smaller becomes
    `supervised` (candidates are compared by what they become themselves); a warm-up is cut, views that would grow too
    often begin larger, a schedule that is too long becomes `cosine`, and unfreezing that is `gradual` (its length
    depends on the model) or a `head_first` that is too long becomes one epoch of the head.
    """
    warmup = min(fine_tune.warmup_epochs, epochs - 1)
    schedule = resolve(SCHEDULES, fine_tune.schedule, where="fine_tune.schedule")
    try:
        refuse_too_long(schedule, epochs, warmup, fine_tune.validate_every_epochs)
        fitting: Any = fine_tune.schedule
    except GraftError:
        fitting = "cosine"
    own, made_plain = _without_other_models(fine_tune.strategy)
    strategy, unfreezing = _shorten_strategy(own, epochs)
    sizes = fine_tune.sizes[-epochs:]
    replaced = {
        f"warmup_epochs: {warmup}": warmup != fine_tune.warmup_epochs,
        f"sizes: {sizes}": sizes != fine_tune.sizes,
        f"schedule: cosine for {schedule.name}": fitting != fine_tune.schedule,
        made_plain: own != fine_tune.strategy,
        unfreezing: strategy != own,
    }
    changes = {"epochs": epochs, "warmup_epochs": warmup, "sizes": sizes, "schedule": fitting}
    alone = {"early_stopping_epochs": None, "baseline": False, "strategy": _without_comparison(strategy)}
    brief = fine_tune.model_copy(update=changes | alone)
    said = f"Fine-tuning is for {epochs} epoch{'s' * (epochs != 1)} here, as fine_tune in params.yaml says"
    unfit = [text for text, is_replaced in replaced.items() if is_replaced]
    return brief, f"{said}{' except for what is longer: ' if unfit else ''}{'; '.join(unfit)}."


def _without_other_models(spec: Any) -> tuple[Any, str]:
    """Replaces a strategy that needs a parent, a teacher or a trained model by `supervised` with the same movement.

    Returns it, and in words what changed.
    """
    choice = resolve(STRATEGIES, spec, where="fine_tune.strategy")
    if choice.name not in (*FROM_PARENT, *FROM_TEACHERS, *MAKE_SMALLER):
        return spec, ""
    given = spec if isinstance(spec, dict) else {}
    movement = {key: value for key, value in given.items() if key in SHARED}
    return {"name": "supervised", **movement}, f"strategy: supervised for {choice.name}"


def _without_comparison(spec: Any) -> Any:
    """Leaves out the model that `adapt` is compared with: only candidates are compared."""
    choice = resolve(STRATEGIES, spec, where="fine_tune.strategy")
    if "source_only" not in choice.options:
        return spec
    return {"name": choice.name, **({} if isinstance(spec, str) else spec), "source_only": False}


def _shorten_strategy(spec: Any, epochs: int) -> tuple[Any, str]:
    """Makes unfreezing end before the last epoch; returns the strategy, and in words what was changed."""
    options = resolve(STRATEGIES, spec, where="fine_tune.strategy").options
    way, head_epochs = options["unfreeze"], options["head_epochs"]
    if way == "none" or (way == "head_first" and head_epochs < epochs):
        return spec, ""
    kept = {key: value for key, value in spec.items() if key not in ("head_epochs", "unfreeze_every_epochs")}
    if epochs == 1:
        return kept | {"unfreeze": "none"}, f"unfreeze: none for {way}"
    return kept | {"unfreeze": "head_first"}, f"unfreeze: head_first, head_epochs: 1 for {way}"
