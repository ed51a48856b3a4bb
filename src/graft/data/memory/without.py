"""All training images but some, whose labels are not to be believed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import Field

from graft.data.memory.impression import Look
from graft.data.shards import num_rows, read_columns
from graft.foundation.errors import GraftError, suggest

WHERE = "augment.memory"
AN_ID = "an id is the path of an image below its root, as the manifest of ingest has it"
Images = Annotated[list[str], Field(min_length=1)]


def without(train: Path, seed: int, look: Look | None, *, images: Images) -> frozenset[int]:
    """All training images of every delivery but the ones that are named.

    For labels that are wrong and cannot be corrected today: `graft review --leave-out` finds them and names them here.
    The images stay in the data set, and their names stand in `params.yaml`, where whoever reads the change sees them.

    Args:
        train: Folder of the train shards.
        seed: Seed of the whole pipeline.
        look: Function that looks at images with the pretrained weights; not needed.
        images: Ids of the images that get no views.

    Returns:
        Numbers of the rows that get views.

    Raises:
        GraftError: A name is that of no training image, or no image is left.
    """
    left_out = rows_named(train, images)
    if left := frozenset(range(num_rows(train))) - left_out:
        return left
    raise GraftError(
        "all training images are left out",
        where=WHERE,
        rule="training needs one at least",
        remedy="take images out of the list that may be learnt",
    )


def rows_named(train: Path, images: Collection[str]) -> frozenset[int]:
    """The numbers of training rows by their ids.

    Args:
        train: Folder of the train shards.
        images: Ids of images.

    Raises:
        GraftError: An id is that of no training image.
    """
    if not images:
        return frozenset()
    numbers = {id: number for number, (id,) in enumerate(read_columns(train, ("id",)))}
    if unknown := [name for name in images if name not in numbers]:
        problems = [f"{name}: {suggest(name, numbers, otherwise=AN_ID)}" for name in unknown]
        raise GraftError.of_all(
            f"{WHERE}: these are no training images", problems, remedy="take out of the list what is gone or has moved"
        )
    return frozenset(numbers[name] for name in images)
