"""The files below a root, each with the reason why it must not be read, if there is one."""

from __future__ import annotations

import bisect
import os
import posixpath
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from graft.data.formats.listing import Entry
from graft.foundation.errors import GraftError

MOST_FILE_BYTES = 120_000_000  # an image and its mask must fit into one shard
NUM_KINDS_SHOWN = 6
STACK_EXTENSIONS = frozenset({".npy", ".npz", ".zip"})  # beside those below, where images are stacks of channels
EXTENSIONS_READ = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"}
)


@dataclass
class Found:
    """Everything below a root but what begins with a dot, by id (POSIX path below the root, Unicode NFC).

    Attributes:
        root: The folder.
        paths: Id to the path below the root as it lies on disk, which may be another Unicode form.
        refused: Id to the reason why the file must not be read; such a file is in `paths` too.
        folders: Ids of all folders.
        problems: Folders that cannot be read.
    """

    root: Path
    paths: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def place_of(self, id: str) -> str:
        """The id of this file, or of the one whose name differs in nothing but the case of its ending; else `id`."""
        return id if id in self.paths else self._by_ending.get(with_small_ending(id), id)

    def near(self, id: str) -> str:
        """In words for the end of a line, a file beside one that is missing whose name begins as that one's does."""
        stem = posixpath.splitext(id)[0]
        place = bisect.bisect_left(self._in_order, stem)
        close = self._in_order[place] if place < len(self._in_order) else ""
        return f"; {close} is there" if close.startswith(stem) and "/" not in close[len(stem) :] else ""

    @cached_property
    def _in_order(self) -> list[str]:
        return sorted(self.paths)

    @cached_property
    def _by_ending(self) -> dict[str, str]:
        return {with_small_ending(id): id for id in sorted(self.paths, reverse=True)}

    def refusals(self, used: Iterable[str]) -> list[str]:
        """Problems of those files a source wants to read."""
        return [f"{id}: {self.refused[id]}" for id in used if id in self.refused]

    def in_words(self) -> str:
        """Describes the kinds of files and their folders, most frequent first, for the answer to a wrong layout."""
        kinds: Counter[str] = Counter(
            posixpath.join(posixpath.dirname(id), f"*{posixpath.splitext(id)[1]}") for id in self.paths
        )
        shown = [f"{count} x {kind}" for kind, count in kinds.most_common(NUM_KINDS_SHOWN)]
        more = [f"{len(kinds) - NUM_KINDS_SHOWN} more kinds"] if len(kinds) > NUM_KINDS_SHOWN else []
        return f"found {', '.join(shown + more)}" if shown else "found no files at all"


def find_files(root: Path) -> Found:
    """Walks the folder; links are judged and never followed into folders.

    Raises:
        GraftError: `root` is not a folder that can be read.
    """
    if not root.is_dir():
        raise GraftError(
            "there is no such folder", where=root, remedy="set ingest.root to the folder that holds your images"
        )
    found, real_root, pending = Found(root), os.path.realpath(root), [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as scan:
                items = sorted((item for item in scan if not item.name.startswith(".")), key=lambda item: item.name)
        except OSError as error:
            found.problems.append(f"{folder or root}: the folder cannot be read ({error.strerror})")
            continue
        for item in items:
            path = posixpath.join(folder, item.name)
            if item.is_dir(follow_symlinks=False):
                found.folders.add(id_of(path))
                pending.append(path)
            elif item.is_symlink() and item.is_dir():  # silence would lose every image behind it
                found.problems.append(f"{id_of(path)}: {_refusal(item, real_root)}")
            else:
                _take(found, path, item, real_root)
    return found


def id_of(path: str) -> str:
    """A path below the root as an id; what is not valid UTF-8 is escaped (and refused by `find_files`)."""
    return unicodedata.normalize("NFC", path).encode("utf-8", "backslashreplace").decode()


def with_small_ending(id: str) -> str:
    """A path whose ending is in small letters."""
    stem, ending = posixpath.splitext(id)
    return f"{stem}{ending.lower()}"


def by_end(ids: Iterable[str], *, bare: bool = True) -> dict[str, list[str]]:
    """Every end of a path to the ids that end so: `b/1.png` and `1.png`, and if `bare` also `b/1` and `1`."""
    known: dict[str, list[str]] = {}
    for id in sorted(ids):
        for name in dict.fromkeys((id, posixpath.splitext(id)[0])) if bare else (id,):
            for end in ends_of(name):
                known.setdefault(end, []).append(id)
    return known


def ends_of(path: str) -> Iterator[str]:
    """The path and each shorter end of it, longest first."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return ("/".join(parts[number:]) for number in range(len(parts)))


@dataclass(frozen=True)
class FileReader:
    """Reads the files of an entry below `root`."""

    root: str

    def __call__(self, entry: Entry) -> tuple[bytes, bytes | None]:
        return self._bytes(str(entry.image)), None if entry.mask is None else self._bytes(entry.mask)

    def _bytes(self, path: str) -> bytes:
        with open(f"{self.root}/{path}", "rb", buffering=0) as file:  # noqa: PTH123  half the time of Path.open
            if os.fstat(file.fileno()).st_size > MOST_FILE_BYTES:
                raise GraftError(f"more than {MOST_FILE_BYTES:,} bytes", where=path, remedy="store it as PNG or JPEG")
            return file.read()


def _take(found: Found, path: str, item: os.DirEntry[str], real_root: str) -> None:
    id = id_of(path)
    reason = _refusal(item, real_root)
    if not _is_utf8(path):
        reason = "the name is not valid UTF-8; rename it"
    if id in found.paths:
        reason = "two files differ only in the Unicode form of their names; rename one"
    if reason:
        found.refused[id] = reason
    found.paths[id] = path


def _refusal(item: os.DirEntry[str], real_root: str) -> str | None:
    if not item.is_symlink():
        return None if item.is_file(follow_symlinks=False) else "neither a file nor a folder"
    target = os.path.realpath(item.path)
    if os.path.commonpath([real_root, target]) != real_root:
        return f"a link that leads out of the root, to {target}; put the file itself here"
    try:
        mode = Path(target).stat().st_mode
    except OSError as error:
        return f"a link to nothing that can be read ({error.strerror})"
    return None if stat.S_ISREG(mode) else "a link to a folder, which is not followed; put the folder itself here"


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
