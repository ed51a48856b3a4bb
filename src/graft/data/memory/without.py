"""All training images but some, whose labels are not to be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from graft.data.memory.impression import Look
from graft.data.shards import read_columns
from graft.foundation.errors import GraftError, suggest

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
    numbers = {id: number for number, (id,) in enumerate(read_columns(train, ("id",)))}
    if unknown := [name for name in images if name not in numbers]:
        problems = [f"{name}: {suggest(name, numbers, otherwise=AN_ID)}" for name in unknown]
        raise GraftError.of_all("augment.memory: these are no training images", problems)
    if left := numbers.keys() - set(images):
        return frozenset(numbers[id] for id in left)
    raise GraftError("all training images are left out", where="augment.memory", rule="training needs one at least")
