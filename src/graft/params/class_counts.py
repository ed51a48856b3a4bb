"""How many classes the masks of a source have, as far as that can be said before anything is read."""

from __future__ import annotations

from graft.data.formats.ade20k import NUM_CLASSES as OF_ADE20K
from graft.data.formats.cityscapes import CLASSES as OF_CITYSCAPES
from graft.data.formats.voc import NAMES as OF_VOC
from graft.foundation.choices import Choice, resolve


def known_num_classes(source: Choice) -> int | None:
    """What the name of a segmentation source says, or its options; None where only its files do.

    Args:
        source: An entry of FORMATS with its options.
    """
    from graft.data.formats import FORMATS
    from graft.scenes import CLASSES

    options = source.options
    match source.name:
        case "stacks":
            return known_num_classes(resolve(FORMATS, options["source"], where="ingest.source.source"))
        case "coco" if options["categories"] is not None:
            return len(options["categories"]) + (options["background"] is not None)
        case "ade20k":
            return OF_ADE20K
        case "cityscapes":
            return len(OF_CITYSCAPES)
        case "voc":
            return len(OF_VOC)
        case "scenes" | "camvid":
            return len(CLASSES)
    return None if options.get("classes") is None else len(options["classes"])
