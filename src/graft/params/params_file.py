"""Reading `params.yaml`: every error at once, each with its line, its rule and its remedy."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError, suggest
from graft.params.memory import Finding, recall
from graft.params.needed_splits import find_missing_splits
from graft.params.registries import resolve_choice, written_choices
from graft.params.sections import Params, Section
from graft.params.surroundings import find_absent_device, find_root_problems
from graft.params.yaml_tree import line_of, plain, read_tree

PARAMS_FILE = Path("params.yaml")
# Keys of older releases: what became of them, said where they are missing or in the way.
MOVED = {"evaluate.num_examples": "report.num_examples"}
KEPT = {"ingest.split_seed": "the file's own seed, so that every image stays in its split"}
CHOICE_FORMS = (("str",), ("dict[str,any]",))  # how pydantic ends the place of a value that is neither


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Reads and checks a params file.

    Raises:
        GraftError: The file is missing or is not YAML, or something in it breaks a rule; all of it is listed.
    """
    tree = _read_complete(path)
    try:
        return Params.model_validate(plain(tree))
    except ValidationError as error:
        raise GraftError.of_all(f"{path} breaks the rules", _problems(path, tree, error)) from None


def check_file(path: Path, *, here: bool = False, memory: Path | None = None) -> list[GraftError]:
    """Checks a whole params file, every choice in it and the way its values go together included.

    Args:
        path: The file.
        here: Whether the stages shall run on this machine; else a device that it lacks is only returned.
        memory: File that keeps what was found, so that an unchanged file is not judged by the libraries twice.

    Returns:
        What is no mistake but does not work here.

    Raises:
        GraftError: As `load_params` and `resolve_choices`; everything that is wrong is listed, each with its line.
    """
    tree = _read_complete(path)
    values = plain(tree)
    problems: list[GraftError] = []
    try:
        Params.model_validate(values)
    except ValidationError as error:
        problems = _problems(path, tree, error)
    found: list[Finding] = [
        (("ingest", "root"), error) for error in find_root_problems(_value(values, "ingest", "root"))
    ]
    absent = find_absent_device(_value(values, "runtime", "device"))
    found += [(("runtime", "device"), absent)] if absent is not None and here else []
    found += _examine(values, memory, are_sections_fine=not problems)
    if not problems and not any(place[:2] == ("ingest", "source") for place, _ in found):
        found += find_missing_splits(Params.model_validate(values))
    problems += [error.at(f"{path}:{line_of(tree, place)}") for place, error in found]
    if problems:
        raise GraftError.of_all(f"{path} breaks the rules", problems)
    return [] if absent is None else [absent]


def unknown_key(place: tuple[Any, ...], where: str) -> GraftError:
    """The error for a key that no section has, with the known key it resembles.

    Args:
        place: Sections that lead to the key, and the key.
        where: File and line of the key.
    """
    name = ".".join(map(str, place))
    if name in MOVED:
        remedy = f"run: graft check --fix, which moves the value to {MOVED[name]}"
        return GraftError(f"{name} is called {MOVED[name]} now", where=where, remedy=remedy)
    section: type[Section] = Params
    for part in place[:-1]:
        section = section.subsections().get(part, section)
    remedy = suggest(str(place[-1]), section.keys())
    return GraftError(f"{name} is not a known key", where=where, remedy=remedy)


def _read_complete(path: Path) -> CommentedMap:
    """Reads a params file; refuses a recipe that only says its changes, which somebody may have copied there."""
    tree = read_tree(path)
    if "base" in tree:
        remedy = "graft recipe show NAME --whole prints a complete file, graft recipe use NAME writes it to params.yaml"
        raise GraftError("this is a recipe, which holds only changes to its base", where=path, remedy=remedy)
    return tree


def _examine(values: Mapping[str, Any], memory: Path | None, *, are_sections_fine: bool) -> Sequence[Finding]:
    """Finds choices that do not exist, and if there are none, values that do not go together; imports torch."""

    def examine() -> Sequence[Finding]:
        found: list[Finding] = []
        for place, key, spec in written_choices(values):
            try:
                resolve_choice(key, spec, values.get("task"))
            except GraftError as error:
                found.append((place, error))
        if found or not are_sections_fine:
            return found
        from graft.params.compatibility import find_disagreements

        return [*find_disagreements(Params.model_validate(values))]

    if memory is None or not are_sections_fine:
        return examine()
    weights = _value(values, "pretrain_load", "source", "path")
    held = sha256_of(Path(weights)) if isinstance(weights, str) and Path(weights).is_file() else None
    return recall(memory, {"values": values, "weights": held}, examine)


def _value(values: Any, *place: str) -> Any:
    """The value at a place of a file that may break other rules; None where there is none."""
    for part in place:
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _problems(path: Path, tree: CommentedMap, error: ValidationError) -> list[GraftError]:
    """One problem for each place; pydantic reports a value that is neither a name nor options twice."""
    items: dict[tuple[Any, ...], Any] = {}
    for item in error.errors():
        place = item["loc"]
        if place[-1:] in CHOICE_FORMS:
            place, item["msg"] = place[:-1], "a choice is a name, or {name: …, option: value}"
        items.setdefault((place, item["type"] if place == item["loc"] else None), (place, item))
    return [_problem(path, tree, place, item) for place, item in items.values()]


def _problem(path: Path, tree: CommentedMap, place: tuple[Any, ...], item: Any) -> GraftError:
    name = ".".join(map(str, place)) or "the file"
    where = f"{path}:{line_of(tree, place)}"
    if item["type"] == "extra_forbidden":
        return unknown_key(place, where)
    if item["type"] == "missing":
        remedy = f"add {name} as graft recipe show scenes-night-rain prints it, or run: graft check --fix"
        if name in KEPT:
            remedy = f"run: graft check --fix, which writes {KEPT[name]}"
        return GraftError(f"{name} is missing", where=where, rule="every value is written down", remedy=remedy)
    if item["type"] == "value_error":
        return GraftError(f"{name}: {item['msg'].removeprefix('Value error, ')}", where=where)
    return GraftError(f"{name} is {reprlib.repr(item['input'])}", where=where, rule=item["msg"])
