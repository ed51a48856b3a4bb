"""Mask files of which an image has several: a pattern with `{class}` and `*`, and which file belongs to which image."""

from __future__ import annotations

import bisect
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from graft.data.formats.files import with_small_ending
from graft.data.formats.patterns import ImagePattern, MaskPattern
from graft.foundation.errors import GraftError

OPEN_PARTS = re.compile(r"\{class\}|\*")
ANYTHING, CLASS = "[^/]*", "(?P<label>[^/]+)"


@dataclass(frozen=True, order=True)
class Layer:
    """A mask file of an image.

    Attributes:
        path: Id of the file.
        label: Text that `{class}` stands for; "" where the pattern has none.
    """

    path: str
    label: str


@dataclass(frozen=True)
class Layers:
    """The mask files of all images.

    Attributes:
        of_image: Id of each image to its mask files, which may be none.
        shared: File to the images that share it, where nothing tells whose it is.
    """

    of_image: Mapping[str, Sequence[Layer]]
    shared: Mapping[str, Sequence[str]]

    @cached_property
    def files(self) -> frozenset[str]:
        """The mask files of all images together."""
        return frozenset(layer.path for layers in self.of_image.values() for layer in layers)


class LayerPattern:
    """The paths of the masks of an image: what `MaskPattern` fills in, `{class}`, and `*` for whatever a name holds.

    Raises:
        GraftError: As `MaskPattern`, or it has neither `{class}` nor `*`, or `{class}` twice.
    """

    def __init__(self, pattern: str, images: ImagePattern) -> None:
        self.text, self.images, where = pattern, images, "ingest.source.masks"
        self.has_class = "{class}" in pattern
        if not OPEN_PARTS.search(pattern) or pattern.count("{class}") > 1:
            raise GraftError(
                f"{pattern!r} holds {{class}} twice" if self.has_class else f"{pattern!r} names one file an image",
                where=where,
                rule="{class} stands for the name of the class once, * for what tells instances apart",
                remedy='as in "masks/{stem}/{class}.png"; for one mask an image, mask_folder is the source',
            )
        self._marked = re.split(rf"({OPEN_PARTS.pattern})", pattern)
        self._literals = MaskPattern("\0".join(self._marked[::2]), images, where=where)

    def of_image(self, id: str) -> list[str]:
        """The pattern of the masks of one image, what is known filled in: literals, and what is open between them."""
        literals = self._literals.mask_of(id).split("\0")
        opened = self._marked[1::2]
        return [part for pair in zip(literals, [*opened, ""], strict=True) for part in pair][:-1]

    def of_any_image(self) -> re.Pattern[str]:
        """The expression for files that are named as masks are."""
        parts = re.split(r"(\{(?:dir|subdir)\}/?|\{[^{}]*\}|\*)", self.text)
        return re.compile("".join(map(_any, parts)))


def find_layers(paths: Iterable[str], images: Iterable[str], pattern: LayerPattern) -> Layers:
    """The masks of each image; a file that two images could claim is that of the longer name.

    Args:
        paths: Ids of all files.
        images: Ids of the images.
        pattern: Where their masks lie.
    """
    folders = _Folders(paths)
    claims: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    known = list(images)
    for id in known:
        for path, label, num_open in folders.matches(pattern.of_image(id)):
            claims[path].append((num_open, id, label))
    of_image: dict[str, list[Layer]] = {id: [] for id in known if id not in claims}
    shared: dict[str, list[str]] = {}
    for path, claimants in claims.items():
        owners = sorted(claim for claim in claimants if claim[1] in of_image)
        if len(owners) > 1 and owners[0][0] == owners[1][0]:
            shared[path] = [id for num_open, id, _ in owners if num_open == owners[0][0]]
        elif owners:
            _, id, label = owners[0]
            of_image[id].append(Layer(path, label))
    return Layers({id: sorted(layers) for id, layers in of_image.items()}, shared)


@dataclass
class _Folder:
    """The names in a folder, to be found by how they begin or end.

    Attributes:
        folders: Name of each folder in it to its content.
        files: Name of each file, its ending in small letters, to its name.
    """

    folders: dict[str, _Folder] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @cached_property
    def forwards(self) -> list[str]:
        return sorted(self.files)

    @cached_property
    def backwards(self) -> list[str]:
        return sorted(name[::-1] for name in self.files)

    def between(self, start: str, end: str) -> Iterator[str]:
        """Yields the files that begin and end so, looking only at those that the longer of the two leaves."""
        if len(start) >= len(end):
            yield from (name for name in _beginning(self.forwards, start) if name.endswith(end))
        else:
            yield from (name[::-1] for name in _beginning(self.backwards, end[::-1]) if name.endswith(start[::-1]))


class _Folders:
    """The files by folder, so that a pattern with open parts meets few of them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._root = _Folder()
        for path in paths:
            *folders, name = path.split("/")
            place = self._root
            for folder in folders:
                place = place.folders.setdefault(folder, _Folder())
            place.files[with_small_ending(name)] = name

    def matches(self, parts: Sequence[str]) -> Iterator[tuple[str, str, int]]:
        """Yields the files that match, what `{class}` stands for, and the length of all that is open."""
        *folders, name = with_small_ending("".join(parts)).split("/")
        whole = re.compile("".join(map(_open, [*parts[:-1], with_small_ending(parts[-1])])))
        length = sum(len(part) for part in parts[::2])
        for place, above in _below(self._root, folders):
            start, end = OPEN_PARTS.split(name)[0], OPEN_PARTS.split(name)[-1]
            is_open = OPEN_PARTS.search(name)
            for file in place.between(start, end) if is_open else [name] * (name in place.files):
                if (match := whole.fullmatch(posixpath.join(*above, file))) is not None:
                    path = posixpath.join(*above, place.files[file])
                    yield path, match.groupdict().get("label") or "", len(path) - length


def _below(place: _Folder, folders: Sequence[str]) -> Iterator[tuple[_Folder, list[str]]]:
    """Yields the folders that a pattern of folders leads to."""
    if not folders:
        yield place, []
        return
    first, *others = folders
    expression = re.compile("".join(map(_open, re.split(rf"({OPEN_PARTS.pattern})", first))))
    is_open = OPEN_PARTS.search(first) is not None
    for name in [one for one in place.folders if expression.fullmatch(one)] if is_open else [first]:
        if name in place.folders:
            for inner, above in _below(place.folders[name], others):
                yield inner, [name, *above]


def _open(part: str) -> str:
    return {"{class}": CLASS, "*": ANYTHING}.get(part) or re.escape(part)


def _any(part: str) -> str:
    if part.startswith(("{dir}", "{subdir}")):
        return "(?:.*/)?" if part.endswith("/") else ".*"
    return "[^/]+" if part.startswith("{") else _open(part)


def _beginning(ordered: Sequence[str], start: str) -> Iterator[str]:
    for place in range(bisect.bisect_left(ordered, start), len(ordered)):
        if not ordered[place].startswith(start):
            return
        yield ordered[place]
