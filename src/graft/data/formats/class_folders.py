"""Which folders are splits and which are classes, where each class has a folder of its own."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from graft.data.formats.files import Found, id_of
from graft.data.formats.given_splits import Splits, is_list
from graft.data.formats.split_names import split_named
from graft.foundation.errors import GraftError

BY_NAME = "taken for splits by their names; if they are classes, set splits: {} in ingest.source"


@dataclass(frozen=True)
class ClassFolders:
    """The folders of the classes: at the root, or one level below the splits.

    Attributes:
        found: Files and folders below the root.
        split_of: Split folder to its split; empty where the classes stand at the root.
    """

    found: Found
    split_of: Mapping[str, str]

    @classmethod
    def of(cls, found: Found, splits: Splits | None) -> ClassFolders:
        """The layout that `splits` says, or that the names say where it is None.

        Raises:
            GraftError: It is no such layout.
        """
        if splits is not None:
            return cls(found, _named_folders(found, splits))
        top = sorted(folder for folder in found.folders if "/" not in folder)
        named = {folder: split for folder in top if (split := split_named(folder)) in ("train", "val", "test")}
        if not top:
            raise wrong_layout(found, "no folders")
        if named and "train" not in named.values():
            raise wrong_layout(found, f"no train beside {', '.join(named)} ({BY_NAME})")
        folders = cls(found, named)
        folders._refuse_equal_subfolders()
        return folders

    def split_of_image(self, id: str) -> str | None:
        """The split whose folder holds the image."""
        return self.split_of.get(self._above(id))

    def class_of(self, id: str) -> str | None:
        """The class whose folder holds the image."""
        if self.split_of and self._above(id) not in self.split_of:
            return None
        below = id.removeprefix(f"{self._above(id)}/") if self.split_of else id
        return below.split("/")[0] if "/" in below else None

    def classes(self) -> list[str]:
        """The names of the classes, in order.

        Raises:
            GraftError: There are fewer than two.
        """
        names = sorted({posixpath.basename(folder) for folder in self._of_classes()})
        if len(names) < 2:
            many = f"{len(names)} class folders" if len(names) != 1 else f"only one class, {names[0]}"
            taken = f" ({', '.join(self.split_of)}: {BY_NAME})" if self.split_of else ""
            raise wrong_layout(self.found, many + taken)
        return names

    def problems(self, images: list[str]) -> list[str]:
        """Images that stand in no class, classes without images, folders that are neither split nor class."""
        filled = {f"{self._above(id)}/{self.class_of(id)}".lstrip("/") for id in images}
        inside = {*self.split_of, *(above for folder in self.split_of for above in _parents(folder))}
        strangers = {f for f in self.found.folders if self.split_of and "/" not in f and f not in inside}
        beside = f"a folder beside the split folders {', '.join(sorted(self.split_of))} ({BY_NAME})"
        return [
            *self.without_class(images).values(),
            *(f"{f}: label without image (the class folder is empty)" for f in self._of_classes() if f not in filled),
            *(f"{folder}: {beside}" for folder in strangers),
        ]

    def without_class(self, images: list[str]) -> dict[str, str]:
        """Images that stand in no class, each to the line that says so."""
        bare = [id for id in images if self.class_of(id) is None]
        return {id: f"{id}: image without label (it lies in no class folder)" for id in bare}

    def _above(self, id: str) -> str:
        """The split folder that holds a file or folder; the root where there are none."""
        return next((folder for folder in self.split_of if id.startswith(f"{folder}/")), "")

    def _of_classes(self) -> list[str]:
        if not self.split_of:
            held = {id.split("/")[0] for id in self.found.paths if "/" in id and not is_list(id)}
            of_lists = {id.split("/")[0] for id in self.found.paths if "/" in id} - held
            return [folder for folder in self.found.folders if "/" not in folder and folder not in of_lists]
        return [folder for folder in self.found.folders if posixpath.dirname(folder) in self.split_of]

    def _refuse_equal_subfolders(self) -> None:
        """Refuses classes that all hold the same folders: those are the classes, or splits."""
        below: dict[str, set[str]] = {posixpath.basename(folder): set() for folder in self._of_classes()}
        inner: dict[str, str] = {folder: posixpath.basename(folder) for folder in self._of_classes()}
        for folder in self.found.folders:
            if (name := inner.get(posixpath.dirname(folder))) is not None:
                below[name].add(posixpath.basename(folder))
        shared = set.intersection(*below.values()) if len(below) > 1 else set()
        if any(split_named(name) for name in shared):
            raise wrong_layout(self.found, "split folders inside the class folders")
        hold_images = {posixpath.dirname(id) for id in self.found.paths} >= inner.keys()
        if len(shared) > 1 and not hold_images and all(folders == shared for folders in below.values()):
            names = f"{', '.join(sorted(below))}, which all hold the same folders, {', '.join(sorted(shared))}"
            raise GraftError(
                f"image_folder finds the classes {names}",
                where=self.found.root,
                rule="what every folder holds tells no two of them apart",
                remedy="if the inner folders are the classes, name the outer ones in splits, as in "
                f"{{train: {sorted(below)[0]}, test: {sorted(below)[-1]}}}, or give each delivery by itself; "
                "if the outer folders are the classes, set splits: {}",
            )


def wrong_layout(found: Found, what: str) -> GraftError:
    """The answer to a root that is laid out in another way; `what` says what is there instead."""
    return GraftError(
        f"image_folder finds {what}; {found.in_words()}",
        where=found.root,
        rule="it expects <class>/<image> with at least two classes, or <train|val|test>/<class>/<image>",
        remedy="set ingest.root to the folder above the classes or splits",
    )


def _named_folders(found: Found, splits: Splits) -> dict[str, str]:
    """Folder to split, of those that are folders and no lists."""
    named: dict[str, str] = defaultdict(str)
    for split, places in splits.items():
        for place in [places] if isinstance(places, str) else places:
            path = posixpath.normpath(id_of(place))
            if path in found.folders:
                named[path] = split
    return dict(named)


def _parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]
