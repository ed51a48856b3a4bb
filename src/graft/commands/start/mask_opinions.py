"""Masks of several people who drew the same thing, which are no classes."""

from __future__ import annotations

from itertools import combinations

from graft.commands.start.mask_layers_found import FoundLayers
from graft.commands.start.mask_values import evenly
from graft.data.formats.array_masks import array_of_mask
from graft.data.formats.files import Found
from graft.foundation.errors import GraftError

NUM_SEEN, LEAST_SHARED = 8, 0.5


def opinions(found: Found, layers: FoundLayers) -> int:
    """The number of images seen in which all masks cover the same, where that is so in all of them; else 0.

    Two masks cover the same where they share half of the pixels of either: intersection over union of 0.5 and more.
    """
    several = {id: [layer.path for layer in files] for id, files in layers.layers.of_image.items() if len(files) > 1}
    seen = evenly(several, NUM_SEEN)
    alike = [_are_alike(found, several[id]) for id in seen]
    return len(seen) if alike and all(alike) else 0


def _are_alike(found: Found, masks: list[str]) -> bool:
    """Whether every two masks share most of their pixels.

    Masks that cannot be read share nothing.
    """
    from graft.data.mask_files import decode_mask_file

    try:
        drawn = [
            decode_mask_file(
                array_of_mask((found.root / found.paths[id]).read_bytes(), id), where=id, as_colours=False
            ).values
            > 0
            for id in masks
        ]
    except GraftError:
        return False
    same_size = len({each.shape for each in drawn}) == 1
    return same_size and all(
        (one & other).sum() >= LEAST_SHARED * max(1, (one | other).sum()) for one, other in combinations(drawn, 2)
    )
