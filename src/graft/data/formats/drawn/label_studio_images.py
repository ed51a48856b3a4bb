"""The images that the tasks of Label Studio name by the address at which it showed them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from graft.data.formats.files import by_end, ends_of, id_of
from graft.data.formats.unlabelled_images import is_picture

UPLOADED = re.compile(r"[0-9a-f]{8}-")  # what it puts before the name of a file that is uploaded


class ShownImages:
    """The images below the root, by the end of their path, as they are called or as an upload calls them."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._by_end = by_end(ids, bare=False)
        self._by_upload: dict[str, list[str]] = {}
        for end, found in self._by_end.items():
            if "/" not in end:
                self._by_upload.setdefault(_as_uploaded(end), []).extend(found)

    def of_task(self, task: Mapping[str, Any]) -> str:
        """The image of a task: the only one below the root that its data name.

        Raises:
            ValueError: They name none, none that is there, or several.
        """
        named = [path for value in task["data"].values() if isinstance(value, str) and is_picture(path := _path(value))]
        if not named:
            raise ValueError("its data name no image file")
        images = {id for path in named if (id := self._of(path)) is not None}
        if not images:
            raise ValueError(f"its image {named[0]!r} is not there, or several end so")
        if len(images) > 1:
            raise ValueError(f"its data name {' and '.join(sorted(images))}; a task shows one image")
        return images.pop()

    def _of(self, path: str) -> str | None:
        uploaded = _as_uploaded(UPLOADED.sub("", posixpath.basename(path), count=1))
        found = [*(self._by_end.get(end, []) for end in ends_of(path)), self._by_upload.get(uploaded, [])]
        return next((ids[0] for ids in found if len(ids) == 1), None)


def _path(address: str) -> str:
    """The path in an address: a URL, a place in a bucket, `/data/local-files/?d=PATH`, or a path as it is."""
    if "://" in address or address.startswith("/data/"):
        parts = urlsplit(address)
        address = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    return id_of(address.replace("\\", "/")).lstrip("/")


def _as_uploaded(name: str) -> str:
    """A file name as Django changes it for an upload: spaces are underscores, other signs are dropped."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))
