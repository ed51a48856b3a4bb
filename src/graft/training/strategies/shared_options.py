"""The options of `supervised` that other strategies have too, so that they are written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

from graft.training.strategies.supervised import Supervised, supervised

# Features that are computed once are those of images as they are, and of nobody else's layers.
NOT_SHARED = ("reuse_features",)
OPTIONS = {
    name: option
    for name, option in inspect.signature(supervised).parameters.items()
    if option.kind is inspect.Parameter.KEYWORD_ONLY
}
SHARED = {name: option for name, option in OPTIONS.items() if name not in NOT_SHARED}
Entry = TypeVar("Entry", bound=Callable[..., Supervised])


def moving_as_supervised(entry: Entry) -> Entry:
    """Gives an entry of STRATEGIES the options of `supervised` on movement after its own.

    They reach it as its `**movement`. Signature, annotations and docstring name them, from which `choices.resolve` and
    the toolbox read them.
    """
    signature, hints = inspect.signature(entry), get_type_hints(supervised, include_extras=True)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    entry.__signature__ = signature.replace(parameters=[*own, *SHARED.values()])  # type: ignore[attr-defined]
    entry.__annotations__ |= {name: hints[name] for name in SHARED}
    text, mark, rest = inspect.cleandoc(entry.__doc__ or "").partition("\n\nRaises:")
    entry.__doc__ = text + "".join(f"\n    {name}: As in `supervised`." for name in SHARED) + mark + rest
    return entry


def completed(movement: dict[str, Any]) -> dict[str, Any]:
    """All options of `supervised`, those that were not given at their defaults."""
    return {name: option.default for name, option in OPTIONS.items()} | movement
