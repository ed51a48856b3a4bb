"""Published data sets that are no more than a layout and a list of classes: the source that reads each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graft.commands.start.proposal import SEGMENTATION, Proposal
from graft.data.formats.files import Found
from graft.data.formats.patterns import ImagePattern

TILE_PX = 1024
FEW = {"val_fraction": 0.25, "test_fraction": 0.25}  # of a few dozen large images
# labels of the ISPRS 2D semantic labelling contest, in its order
ISPRS_CLASSES = {
    "impervious surfaces": [[255, 255, 255]],
    "building": [[0, 0, 255]],
    "low vegetation": [[0, 255, 255]],
    "tree": [[0, 255, 0]],
    "car": [[255, 255, 0]],
    "clutter": [[255, 0, 0]],
}
LOVE_DA_CLASSES = ("background", "building", "road", "water", "barren", "forest", "agriculture")


def _pairs(images: str, masks: str, classes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "mask_folder", "images": images, "masks": masks, "classes": dict(classes), **more}


def _tiles(source: dict[str, Any]) -> dict[str, Any]:
    return {"name": "tiles", "size_px": TILE_PX, "source": source}


# Name and paper to the files that tell it, of each one at least, and the value of `ingest.source`.
LAYOUTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    # The rim of the animal is ignored, and its lists say train and test. Parkhi et al. 2012, "Cats and Dogs".
    "Oxford-IIIT Pets": (
        ("images/*.jpg", "annotations/trimaps/*.png", "annotations/trainval.txt"),
        _pairs("images/*.jpg", "annotations/trimaps/{stem}.png", {"background": [2], "pet": [1]}, void=[3]),
    ),
    # A value is a person. Wang et al. 2007, "Object Detection Combining Recognition and Segmentation".
    "Penn-Fudan": (
        ("PNGImages/*.png", "PedMasks/*_mask.png"),
        _pairs("PNGImages/*.png", "PedMasks/{stem}_mask.png", {"background": [0], "person": ["1-254"]}),
    ),
    # Masks are GIF, whose positions in the palette its writer orders; not every copy has those of test. Staal et al.
    # 2004, "Ridge-Based Vessel Segmentation in Color Images of the Retina".
    "DRIVE": (
        ("training/images/*_training.tif", "training/1st_manual/*_manual1.gif"),
        _pairs(
            "*/images/*_*.tif",
            "{1}/1st_manual/{2}_manual1.gif",
            {"background": [[0, 0, 0]], "vessel": [[255, 255, 255]]},
            missing_mask="unlabelled",
        ),
    ),
    # Value 0 is no data; the masks of Test are not public. Wang et al. 2021, "LoveDA: A Remote Sensing Land-Cover
    # Dataset for Domain Adaptive Semantic Segmentation".
    "LoveDA": (
        ("Train/*/images_png/*.png", "Train/*/masks_png/*.png", "Val/*/masks_png/*.png"),
        _pairs(
            "{Train,Val}/*/images_png/*.png",
            "{dir}/../masks_png/{stem}.png",
            {name: [value] for value, name in enumerate(LOVE_DA_CLASSES, start=1)},
            void=[0],
        ),
    ),
    # Rottensteiner et al. 2014, "Results of the ISPRS Benchmark on Urban Object Detection and 3D Building
    # Reconstruction"; the folders are those of the archives.
    "ISPRS Potsdam": (
        ("2_Ortho_RGB/*_RGB.tif", "5_Labels_all/*_label.tif"),
        _tiles(_pairs("2_Ortho_RGB/*_RGB.tif", "5_Labels_all/{1}_label.tif", ISPRS_CLASSES, **FEW)),
    ),
    "ISPRS Vaihingen": (
        ("top/*.tif", "gts_for_participants/*.tif"),
        _tiles(_pairs("top/*.tif", "gts_for_participants/{stem}.tif", ISPRS_CLASSES, missing_mask="unlabelled", **FEW)),
    ),
}


def known_layout(found: Found) -> Iterator[Proposal]:
    """Data sets by the files that tell them."""
    for name, (told_by, source) in LAYOUTS.items():
        patterns = [ImagePattern(text) for text in told_by]
        if all(any(map(pattern.match, found.paths)) for pattern in patterns):
            yield Proposal(source, SEGMENTATION, f"there are {', '.join(told_by)}, as in {name}")
