"""Files of annotation tools that no source reads, so that a person is told what to export in their place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from graft.commands.start.glimpses import head, sample
from graft.data.formats.files import Found

BOXES = "as {} has them; a mask needs outlines or pixels, which a box does not have"
VIA = "is of the VGG Image Annotator (VIA), whose Export Annotations (COCO format) writes what coco reads"
# The ending of a file, an expression for how it begins, and what is said about it.
KINDS: tuple[tuple[str, bytes, str], ...] = (
    (".xml", rb"(?s)<annotation\b.*<bndbox>", f"is of boxes {BOXES.format('PASCAL VOC')}"),
    (".json", rb'"shape_attributes"', VIA),
    (".jsonl", rb'"bbox"', f"is of boxes {BOXES.format('Hugging Face')}"),
    (".json", rb'(?s)"images".*"bbox"|"bbox".*"images"', f"is of boxes {BOXES.format('COCO')}"),
    (".txt", rb"\A(\d+( [01]?\.\d+){4}\s*)+(\Z|\n)", f"is of boxes {BOXES.format('YOLO')}"),
)


def unread(found: Found) -> Iterator[str]:
    """Yields what is known of the files that no source reads, one of each kind."""
    for ending, told_by, words in KINDS:
        told = (id for id in sample(found, ending) if re.search(told_by, head(found, id)))
        if (id := next(told, None)) is not None:
            yield f"{id} {words}"
