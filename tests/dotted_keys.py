"""Values of a params tree by keys such as `fine_tune.epochs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def put(tree: Any, values: Mapping[str, Any]) -> None:
    """Sets values in a tree of mappings, in place; every section must be there."""
    for key, value in values.items():
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[last] = value
