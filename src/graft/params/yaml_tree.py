"""YAML files that people write: read and written back with their comments, and with the line of every key."""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError


def read_tree(path: Path) -> CommentedMap:
    """Reads a YAML file together with its comments and line numbers.

    Raises:
        GraftError: The file is missing, is not YAML, or is not a mapping.
    """
    try:
        tree = YAML().load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "run graft in the root of your project, or write a params.yaml with: graft recipe use NAME"
        raise GraftError("file not found", where=path, remedy=remedy) from None
    except UnicodeDecodeError as error:
        raise GraftError(f"not UTF-8 text ({error})", where=path, remedy="save it as UTF-8") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise GraftError(f"not valid YAML: {error.problem}", where=f"{path}:{line}", remedy="fix this line") from None
    except YAMLError as error:
        reason = str(error).strip().splitlines()[0]
        raise GraftError(f"not valid YAML: {reason}", where=path, remedy="fix the file") from None
    if not isinstance(tree, CommentedMap):
        raise GraftError("holds no sections", where=path, remedy="compare it with: graft recipe show scenes-night-rain")
    return tree


def dump_tree(tree: Any, *, flow: bool = False) -> str:
    """The text of a tree, comments included.

    Args:
        tree: Plain data, or a tree that `read_tree` read.
        flow: Whether plain mappings are written on one line.
    """
    yaml = YAML()
    yaml.default_flow_style = flow
    yaml.width = 4096  # a line stays a line
    yaml.representer.add_representer(type(None), _represent_none)
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def write_tree(path: Path, tree: CommentedMap) -> None:
    """Replaces a file by a tree that `read_tree` read and somebody changed."""
    write_text(path, dump_tree(tree))


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one step, so that no reader sees half of it."""
    with replace_file(path) as pending:
        pending.write_text(text, encoding="utf-8")


def on_one_line(values: Mapping[str, Any]) -> CommentedMap:
    """A mapping, with all inside it, that is written as `{name: …}`."""
    found = CommentedMap(values)
    found.fa.set_flow_style()
    return found


def put_value(place: CommentedMap, key: str, value: Any) -> None:
    """Gives a key another value, written on its line; comments beside the key and below the value stay.

    What was said within a value of several lines goes with it.

    Args:
        place: Mapping of a tree that `read_tree` read.
        key: Key in it.
        value: Plain data.
    """
    before, place[key] = place[key], _on_its_line(value)
    if not _is_block(before):
        return
    said, below = place.ca.items.setdefault(key, [None] * 4), _comment_below(before)
    text = f"{_lines(said[2])[0]}\n{_lines(below)[2]}"
    token = said[2] or below
    if token is not None:
        token.value = text
    said[2:] = [None if text == "\n" else token, None]


def _lines(comment: Any) -> tuple[str, str, str]:
    """The first line of a comment, the end of that line, and the lines below it; empty without one."""
    return ("", "", "") if comment is None else comment.value.partition("\n")


def _on_its_line(value: Any) -> Any:
    if isinstance(value, Mapping):
        return on_one_line({key: _on_its_line(one) for key, one in value.items()})
    if isinstance(value, list):
        found = CommentedSeq([_on_its_line(one) for one in value])
        found.fa.set_flow_style()
        return found
    return value


def _is_block(node: Any) -> bool:
    """Whether a value is a mapping or list of several lines, one for each entry."""
    return isinstance(node, CommentedMap | CommentedSeq) and bool(node) and not node.fa.flow_style()


def _comment_below(node: Any) -> Any:
    """The comment that the last line of a value in block style carries, as ruamel.yaml keeps it; None without one."""
    if not _is_block(node):
        return None
    last: Any = next(reversed(node)) if isinstance(node, CommentedMap) else len(node) - 1
    deeper = _comment_below(node[last])
    own = node.ca.items.get(last, [None] * 4)[2 if isinstance(node, CommentedMap) else 0]
    return deeper if deeper is not None else own


def changed_lines(path: Path, tree: CommentedMap) -> list[str]:
    """The lines of a params file that a tree changes, as `diff` shows them."""
    before, after = path.read_text(encoding="utf-8").splitlines(), dump_tree(tree).splitlines()
    lines = difflib.unified_diff(before, after, lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def plain(node: Any) -> Any:
    """The values of a tree without comments, as ordinary dicts, lists and scalars."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def line_of(tree: CommentedMap, place: tuple[Any, ...]) -> int:
    """The line of the deepest part of `place` that exists in the file; the first line is 1."""
    line = 1
    node: Any = tree
    for part in place:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0] + 1
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = node.lc.item(part)[0] + 1
        else:
            return line
        node = node[part]
    return line


def _represent_none(representer: RoundTripRepresenter, _: None) -> ScalarNode:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
