"""Rules of deliveries that need the file as it is written, or what lies around it: their names and roots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graft.data.memory import MEMORIES
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.params.memory import Finding
from graft.params.sections import Params
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


def find_memory_problems(params: Params) -> Iterator[Finding]:
    """Finds names in `augment.memory` that are no deliveries of `ingest`."""
    memory = resolve(MEMORIES, params.augment.memory, where="augment.memory")
    known = params.ingest.names
    if strange := [name for name in memory.options.get("new", ()) if name not in known]:
        yield (
            ("augment", "memory"),
            GraftError(
                f"augment.memory.new: no delivery is called {', '.join(strange)}",
                rule=f"it names deliveries whose images are learnt; there are {', '.join(known)}",
                remedy="add the delivery to ingest.deliveries, or name one that is there",
            ),
        )
