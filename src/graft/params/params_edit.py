"""Writing to `params.yaml`: what a person wrote stays as it was, comments included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from graft.foundation.installation import PIPELINE
from graft.params.params_file import read_tree

DOCUMENTED = PIPELINE / "recipes/scenes-night-rain.yaml"


def write_tree(path: Path, tree: CommentedMap) -> None:
    """Puts a tree that `read_tree` read, and somebody changed, in the place of the file."""
    yaml = YAML()
    yaml.width = 4096  # a line stays a line
    yaml.representer.add_representer(type(None), lambda of, _: of.represent_scalar("tag:yaml.org,2002:null", "null"))
    pending = path.with_name(f".tmp-{path.name}")
    with pending.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    pending.replace(path)


def insert_missing(path: Path) -> list[str]:
    """Inserts the documented value of every missing key into the file; returns a line for each."""
    tree = read_tree(path)
    documented = read_tree(DOCUMENTED)
    lines = [f"{path}: inserted {name}" for name in _insert(tree, documented, "")]
    if lines:
        write_tree(path, tree)
    return lines


def _insert(tree: CommentedMap, documented: CommentedMap, prefix: str) -> Iterator[str]:
    for key, value in documented.items():
        if key not in tree:
            tree[key] = value
            yield f"{prefix}{key}"
        elif isinstance(value, CommentedMap) and isinstance(tree[key], CommentedMap) and "name" not in value:
            yield from _insert(tree[key], value, f"{prefix}{key}.")
