"""The choices in `params.yaml`: which registry each one names an entry of, and its options in full."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from graft.foundation.choices import Choice, check_task, resolve
from graft.foundation.class_map import TASKS
from graft.foundation.errors import GraftError
from graft.params.sections import Params

# Key in params.yaml -> (module, name) of its registry, imported only when a choice is resolved.
REGISTRIES = {
    "model": ("graft.models.architectures", "MODELS"),
    "preprocess.resize": ("graft.data.resize", "RESIZES"),
    "ingest.source": ("graft.data.formats", "FORMATS"),
    "augment.memory": ("graft.data.memory", "MEMORIES"),
    "augment.policy": ("graft.data.augmentations", "POLICIES"),
    "pretrain_load.source": ("graft.models.weights", "WEIGHTS"),
    "pretrain_load.initialisation": ("graft.models.initialisations", "INITIALISATIONS"),
    "fine_tune.sampling": ("graft.training.sampling", "SAMPLINGS"),
    "fine_tune.mixing": ("graft.training.mixing", "MIXINGS"),
    "fine_tune.strategy": ("graft.training.strategies", "STRATEGIES"),
    "fine_tune.losses": ("graft.training.losses", "LOSSES"),
    "fine_tune.optimizer": ("graft.training.optimizers", "OPTIMIZERS"),
    "fine_tune.schedule": ("graft.training.schedules", "SCHEDULES"),
    "fine_tune.averaging": ("graft.training.averaging", "AVERAGINGS"),
    "export.targets": ("graft.deployment.export.targets", "TARGETS"),
}
LISTS = ("fine_tune.losses", "export.targets")  # of these, a file chooses several
DELIVERIES = "ingest.deliveries"  # a mapping of further sources, by name


def resolve_choices(params: Params, sections: tuple[str, ...]) -> dict[str, Any]:
    """Resolves every choice of these sections; returns each with all its options, by its key in the file.

    Raises:
        GraftError: A choice or an option does not exist or has the wrong type; all of them are listed.
    """
    resolved: dict[str, Any] = {}
    problems: list[GraftError] = []
    for key in (key for key in REGISTRIES if key in sections or key.split(".")[0] in sections):
        try:
            choices = [resolve_choice(key, spec, params.task) for spec in _specs(params, key)]
            resolved[key] = choices if key in LISTS else choices[0]
        except GraftError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else GraftError.of_all("choices that cannot be used", problems)
    return resolved


def expand_sections(params: Params, sections: tuple[str, ...]) -> dict[str, Any]:
    """The values of these sections as plain data, every choice with all its options."""
    expanded = {name: _as_data(params.section(name)) for name in sections}
    for key, value in resolve_choices(params, sections).items():
        section, _, field = key.partition(".")
        if key in expanded:
            expanded[key] = value
        else:
            expanded[section][field] = value
    for name in (name for name in sections if name.startswith(DELIVERIES)):
        deliveries = expanded[name] if name == DELIVERIES else {name.removeprefix(f"{DELIVERIES}."): expanded[name]}
        for delivery, values in deliveries.items():
            values["source"] = resolve_choice(f"{DELIVERIES}.{delivery}.source", values["source"], params.task)
    return expanded


def resolve_choice(key: str, spec: Any, task: str | None) -> dict[str, Any]:
    """Resolves one choice; returns its name with all its options.

    Args:
        key: Place of the choice in the file, a key of `REGISTRIES`, or the source of a later delivery.
        spec: Name of the entry, or a mapping of its name and options.
        task: Task of the params file.

    Raises:
        GraftError: The entry or an option does not exist, has the wrong type, or is not for this task.
    """
    module_name, name = REGISTRIES["ingest.source" if key.startswith(f"{DELIVERIES}.") else key]
    module = importlib.import_module(module_name)
    registry = getattr(module, name)
    if key == "model":
        registry = module.models_for(task)
    extra = {}
    if key == "fine_tune.losses":
        extra = {option: value for option, value in spec.items() if option == "weight"}
        spec = {option: value for option, value in spec.items() if option != "weight"}
    choice: Choice = resolve(registry, spec, where=key)
    served = getattr(module, "TASKS", None)  # absent where every entry serves all tasks
    if isinstance(served, dict) and task in TASKS:
        check_task(choice, served, task, where=key)
    return {**choice.as_dict(), **extra}


def written_choices(values: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], str, Any]]:
    """Finds the choices in a file that may break other rules; anything without the form of a choice is left out.

    Yields:
        The place of the choice, its key for `resolve_choice`, and its name or its mapping.
    """
    section = values.get("ingest")
    deliveries = section.get("deliveries") if isinstance(section, dict) else None
    for name, delivery in deliveries.items() if isinstance(deliveries, dict) else ():
        if isinstance(delivery, dict) and isinstance(delivery.get("source"), (str, dict)):
            yield ("ingest", "deliveries", name, "source"), f"{DELIVERIES}.{name}.source", delivery["source"]
    for key in REGISTRIES:
        if key == "model" and values.get("task") not in TASKS:
            continue
        place = tuple(key.split("."))
        value: Any = values
        for part in place:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, list):
            kinds = dict if key == "fine_tune.losses" else (str, dict)  # a loss always has a weight beside its name
            yield from (((*place, number), key, spec) for number, spec in enumerate(value) if isinstance(spec, kinds))
        elif isinstance(value, (str, dict)) and key not in LISTS:
            yield place, key, value


def _specs(params: Params, key: str) -> list[Any]:
    section, _, field = key.partition(".")
    value = params.section(section)
    value = getattr(value, field) if field else value
    return value if isinstance(value, list) else [value]


def _as_data(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_data(inner) for name, inner in value.items()}
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value
