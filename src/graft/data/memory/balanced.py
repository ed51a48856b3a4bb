"""A bounded memory of earlier deliveries, balanced by delivery and class, beside all images of a new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from graft.data.images.codec import decode_mask
from graft.data.memory.impression import How, Look
from graft.data.memory.turns import EarlierImage, Rule, by_herding, by_loss, by_place, take_turns
from graft.data.memory.without import WHERE, rows_named
from graft.data.shards import read_columns
from graft.foundation.class_map import IGNORE_INDEX
from graft.foundation.content import content_seed
from graft.foundation.errors import GraftError

New = Annotated[list[str], Field(min_length=1)]
NumImages = Annotated[int, Field(ge=0)]


def balanced(
    train: Path,
    seed: int,
    look: Look | None,
    *,
    new: New,
    num_images: NumImages,
    choice: How = "random",
    without: list[str] | None = None,
) -> frozenset[int]:
    """All images of new deliveries, and of those before a bounded memory, balanced by delivery and class.

    For an update: a model that grows out of a registered one learns the new delivery, and a few images of those before
    remind it of them (Rebuffi et al. 2017, "iCaRL", section 3.2, keeps as many of each class). Deliveries take turns,
    and each gives an image of the class that the memory has met least. Of several it is

    * the first in an order made by hashing (seed, id): `choice: random`;
    * the one that brings the mean of the memory's features closest to that of all images of this class and delivery
      (iCaRL, equation 4): `herding`, for what is typical;
    * the one with the highest loss: `loss`, for what the parent finds hard (Buzzega et al. 2021, "Rethinking Experience
      Replay: a Bag of Tricks for Continual Learning", whose loss-aware sampling drops what has a low one). Images with
      wrong labels have a high one too: look at them, or choose otherwise.

    The last two look at every earlier image with the pretrained weights (`augment.parent: pretrained`), on the CPU.
    A larger memory holds the images of a smaller one, and training takes no longer for more deliveries. The images that
    get views are listed by delivery in `memory.json`, beside the views.

    Args:
        train: Folder of the train shards.
        seed: Seed of the whole pipeline.
        look: Function that looks at images with the pretrained weights; None where there are none.
        new: Names of the deliveries that are learnt; all their images get views.
        num_images: Number of images of all other deliveries; 0 keeps none, which is plain fine-tuning.
        choice: Which of several images that serve the balance equally.
        without: Ids of images that get no views, whatever delivery they are of, as the memory `without` has them.

    Returns:
        Numbers of the rows that get views.

    Raises:
        GraftError: A new delivery has no training image, or the others have fewer than `num_images`, or an id of
            `without` is that of no training image.
    """
    left_out = rows_named(train, without or ())
    learnt, earlier, met = set(), [], Counter[str]()
    for number, (id, delivery, mask, label) in enumerate(read_columns(train, ("id", "batch", "mask", "label"))):
        if number in left_out:
            continue
        met[delivery] += 1
        if delivery in new:
            learnt.add(number)
        else:
            place = content_seed(seed, "memory", id)
            earlier.append(EarlierImage(number, delivery, _classes_of(mask, label), place))
    _refuse(new, num_images, met, len(earlier))
    rule = rule_of(choice, earlier, look) if num_images else by_place
    return frozenset(learnt | set(islice(take_turns(earlier, rule), num_images)))


def rule_of(choice: How, earlier: Sequence[EarlierImage], look: Look | None) -> Rule:
    """The rule that a choice names; looks at all images of earlier deliveries where it needs to."""
    if choice == "random":
        return by_place
    assert look is not None  # parent_problem refused it
    impressions = look({image.number for image in earlier})
    return by_loss(impressions) if choice == "loss" else by_herding(earlier, impressions)


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
