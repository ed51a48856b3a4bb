"""The sources that a source consists of: those that are joined, and the one that is stacked or cut into tiles."""

from __future__ import annotations

from collections.abc import Iterator

from graft.data.formats import FORMATS
from graft.foundation.choices import Choice, resolve

WRAPPERS = ("stacks", "tiles")  # sources whose option `source` is the one that finds the files


def sources_in(source: Choice) -> Iterator[Choice]:
    """The source that reads files, or each of those that are joined, without what stacks or cuts them."""
    options = source.options
    if source.name in WRAPPERS:
        yield from sources_in(resolve(FORMATS, options["source"], where="ingest.source.source"))
    elif source.name == "joined":
        for number, part in enumerate(options["sources"]):
            inner = resolve(FORMATS, part["source"], where=f"ingest.source.sources[{number}].source")
            yield from sources_in(inner)
    else:
        yield source


def may_hold_stacks(source: Choice) -> bool:
    """Whether images of a source may be stacks of channels, and not pictures."""
    if source.name == "tiles":
        return may_hold_stacks(resolve(FORMATS, source.options["source"], where="ingest.source.source"))
    return source.name in ("stacks", "joined")
