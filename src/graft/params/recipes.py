"""Recipes: params for common jobs. One is complete, the root; every other says what it changes in its base.

A recipe is a YAML file: a comment that says what it is for, `base: NAME`, and the sections and keys that it changes. A
choice (a mapping with `name`) takes the place of the base's choice; any other mapping is merged with the base's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from graft.foundation.content import content_digest, keep_copy, read_json
from graft.foundation.errors import GraftError, suggest
from graft.foundation.installation import PIPELINE
from graft.params.params_file import PARAMS_FILE, unknown_key
from graft.params.sections import Params, Section
from graft.params.yaml_tree import dump_tree, line_of, on_one_line, plain, read_tree, write_text, write_tree

FOLDER = PIPELINE / "recipes"
ROOT = "scenes-night-rain"
# The content digest of every params file that a release held, by recipe: these are nobody's own.
RELEASED = FOLDER / "released.json"


def list_recipes(folder: Path = FOLDER) -> dict[str, Path]:
    """The file of every recipe, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str, folder: Path = FOLDER) -> Path:
    """The file of a recipe.

    Raises:
        GraftError: There is no recipe of this name.
    """
    known = list_recipes(folder)
    if name not in known:
        raise GraftError(f"there is no recipe named {name!r}", where=folder, remedy=suggest(name, known))
    return known[name]


def describe(path: Path) -> str:
    """The comment that a recipe begins with, without the marks, as a paragraph."""
    return " ".join(line.removeprefix("#").strip() for line in _header(path.read_text(encoding="utf-8")))


def compose(name: str, folder: Path = FOLDER) -> CommentedMap:
    """Composes the complete params of a recipe: its base's, with its own changes; the comments are the root's.

    Raises:
        GraftError: There is no recipe of this name, a base does not exist or leads back to itself, or a change names a
            key that no section has.
    """
    lineage = _read_lineage(name, folder)
    tree = lineage.pop()[1]
    while lineage:
        path, changes = lineage.pop()
        del changes["base"]
        problems = list(_find_problems(changes, Params, (), path))
        if problems:
            raise problems[0] if len(problems) == 1 else GraftError.of_all(f"{path} breaks the rules", problems)
        _merge(tree, changes)
    return tree


def complete_text(name: str, folder: Path = FOLDER, changes: Mapping[tuple[str, ...], Any] = {}) -> str:
    """The complete params file of a recipe with some values changed, headed by the recipe's own comment.

    Raises:
        GraftError: As `compose`.
    """
    text = dump_tree(_changed(compose(name, folder), changes))
    body = text.splitlines()[len(_header(text)) :]
    return "\n".join([*_header(find_recipe(name, folder).read_text(encoding="utf-8")), *body]) + "\n"


def recipe_of(values: Mapping[str, Any]) -> str | None:
    """The name of the recipe, as it is bundled today, that has exactly these values; None where none has."""
    digest = content_digest(values)
    names = [name for name, released in read_json(RELEASED).items() if digest in released]
    return next((name for name in names if content_digest(plain(compose(name))) == digest), None)


def find_base(name: str, folder: Path = FOLDER) -> str | None:
    """The name of the recipe that a recipe is based on; None for the root.

    Raises:
        GraftError: As `compose`.
    """
    lineage = _read_lineage(name, folder)
    return lineage[1][0].stem if len(lineage) > 1 else None


def list_changes(name: str, base: str, folder: Path = FOLDER) -> list[str]:
    """A line for each value of a recipe that differs from another recipe's: its key, the other's value and its own.

    Raises:
        GraftError: As `compose`.
    """
    before, after = (_leaves(plain(compose(recipe, folder)), Params) for recipe in (base, name))
    return [
        f"{'.'.join(place)}: {_inline(before[place])} → {_inline(value)}"
        for place, value in after.items()
        if before[place] != value
    ]


def use(
    name: str,
    *,
    force: bool = False,
    changes: Mapping[tuple[str, ...], Any] = {},
    params_file: Path = PARAMS_FILE,
    folder: Path = FOLDER,
) -> str:
    """Replaces the params file by a recipe; returns a sentence that says what was done.

    A params file with the values of a recipe, of this release or an older one, is replaced whatever its comments are.
    Any other holds values of a person's own: with `force` it is kept as `params.yaml.before` (then `….before-2`, …).

    Args:
        name: Name of the recipe.
        force: Whether values of a person's own are replaced.
        changes: Values in the place of the recipe's, by the keys that lead to them.
        params_file: File that is replaced.
        folder: Folder of the recipes.

    Raises:
        GraftError: There is no such recipe, or the params file holds values of its own and `force` is not given.
    """
    text = complete_text(name, folder, changes)
    kept, changed = "", " with the values above" if changes else ""
    if params_file.exists():
        if holds(name, changes, params_file, folder):
            return f"{params_file} is the recipe {name}{changed} already"
        refuse_own_values(f"graft recipe use {name} --force", params_file, allowed=force)
        if _has_own_values(params_file):
            kept = f"; the old file is {keep_copy(params_file)}"
    write_text(params_file, text)
    then = "" if changes else ". Look at ingest.root, then run: dvc repro"
    return f"{params_file} is the recipe {name}{changed} now{kept}{then}"


def holds(
    name: str, changes: Mapping[tuple[str, ...], Any], params_file: Path = PARAMS_FILE, folder: Path = FOLDER
) -> bool:
    """Whether a params file has the values of a recipe with these changes, whatever its comments are."""
    return _digest_of(params_file) == content_digest(plain(_changed(compose(name, folder), changes)))


def refuse_own_values(remedy: str, params_file: Path = PARAMS_FILE, *, allowed: bool = False) -> None:
    """Refuses a params file that holds values of a person's own.

    Args:
        remedy: Command that replaces it all the same.
        params_file: The file.
        allowed: Whether they may be replaced.

    Raises:
        GraftError: It does, and they may not.
    """
    if not allowed and params_file.exists() and _has_own_values(params_file):
        raise GraftError(
            "holds values of your own",
            where=params_file,
            rule="a recipe takes the place of a params file only if nothing of yours is lost",
            remedy=f"copy it elsewhere, or run {remedy}, which keeps it as {params_file}.before",
        )


def _has_own_values(params_file: Path) -> bool:
    """Whether a params file has other values than the recipes of any release."""
    released = {known for digests in read_json(RELEASED).values() for known in digests}
    return _digest_of(params_file) not in released


def insert_missing(path: Path) -> list[str]:
    """Inserts every key that a params file lacks; returns a line for each.

    The value is the root recipe's, except that a file of an older release keeps what it meant: `ingest.split_seed` is
    its own `seed`, which used to draw the splits, `report.num_examples` is moved from `evaluate`, and
    `fine_tune.averaging` is the average that `ema_decay` asked for.
    """
    tree, documented = read_tree(path), compose(ROOT)
    documented["ingest"]["split_seed"] = tree.get("seed", documented["seed"])
    evaluate = tree.get("evaluate")
    if isinstance(evaluate, CommentedMap) and "num_examples" in evaluate and "report" not in tree:
        documented["report"]["num_examples"] = evaluate.pop("num_examples")
    fine_tune = tree.get("fine_tune")
    if isinstance(fine_tune, CommentedMap) and "ema_decay" in fine_tune and "averaging" not in fine_tune:
        decay = fine_tune.pop("ema_decay")
        documented["fine_tune"]["averaging"] = "none" if decay is None else {"name": "ema", "decay": decay}
    lines = [f"{path}: inserted {name}" for name in _insert(tree, documented, "")]
    if lines:
        write_tree(path, tree)
    return lines


def _changed(tree: CommentedMap, changes: Mapping[tuple[str, ...], Any]) -> CommentedMap:
    for place, value in changes.items():
        section = tree
        for key in place[:-1]:
            section = section[key]
        section[place[-1]] = on_one_line(value) if isinstance(value, Mapping) else value
    return tree


def _header(text: str) -> list[str]:
    """The lines of the comment that a file begins with."""
    lines = text.splitlines()
    return lines[: next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))]


def _read_lineage(name: str, folder: Path) -> list[tuple[Path, CommentedMap]]:
    """Reads a recipe and everything it is based on; the root comes last."""
    read: dict[str, tuple[Path, CommentedMap]] = {}
    path = find_recipe(name, folder)
    while True:
        tree = read_tree(path)
        read[path.stem] = path, tree
        if "base" not in tree:
            return list(read.values())
        base = tree["base"]
        where, known = f"{path}:{line_of(tree, ('base',))}", list_recipes(folder)
        if not isinstance(base, str) or base not in known:
            raise GraftError(f"there is no recipe named {base!r}", where=where, remedy=suggest(str(base), known))
        if base in read:
            circle = " → ".join([*list(read)[list(read).index(base) :], base])
            what = f"each of these recipes is based on the next: {circle}"
            raise GraftError(what, where=where, remedy="change the base of one of them")
        path = known[base]


def _find_problems(
    changes: CommentedMap, section: type[Section], place: tuple[str, ...], path: Path
) -> Iterator[GraftError]:
    """Finds changes to keys that a section does not have, and sections that are no mappings."""
    known, inner = section.keys(), section.subsections()
    for key, value in changes.items():
        where = f"{path}:{line_of(changes, (key,))}"
        if key not in known:
            yield unknown_key((*place, key), where)
        elif key in inner and isinstance(value, CommentedMap):
            yield from _find_problems(value, inner[key], (*place, key), path)
        elif key in inner:
            yield GraftError(f"{'.'.join((*place, key))} is {value!r}", where=where, rule="a section is a mapping")


def _merge(tree: CommentedMap, changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, CommentedMap) and isinstance(tree.get(key), CommentedMap) and "name" not in value:
            _merge(tree[key], value)
        else:
            if isinstance(value, (CommentedMap, CommentedSeq)):
                value.ca.comment = None  # of the recipe; the root's stays
            tree[key] = value


def _leaves(values: Mapping[str, Any], section: type[Section]) -> dict[tuple[str, ...], Any]:
    """Every value that is not a section itself, by its place."""
    leaves: dict[tuple[str, ...], Any] = {}
    for key, value in values.items():
        inner = section.subsections().get(key)
        if inner is None:
            leaves[(key,)] = value
        else:
            leaves |= {(key, *place): leaf for place, leaf in _leaves(value, inner).items()}
    return leaves


def _inline(value: Any) -> str:
    """A value as YAML on one line."""
    return dump_tree({"value": value}, flow=True).strip().removeprefix("{value: ").removesuffix("}")


def _digest_of(path: Path) -> str | None:
    """The digest of the values in a params file; None where it is not YAML."""
    try:
        return content_digest(plain(read_tree(path)))
    except GraftError:
        return None


def _insert(tree: CommentedMap, documented: CommentedMap, prefix: str) -> Iterator[str]:
    for key, value in documented.items():
        if key not in tree:
            tree[key] = value
            yield f"{prefix}{key}"
        elif isinstance(value, CommentedMap) and isinstance(tree[key], CommentedMap) and "name" not in value:
            yield from _insert(tree[key], value, f"{prefix}{key}.")
