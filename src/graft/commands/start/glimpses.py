"""Glimpses at a folder: a few of its files, and how these begin and end."""

from __future__ import annotations

from graft.data.formats.files import Found

HEAD_BYTES = 1 << 16
NUM_FILES_SEEN = 20


def sample(found: Found, *endings: str) -> list[str]:
    """A few files with one of these endings, those highest in the folder first."""
    named = [id for id in found.paths if id.lower().endswith(endings) and id not in found.refused]
    return sorted(named, key=lambda id: (id.count("/"), id))[:NUM_FILES_SEEN]


def head(found: Found, id: str) -> bytes:
    """The first bytes of a file."""
    with (found.root / found.paths[id]).open("rb") as file:
        return file.read(HEAD_BYTES)


def tail(found: Found, id: str) -> bytes:
    """The last bytes of a file."""
    with (found.root / found.paths[id]).open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - HEAD_BYTES))
        return file.read()
