"""A bounded memory of earlier deliveries, balanced by delivery and class, beside all images of a new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from graft.data.images.codec import decode_mask
from graft.data.shards import read_columns
from graft.foundation.class_map import IGNORE_INDEX
from graft.foundation.content import content_seed
from graft.foundation.errors import GraftError

WHERE = "augment.memory"
New = Annotated[list[str], Field(min_length=1)]
NumImages = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class EarlierImage:
    """An image of an earlier delivery.

    Attributes:
        number: Number of its row in the split.
        delivery: Name of the delivery.
        classes: Ids of the classes in its mask, or of its label.
        place: Place in an order that depends on nothing but the seed and the id.
    """

    number: int
    delivery: str
    classes: frozenset[int]
    place: int


def balanced(train: Path, seed: int, *, new: New, num_images: NumImages) -> frozenset[int]:
    """All images of new deliveries, and of those before a bounded memory, balanced by delivery and class.

    For an update: a model that grows out of a registered one learns the new delivery, and a few images of those before
    remind it of them (Rebuffi et al. 2017, "iCaRL", section 3.2, keeps as many of each class). Deliveries take turns,
    and each gives the image with the class that the memory has met least; of several, the first in an order made by
    hashing (seed, id), so that a larger memory holds the images of a smaller one. Training takes no longer for more
    deliveries. The images that get views are listed by delivery in `memory.json`, beside the views.

    Args:
        train: Folder of the train shards.
        seed: Seed of the whole pipeline.
        new: Names of the deliveries that are learnt; all their images get views.
        num_images: Number of images of all other deliveries; 0 keeps none, which is plain fine-tuning.

    Returns:
        Numbers of the rows that get views.

    Raises:
        GraftError: A new delivery has no training image, or the others have fewer than `num_images`.
    """
    learnt, earlier, met = set(), [], Counter[str]()
    for number, (id, delivery, mask, label) in enumerate(read_columns(train, ("id", "batch", "mask", "label"))):
        met[delivery] += 1
        if delivery in new:
            learnt.add(number)
        else:
            place = content_seed(seed, "memory", id)
            earlier.append(EarlierImage(number, delivery, _classes_of(mask, label), place))
    _refuse(new, num_images, met, len(earlier))
    return frozenset(learnt | set(islice(take_turns(earlier), num_images)))


def take_turns(images: Sequence[EarlierImage]) -> Iterator[int]:
    """The numbers of all images, in the order in which the memory takes them."""
    met: Counter[int] = Counter()
    left: dict[str, list[EarlierImage]] = {}
    for image in sorted(images, key=lambda image: (image.delivery, image.place)):
        left.setdefault(image.delivery, []).append(image)
    while left:
        for delivery, waiting in [*left.items()]:
            chosen = min(waiting, key=lambda image: min((met[number] for number in image.classes), default=len(images)))
            waiting.remove(chosen)
            met.update(chosen.classes)
            if not waiting:
                del left[delivery]
            yield chosen.number


def _classes_of(mask: bytes | None, label: int | None) -> frozenset[int]:
    if mask is None:
        return frozenset(() if label is None else [label])
    return frozenset(np.unique(decode_mask(mask)).tolist()) - {IGNORE_INDEX}


def _refuse(new: Sequence[str], num_images: int, met: Counter[str], num_earlier: int) -> None:
    if absent := [name for name in new if not met[name]]:
        raise GraftError(
            f"no training image is of the delivery {', '.join(absent)}",
            where=f"{WHERE}.new",
            rule=f"new names deliveries whose images are learnt; there are {', '.join(sorted(met))}",
            remedy="name a delivery of ingest that has training images",
        )
    if num_images > num_earlier:
        raise GraftError(
            f"a memory of {num_images} images, and the earlier deliveries have {num_earlier} training images",
            where=f"{WHERE}.num_images",
            rule="the memory is a part of them",
            remedy=f"set num_images to at most {num_earlier}, or memory: all",
        )
