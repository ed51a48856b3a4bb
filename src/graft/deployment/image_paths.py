"""The images that paths, folders and globs name, the place of each below the output, and what was passed over."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from graft.data.formats.files import EXTENSIONS_READ
from graft.foundation.errors import GraftError

NUM_SKIPPED_SHOWN = 3
MAX_IMAGE_PIXELS = 1_000_000_000  # a larger one is refused as a decompression bomb
HIDDEN, NO_IMAGE, OUTPUT = "hidden", "not an image by its ending", "in the output folder"


@dataclass
class ImagePaths:
    """The files that were found.

    Attributes:
        places: File to its place below the output, without ending; no place twice.
        skipped: Reason to the files that folders and globs hold and that are no images to predict.
    """

    places: dict[Path, PurePosixPath] = field(default_factory=dict)
    skipped: dict[str, list[Path]] = field(default_factory=dict)

    def skipped_in_words(self) -> str:
        """Says how many files were skipped, why, and the first of them; empty where there are none."""
        return "; ".join(
            f"{len(files)} {reason} ({', '.join(file.name for file in files[:NUM_SKIPPED_SHOWN])}"
            f"{', …' if len(files) > NUM_SKIPPED_SHOWN else ''})"
            for reason, files in self.skipped.items()
        )


def list_images(
    paths: Sequence[str],
    extensions: AbstractSet[str] = EXTENSIONS_READ,
    out: Path | None = None,
    *,
    elsewhere: AbstractSet[str] = frozenset(),
    what: str = "image",
) -> ImagePaths:
    """Every image that the paths name, in order.

    A file keeps its name, a file of a folder or glob its path below that folder. Where two would share a place, they
    are placed below the folder that holds all files; after that the endings of their files are kept too. Hidden files
    and those below `out` are taken only where they are named themselves; of those with an ending in `elsewhere` nothing
    is said. `what` names such a file in messages.

    Raises:
        GraftError: Lists every path that names nothing.
    """
    found, problems = ImagePaths(), []
    for path in paths:
        num_matched = 0
        for file, place in _match(path):
            if reason := None if place is None else _reason_to_skip(file, place, extensions, out):
                if file.suffix.lower() not in elsewhere:
                    found.skipped.setdefault(reason, []).append(file)
                continue
            num_matched += 1
            found.places.setdefault(file, place or PurePosixPath(file.name))
        problems += [] if num_matched else [f"{path}: no such {what}, or no {what} in it"]
    if problems:
        kinds = ", ".join(sorted(extensions))
        nothing = "nothing to predict" if what == "image" else f"no {what} there"
        raise GraftError.of_all(nothing, problems, remedy=f"name files, folders or globs of {kinds}")
    found.places = separate_places(found.places)
    return found


def find_images(paths: Sequence[str], extensions: AbstractSet[str] = EXTENSIONS_READ) -> dict[Path, PurePosixPath]:
    """The places of `list_images`."""
    return list_images(paths, extensions).places


def match_files(
    path: str, extensions: AbstractSet[str], out: Path | None = None
) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yields the files of some endings that a path names, with their places; hidden ones as `list_images` does."""
    for file, place in _match(path):
        if place is None and file.suffix.lower() in extensions:
            yield file, PurePosixPath(file.name)
        elif place is not None and _reason_to_skip(file, place, extensions, out) is None:
            yield file, place


def separate_places(places: dict[Path, PurePosixPath]) -> dict[Path, PurePosixPath]:
    """Makes places differ, also in more than case (for macOS); the last resort is a digest in the name."""
    distinct: dict[Path, PurePosixPath] = {}
    root = os.path.commonpath([file.absolute().parent for file in places]) if places else ""

    def below_root(file: Path) -> PurePosixPath:
        return PurePosixPath(file.absolute().relative_to(root).as_posix())

    for candidates in (
        lambda file, place: place.with_suffix(""),
        lambda file, place: below_root(file).with_suffix(""),
        lambda file, place: place,
        lambda file, place: below_root(file),
        lambda file, place: PurePosixPath(f"{place}-{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}"),
    ):
        remaining = {file: candidates(file, place) for file, place in places.items() if file not in distinct}
        taken = Counter(str(place).casefold() for place in [*distinct.values(), *remaining.values()])
        distinct |= {file: place for file, place in remaining.items() if taken[str(place).casefold()] == 1}
    return {file: distinct[file] for file in places}


def _match(path: str) -> Iterator[tuple[Path, PurePosixPath | None]]:
    """The files that a path names, each with its path below the folder or glob; None for a file named itself."""
    if Path(path).is_file():
        yield Path(path), None
        return
    if Path(path).is_dir():
        root, files = Path(path), sorted(Path(path).rglob("*"))
    else:
        files = [Path(file) for file in sorted(glob.glob(path, recursive=True))]  # noqa: PTH207 - absolute patterns too
        root = Path(*_before_wildcards(Path(path).parts))
    for file in files:
        if file.is_file():
            yield file, PurePosixPath(file.relative_to(root).as_posix())


def _reason_to_skip(file: Path, place: PurePosixPath, extensions: AbstractSet[str], out: Path | None) -> str | None:
    if any(part.startswith(".") for part in place.parts):
        return HIDDEN
    if out is not None and file.absolute().is_relative_to(out.absolute()):
        return OUTPUT
    return None if file.suffix.lower() in extensions else NO_IMAGE


def _before_wildcards(parts: Sequence[str]) -> Iterator[str]:
    for part in parts[:-1]:
        if glob.has_magic(part):
            return
        yield part
