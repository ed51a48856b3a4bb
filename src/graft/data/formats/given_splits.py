"""Splits that a data set brings along: in the names of its folders, or in lists of its images."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from graft.data.formats.files import Found, by_end, ends_of, id_of
from graft.data.formats.split_names import split_named
from graft.data.formats.splits import hashed_split
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError, suggest

Splits = dict[Literal["train", "val", "test"], str | list[str]]
LIST_ENDINGS = frozenset({".txt", ".lst", ".csv"})
OPTION = "splits in ingest.source says what is used, as in {train: Training, val: lists/dev.txt}, and {} uses none"


@dataclass(frozen=True)
class GivenSplits:
    """Splits that folders or lists say, and the hash for those they leave open.

    Attributes:
        split_of: Id of each image to its split; empty where nothing is given.
        notes: Folders and lists that were not used, and images that no list names.
    """

    split_of: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def given(self) -> frozenset[str]:
        """The splits that are given."""
        return frozenset(self.split_of.values())

    @property
    def are_official(self) -> bool:
        """Whether train and val are both given, so that nothing is left to the hash."""
        return "val" in self.given

    def needed(self, test_fraction: float) -> list[str]:
        """The splits that must not be empty."""
        return ["train", "val"] + ["test"] * (test_fraction > 0 and not self.are_official)

    def assign(self, id: str, group: str, seed: int, val_fraction: float, test_fraction: float) -> str | None:
        """The split of an image: what is given, where train is divided by hash unless val is given, too.

        Returns:
            None for an image that no list names.
        """
        given = self.split_of.get(id, None if self.split_of else "train")
        if given != "train" or self.are_official:
            return given
        return hashed_split(seed, group, val_fraction, 0.0 if "test" in self.given else test_fraction)


def find_splits(found: Found, images: Collection[str], chosen: Splits | None) -> GivenSplits:
    """The splits of these images.

    Args:
        found: Files and folders below the root, lists among them.
        images: Ids.
        chosen: Split to a folder or a list, or several; empty looks at neither, None finds them by their names.

    Raises:
        GraftError: A folder or list that is chosen is not there, or an image is in two of the chosen splits.
    """
    if chosen is not None:
        return _chosen(found, images, chosen) if chosen else GivenSplits()
    by_folder, notes = _by_folder(images)
    by_lists, said = _by_lists(found, images)
    if by_folder and by_lists and any(by_folder[id] != split for id, split in by_lists.items()):
        said.append(f"lists of images that say other splits than the folders do, which were used; {OPTION}")
    split_of = by_folder or by_lists
    if split_of and len(split_of) < len(images):
        said.append(_unnamed(images, split_of))
    return GivenSplits(split_of, (*notes, *said))


def _by_folder(images: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Splits from the uppermost folders of which each is named after one, train among them."""
    parts = {id: id.split("/")[:-1] for id in images}
    notes = []
    for depth in range(min(map(len, parts.values()), default=0)):
        split_of = {name: split_named(name) for name in sorted({folders[depth] for folders in parts.values()})}
        given = {split for split in split_of.values() if split in ("train", "val", "test")}
        if len(given) < 2:
            continue
        if "train" in given and given == set(split_of.values()):
            return {id: str(split_of[folders[depth]]) for id, folders in parts.items()}, []
        named = ", ".join(name for name, split in split_of.items() if split in given)
        others = ", ".join(name for name, split in split_of.items() if split not in given)
        why = f"{others} beside them say none" if others else "none of them is train"
        notes.append(f"folders named after splits, {named}, which were not used, for {why}; {OPTION}")
    return {}, notes


def is_list(id: str) -> bool:
    """Whether a file is named as the list of a split."""
    stem, ending = posixpath.splitext(posixpath.basename(id))
    return ending.lower() in LIST_ENDINGS and split_named(stem) in ("train", "val", "test")


def _by_lists(found: Found, images: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Splits from the lists of one folder that together name most of the images, each once."""
    lists: dict[str, list[str]] = defaultdict(list)
    for id in sorted(found.paths, key=lambda id: (id.count("/"), id)):
        if is_list(id) and id not in found.refused:
            lists[posixpath.dirname(id)].append(id)
    used: dict[str, str] = {}
    notes: list[str] = []
    names = _Names(images) if lists else None
    for files in lists.values():
        assert names is not None
        split_of, why = _read_lists(found, files, names, len(images))
        if split_of and used and split_of != used:
            why = "others say other splits"
        used = used or split_of
        if why:
            notes.append(f"lists named after splits, {', '.join(files)}, which were not used, for {why}; {OPTION}")
    return used, notes


def _read_lists(found: Found, files: list[str], names: _Names, num_images: int) -> tuple[dict[str, str], str]:
    """The split of each image, or none and the reason."""
    split_of_file = {file: str(split_named(posixpath.splitext(posixpath.basename(file))[0])) for file in files}
    whole = [file for file in files if "trainval" in posixpath.basename(file).lower()]
    if {"train", "val"} <= {split for file, split in split_of_file.items() if file not in whole}:
        split_of_file = {file: split for file, split in split_of_file.items() if file not in whole}
    split_of: dict[str, str] = {}
    try:
        for file, split in split_of_file.items():
            for id in names.of_list(found, file):
                if split_of.setdefault(id, split) != split:
                    return {}, f"{id} is in two of them"
    except GraftError as error:
        return {}, str(error).rstrip(".")
    if len(split_of) * 2 <= num_images:
        return {}, f"they name {len(split_of)} of {counted(num_images, 'image')}"
    if "train" not in split_of.values() or len(set(split_of.values())) < 2:
        return {}, f"of the {counted(num_images, 'image')} they name only {', '.join(sorted(set(split_of.values())))}"
    return split_of, ""


def _chosen(found: Found, images: Collection[str], chosen: Splits) -> GivenSplits:
    names, problems = _Names(images), []
    split_of: dict[str, str] = {}
    for split, places in chosen.items():
        for place in [places] if isinstance(places, str) else places:
            path = posixpath.normpath(id_of(place))
            if path in found.paths:
                named = set(names.of_list(found, path))
            else:
                named = {id for id in images if f"/{path}/" in f"/{posixpath.dirname(id)}/"}
            known = sorted({folder for id in images for folder in id.split("/")[:-1]})
            problems += [] if named else [f"{split}: {place!r} holds and lists no image; {suggest(place, known)}"]
            problems += [
                f"{id} is in {split_of[id]} and in {split}" for id in named if split_of.get(id, split) != split
            ]
            split_of |= dict.fromkeys(named, str(split))
    if "train" not in chosen:
        problems.append("train is not among them")
    if problems:
        raise GraftError.of_all("ingest.source.splits cannot be used", problems)
    return GivenSplits(split_of, (_unnamed(images, split_of),) if len(split_of) < len(images) else ())


def _unnamed(images: Collection[str], split_of: Mapping[str, str]) -> str:
    left = sorted(set(images) - set(split_of))
    return f"{counted(len(left), 'image')} in no split, as {left[0]}; {OPTION}"


class _Names:
    """All that an image may be called in a list: its path or the end of it, with or without ending, or its folder."""

    def __init__(self, images: Iterable[str]) -> None:
        known = sorted(images)
        self._ids = by_end(known)
        for id in known:
            for end in dict.fromkeys(end for folder in _above(posixpath.dirname(id)) for end in ends_of(folder)):
                self._ids.setdefault(end, []).append(id)

    def of_list(self, found: Found, file: str) -> Iterator[str]:
        """The images that the lines of a list name; lines that name none are passed over."""
        try:
            text = (found.root / found.paths[file]).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise GraftError(f"the list cannot be read ({error})", where=found.root / file) from None
        for line in text.splitlines():
            yield from self._of_line(line.strip())

    def _of_line(self, line: str) -> list[str]:
        """The images of a line, or of its first column; what stands in front on somebody else's machine is dropped."""
        for cell in dict.fromkeys((line, re.split(r"[\s,;]", line)[0].strip("\"'"))):
            path = posixpath.normpath(id_of(cell.replace("\\", "/")))
            for name in (path, posixpath.splitext(path)[0]):
                if (end := next((end for end in ends_of(name) if end in self._ids), None)) is not None:
                    return self._ids[end]
        return []


def _above(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
