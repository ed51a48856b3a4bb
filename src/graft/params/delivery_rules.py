"""Rules of deliveries that need the file as it is written, or what lies around it: their names and roots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graft.foundation.errors import GraftError
from graft.params.memory import Finding
from graft.params.surroundings import find_root_problems


def find_delivery_problems(tree: Mapping[str, Any]) -> Iterator[Finding]:
    """Finds roots that are not there, and names that YAML reads as something else.

    Args:
        tree: The params file as `read_tree` read it; what breaks the rules of its sections is left to these.
    """
    section = tree.get("ingest")
    if not isinstance(section, Mapping):
        return
    yield from ((("ingest", "root"), error) for error in find_root_problems(section.get("root")))
    deliveries = section.get("deliveries")
    if not isinstance(deliveries, Mapping):
        return
    for name, delivery in deliveries.items():
        place = ("ingest", "deliveries", name)
        if not isinstance(name, str):
            what = f"ingest.deliveries.{name}: YAML reads this name as a {type(name).__name__}"
            yield place, GraftError(what, remedy=f'write it in quotes: "{name}"')
        elif isinstance(delivery, Mapping):
            key = f"ingest.deliveries.{name}.root"
            yield from (((*place, "root"), error) for error in find_root_problems(delivery.get("root"), key))
