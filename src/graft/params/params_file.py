"""Reading `params.yaml`: every error at once, each with its line, its rule and its remedy."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from graft.foundation.errors import GraftError, suggest
from graft.params.sections import Params, Section
from graft.params.yaml_tree import line_of, plain, read_tree

PARAMS_FILE = Path("params.yaml")
# Keys of older releases: what became of them, said where they are missing or in the way.
MOVED = {"evaluate.num_examples": "report.num_examples", "fine_tune.ema_decay": "fine_tune.averaging"}
KEPT = {"ingest.split_seed": "the file's own seed, so that every image stays in its split"}
CHOICE_FORMS = (("str",), ("dict[str,any]",))  # how pydantic ends the place of a value that is neither


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Reads and checks a params file.

    Raises:
        GraftError: The file is missing or is not YAML, or something in it breaks a rule; all of it is listed.
    """
    tree = read_complete(path)
    try:
        return Params.model_validate(plain(tree))
    except ValidationError as error:
        raise GraftError.of_all(f"{path} breaks the rules", rule_problems(path, tree, error)) from None


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


def read_complete(path: Path) -> CommentedMap:
    """Reads a params file; refuses a recipe that only says its changes, which somebody may have copied there."""
    tree = read_tree(path)
    if "base" in tree:
        remedy = "graft recipe show NAME --whole prints a complete file, graft recipe use NAME writes it to params.yaml"
        raise GraftError("this is a recipe, which holds only changes to its base", where=path, remedy=remedy)
    return tree


def rule_problems(path: Path, tree: CommentedMap, error: ValidationError) -> list[GraftError]:
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
