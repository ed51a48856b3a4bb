"""Whether a root has the layout of a published data set, and which of its images have a mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graft.data.formats.files import Found
from graft.data.formats.listing import Entry
from graft.foundation.errors import GraftError


def check_layout(source: str, found: Found, *, folders: Sequence[str], files: Sequence[str] = ()) -> None:
    """Refuses a root that lacks a folder or a file of the layout: names what was expected, what lacks, what is there.

    Args:
        source: The format that expects it.
        found: Files and folders below the root.
        folders: Ids of the folders that must exist.
        files: Ids of the files that must exist.

    Raises:
        GraftError: Something lacks; if it all lies further down, the remedy says where.
    """
    missing = [folder for folder in folders if folder not in found.folders]
    missing += [file for file in files if file not in found.paths]
    if missing:
        raise layout_error(source, found, [*folders, *files], f"there is no {' and no '.join(missing)}")


def layout_error(source: str, found: Found, expected: Sequence[str], lack: str) -> GraftError:
    """The answer to a root with another layout; `lack` says what is not there."""
    inner = _deeper(found, expected)
    return GraftError(
        f"{source} expects {', '.join(expected)} here; {lack}; {found.in_words()}",
        where=found.root,
        rule="the layout is the one the data set is published in",
        remedy=f"set ingest.root to {found.root / inner}" if inner else "set ingest.root to the folder that holds them",
    )


def pair_files(
    found: Found, masks: Mapping[str, str], named_as_masks: Iterable[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs of image and mask that can be read, in order of id, and the problems of all others.

    Args:
        found: Files and folders below the root.
        masks: Id of each image that lies there to the id of its mask, whether that exists or not.
        named_as_masks: Ids of the files that lie where masks do.
    """
    problems = [
        f"{image}: image without mask (expected {mask}{found.near(mask)})"
        for image, mask in masks.items()
        if mask not in found.paths
    ]
    problems += [f"{mask}: mask without image" for mask in set(named_as_masks) - set(masks.values())]
    problems += found.refusals([*masks, *masks.values()])
    good = [
        (image, mask)
        for image, mask in masks.items()
        if mask in found.paths and image not in found.refused and mask not in found.refused
    ]
    return sorted(good), sorted(problems)


def entry_of(
    found: Found, image: str, mask: str, *, split: str, domain: str = "unspecified", group: str | None = None
) -> Entry:
    """A pair of files as an entry; without a group the image is its own."""
    return Entry(image, split, domain, group or image, found.paths[image], found.paths[mask])


def _deeper(found: Found, expected: Sequence[str]) -> str | None:
    """The folder below the root that holds all that is expected, if there is one."""
    there = found.folders | set(found.paths)
    ends = (place for place in sorted(found.folders) if place.endswith(f"/{expected[0]}"))
    inner = (place.removesuffix(f"/{expected[0]}") for place in ends)
    return next((folder for folder in inner if all(f"{folder}/{place}" in there for place in expected)), None)
