"""The class map: the classes of a data set, and what pictures and their values are called."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from graft.foundation.content import read_json, write_json
from graft.foundation.errors import GraftError

IGNORE_INDEX = 255
UNLABELLED = "unlabelled"
SPLITS = ("train", "val", "test", UNLABELLED)
TASKS = ("segmentation", "classification", "multilabel")
# Column of a row, or of the manifest, that says which target an image has: a sha256, or the class itself.
TARGET_COLUMN = {"segmentation": "mask_sha256", "classification": "label", "multilabel": "mask_sha256"}
# What people call the target of an image.
TARGET_WORD = {"segmentation": "mask", "classification": "label", "multilabel": "set of labels"}
RGB = ("red", "green", "blue")
ADDED_LATER = frozenset({"channels", "max_value", "void_values"})  # class maps of older models lack these


def ignored_target(num_classes: int) -> int:
    """The target that counts nowhere: 255, or -1, which no target is, where 255 is one of the classes of images."""
    return IGNORE_INDEX if num_classes <= IGNORE_INDEX else -1


def refuse_several_labels(task: str, command: str, remedy: str | None = None) -> None:
    """Refuses images with several labels for a command that takes one class an image, or a pixel, for granted.

    Args:
        task: Task of the project.
        command: Name of the command.
        remedy: Command that serves in its place; None names the commands that serve such images.

    Raises:
        GraftError: The task is multilabel.
    """
    if task == "multilabel":
        raise GraftError(
            f"{command} is not for multilabel",
            rule="it takes one class of an image, or of a pixel, for granted",
            remedy=remedy or "leave it out: stages, graft select, predict and promote serve images with several labels",
        )


@dataclass(frozen=True)
class ClassMap:
    """The classes of a data set. Inside Graft ids are 0…K-1 and 255 is ignored.

    Attributes:
        task: `segmentation`, `classification` (an image has one label) or `multilabel` (any number of labels).
        names: K names, in order of id.
        colors: K RGB triples, 0 to 255, for overlays and plots.
        source_values: Value of class k in the source (a grey value, an RGB triple, a folder), so that a prediction
            can be translated back on the way out.
        official_splits: Whether the source's own lists made the splits.
        synthetic: Whether the images were drawn by a program; shown wherever they appear.
        source: Name of the format the data came in.
        licence: Licence of the data, `unknown` where the source does not say.
        channels: Names of the C channels of an image, in order.
        max_value: Value that becomes 255 where images are stacks of channels whose samples have 16 bits; None where
            they are pictures, which are read as a viewer would show them.
        void_values: Values that the source ignores, in the notation of `source_values`: no class is written in them.
    """

    task: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    source_values: tuple[Any, ...]
    official_splits: bool
    synthetic: bool
    source: str
    licence: str = "unknown"
    channels: tuple[str, ...] = RGB
    max_value: int | None = None
    void_values: tuple[Any, ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.names)

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> ClassMap:
        """The class map in a JSON file; one that does not say its channels is of pictures, or void values has none.

        Raises:
            GraftError: The file is missing, is not JSON, or has other fields.
        """
        stored, known = read_json(path), {field.name for field in fields(cls)}
        if not isinstance(stored, dict) or not known - ADDED_LATER <= set(stored) <= known:
            raise GraftError("not a class map", where=path, remedy="remove it and run dvc repro")
        return cls(**{key: _frozen(value) for key, value in stored.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
