"""Look a name up in a registry, check its options, bind them.

A registry is a dict literal in the `__init__.py` of its folder: key = file name = function name. What the pipeline
supplies is positional in the entry's signature; its keyword-only arguments are the options a person may set in
`params.yaml`, with their types as rules and their defaults as documented values.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from graft.foundation.errors import GraftError, suggest


@dataclass(frozen=True)
class Choice:
    """An entry of a registry with every option resolved; calling it calls the entry."""

    name: str
    entry: Callable[..., Any]
    options: Mapping[str, Any]

    def __call__(self, *supplied: Any) -> Any:
        return self.entry(*supplied, **self.options)

    def as_dict(self) -> dict[str, Any]:
        """The choice as it would stand in `params.yaml`, nothing left to a default."""
        return {"name": self.name, **self.options}


def resolve(registry: Mapping[str, Callable[..., Any]], spec: str | Mapping[str, Any], *, where: str) -> Choice:
    """Binds `spec` (a name, or `{name: …, option: value}`) to the entry of `registry` it names.

    Raises:
        GraftError: The name or an option is unknown (with the one it resembles), a value has the wrong type, or an
            option without a default is missing. All that is wrong with the options is listed at once.
    """
    given = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = given.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise GraftError(
            f"{where} has no choice named {name!r}",
            rule=f"the choices are {', '.join(sorted(registry))}",
            remedy=suggest(str(name), registry),
        )
    entry = registry[name]
    rules = option_rules(entry)
    problems = [f"{where}.{key}: {name} has no such option; {suggest(key, rules)}" for key in given if key not in rules]
    options: dict[str, Any] = {}
    for key, (rule, default) in rules.items():
        if key not in given and default is inspect.Parameter.empty:
            problems.append(f"{where}.{key}: {name} needs this option")
            continue
        try:
            options[key] = rule.validate_python(given[key], strict=True) if key in given else default
        except ValidationError as error:
            problems.append(f"{where}.{key}: {given[key]!r}: {_in_words(error)}")
    if problems:
        raise GraftError.of_all(f"{where}: options of {name} that cannot be used", problems)
    return Choice(name, entry, options)


def check_task(choice: Choice, served: Mapping[str, Sequence[str]], task: str, *, where: str) -> None:
    """Refuses a choice that does not serve the task.

    Args:
        choice: Entry of a registry.
        served: Tasks that each entry of the registry serves, by name: the `TASKS` of its folder.
        task: Task of `params.yaml`.
        where: Key in `params.yaml` that the choice stands under.

    Raises:
        GraftError: The task is none of those that the choice serves.
    """
    if task not in served[choice.name]:
        raise GraftError(
            f"{where} {choice.name} is not for {task}",
            rule=f"it serves {' and '.join(served[choice.name])}",
            remedy=f"one of {', '.join(name for name, tasks in served.items() if task in tasks)}",
        )


def option_rules(entry: Callable[..., Any]) -> dict[str, tuple[TypeAdapter[Any], Any]]:
    """The options of an entry: name to (rule, default), read off its keyword-only arguments."""
    hints = get_type_hints(entry, include_extras=True)
    return {
        name: (_rule(hints.get(name, Any)), parameter.default)
        for name, parameter in inspect.signature(entry).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _in_words(error: ValidationError) -> str:
    """The rules that a value breaks; a single value in the place of a list is answered with the list to write."""
    told = []
    for one in error.errors():
        if one["type"] == "list_type" and isinstance(one["input"], (int, float, str)):
            names = [str(part) for part in one["loc"] if "[" not in str(part)]  # pydantic adds the kinds of a union
            listed = json.dumps([one["input"]], ensure_ascii=False)
            return f"write {': '.join([*names, listed])}"
        told.append(one["msg"].removeprefix("Value error, "))
    return "; ".join(told)


def _rule(hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))
    except Exception:  # pydantic refuses a config for types that carry their own
        return TypeAdapter(hint)
