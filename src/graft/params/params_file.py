"""Reading `params.yaml`: every error at once, each with its line, its rule and its remedy."""

from __future__ import annotations

import importlib
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from graft.foundation.choices import Choice, resembling, resolve
from graft.foundation.class_map import TASKS
from graft.foundation.errors import GraftError
from graft.params.sections import Params

PARAMS_FILE = Path("params.yaml")

# Where each choice finds its registry: key in params.yaml -> (module, name). Imported only when asked for.
REGISTRIES = {
    "model": ("graft.models.architectures", "MODELS"),
    "preprocess.resize": ("graft.data.resize", "RESIZES"),
    "ingest.source": ("graft.data.formats", "FORMATS"),
    "augment.policy": ("graft.data.augmentations", "POLICIES"),
    "pretrain_load.source": ("graft.models.weights", "WEIGHTS"),
    "pretrain_load.initialisation": ("graft.models.initialisations", "INITIALISATIONS"),
    "fine_tune.sampling": ("graft.training.sampling", "SAMPLINGS"),
    "fine_tune.mixing": ("graft.training.mixing", "MIXINGS"),
    "fine_tune.strategy": ("graft.training.strategies", "STRATEGIES"),
    "fine_tune.losses": ("graft.training.losses", "LOSSES"),
    "fine_tune.optimizer": ("graft.training.optimizers", "OPTIMIZERS"),
    "fine_tune.schedule": ("graft.training.schedules", "SCHEDULES"),
}
CHOICE_FORMS = (("str",), ("dict[str,any]",))  # how pydantic ends the place of a value that is neither


def load_params(path: Path = PARAMS_FILE) -> Params:
    """The checked content of a params file.

    Raises:
        GraftError: The file is missing or is not YAML, or something in it breaks a rule: all of it is listed.
    """
    tree = read_tree(path)
    try:
        return Params.model_validate(_plain(tree))
    except ValidationError as error:
        raise GraftError.of_all(f"{path} breaks the rules", _problems(path, tree, error)) from None


def check_file(path: Path) -> None:
    """Checks a whole params file, every choice in it included.

    Raises:
        GraftError: As `load_params` and `resolved_choices`; lists all that is wrong, each with its line.
    """
    tree = read_tree(path)
    values = _plain(tree)
    problems: list[GraftError] = []
    try:
        Params.model_validate(values)
    except ValidationError as error:
        problems = _problems(path, tree, error)
    for loc, spec in _written_specs(values):
        try:
            _resolve(".".join(loc[:2]), spec, values.get("task"))
        except GraftError as error:
            error.where = f"{path}:{_line(tree, loc)}"
            problems.append(error)
    for place, disagreement in _disagreements(values) if not problems else ():
        disagreement.where = f"{path}:{_line(tree, place)}"
        problems.append(disagreement)
    if problems:
        raise GraftError.of_all(f"{path} breaks the rules", problems)


def read_tree(path: Path) -> CommentedMap:
    """The YAML of a file with its comments and line numbers."""
    try:
        tree = YAML().load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "run graft in the root of your project, or copy a file of pipeline/recipes there"
        raise GraftError("file not found", where=path, remedy=remedy) from None
    except UnicodeDecodeError as error:
        raise GraftError(f"not UTF-8 text ({error})", where=path, remedy="save it as UTF-8") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise GraftError(f"not valid YAML: {error.problem}", where=f"{path}:{line}", remedy="mend this line") from None
    except YAMLError as error:
        reason = str(error).strip().splitlines()[0]
        raise GraftError(f"not valid YAML: {reason}", where=path, remedy="mend the file") from None
    if not isinstance(tree, CommentedMap):
        raise GraftError("holds no sections", where=path, remedy="copy a file of pipeline/recipes there")
    return tree


def resolved_choices(params: Params, sections: tuple[str, ...]) -> dict[str, Any]:
    """Each choice of these sections with every option resolved, by its key in the file.

    Raises:
        GraftError: A choice or an option that does not exist or has the wrong type; all of them are listed.
    """
    resolved: dict[str, Any] = {}
    problems: list[GraftError] = []
    for key in (key for key in REGISTRIES if key.split(".")[0] in sections):
        try:
            choices = [_resolve(key, spec, params.task) for spec in _specs(params, key)]
            resolved[key] = choices if key == "fine_tune.losses" else choices[0]
        except GraftError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else GraftError.of_all("choices that cannot be used", problems)
    return resolved


def as_recorded(params: Params, sections: tuple[str, ...]) -> dict[str, Any]:
    """The values of these sections as plain data, every choice with all its options."""
    recorded = {name: _dumped(params.section(name)) for name in sections}
    for key, value in resolved_choices(params, sections).items():
        section, _, field = key.partition(".")
        if field:
            recorded[section][field] = value
        else:
            recorded[section] = value
    return recorded


def _resolve(key: str, spec: Any, task: str) -> dict[str, Any]:
    module, name = REGISTRIES[key]
    registry = getattr(importlib.import_module(module), name)
    if key == "model":
        registry = registry[task]
    extra = {}
    if key == "fine_tune.losses":
        extra = {option: value for option, value in spec.items() if option == "weight"}
        spec = {option: value for option, value in spec.items() if option != "weight"}
    choice: Choice = resolve(registry, spec, where=key)
    _refuse_other_task(choice, getattr(importlib.import_module(module), "TASKS", None), task, key)
    return {**choice.as_dict(), **extra}


def _refuse_other_task(choice: Choice, served: Any, task: Any, key: str) -> None:
    """A registry whose entries do not all serve both tasks has a table TASKS, from names to tasks."""
    if isinstance(served, dict) and task in TASKS and task not in served[choice.name]:
        raise GraftError(
            f"{key} {choice.name} is not for {task}",
            rule=f"it serves {' and '.join(served[choice.name])}",
            remedy=f"one of {', '.join(name for name, tasks in served.items() if task in tasks)}",
        )


def _disagreements(values: Mapping[str, Any]) -> Iterable[tuple[tuple[str | int, ...], GraftError]]:
    from graft.params.compatibility import disagreements  # builds the model's outline, and so imports torch

    return disagreements(Params.model_validate(values))


def _written_specs(values: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each choice in a file that may be wrong elsewhere, with its place; what has no form of a choice is left out."""
    for key in REGISTRIES:
        section, _, field = key.partition(".")
        value = values.get(section)
        if field:
            value = value.get(field) if isinstance(value, dict) else None
        place = (section, field) if field else (section,)
        if key == "model" and values.get("task") not in TASKS:
            continue
        if isinstance(value, list):
            yield from (((*place, number), spec) for number, spec in enumerate(value) if isinstance(spec, dict))
        elif isinstance(value, (str, dict)) and key != "fine_tune.losses":
            yield place, value


def _specs(params: Params, key: str) -> list[Any]:
    section, _, field = key.partition(".")
    value = params.section(section)
    value = getattr(value, field) if field else value
    return value if isinstance(value, list) else [value]


def _dumped(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _problems(path: Path, tree: CommentedMap, error: ValidationError) -> list[GraftError]:
    """A problem for each place; pydantic names a value that is neither name nor options twice."""
    items: dict[tuple[Any, ...], Any] = {}
    for item in error.errors():
        loc = item["loc"]
        if loc[-1:] in CHOICE_FORMS:
            loc, item["msg"] = loc[:-1], "a choice is a name, or {name: …, option: value}"
        items.setdefault((loc, item["type"] if loc == item["loc"] else None), (loc, item))
    return [_problem(path, tree, loc, item) for loc, item in items.values()]


def _problem(path: Path, tree: CommentedMap, loc: tuple[Any, ...], item: Any) -> GraftError:
    name = ".".join(map(str, loc)) or "the file"
    where = f"{path}:{_line(tree, loc)}"
    if item["type"] == "extra_forbidden":
        return GraftError(f"{name} is not a known key", where=where, remedy=_nearest_key(loc))
    if item["type"] == "missing":
        remedy = f"add it: the documented value stands in the params.yaml of the project ({name})"
        return GraftError(f"{name} is missing", where=where, rule="every value is written down", remedy=remedy)
    if item["type"] == "value_error":
        return GraftError(f"{name}: {item['msg'].removeprefix('Value error, ')}", where=where)
    return GraftError(f"{name} is {reprlib.repr(item['input'])}", where=where, rule=item["msg"])


def _line(tree: CommentedMap, loc: tuple[Any, ...]) -> int:
    """The line of the deepest part of `loc` that exists in the file."""
    line = 1
    node: Any = tree
    for part in loc:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0] + 1
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = node.lc.item(part)[0] + 1
        else:
            return line
        node = node[part]
    return line


def _nearest_key(loc: tuple[Any, ...]) -> str:
    model: Any = Params
    for part in loc[:-1]:
        model = _models_of(model).get(part, model)
    return resembling(str(loc[-1]), dict.fromkeys(_keys(model)))


def _models_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    pairs: Iterator[tuple[str, Any]] = zip(
        _keys(model), (f.annotation for f in model.model_fields.values()), strict=True
    )
    return {key: kind for key, kind in pairs if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
