"""Formats a data set can come in: `(task, seed, root, *, options) -> Listing`."""

from __future__ import annotations

from collections.abc import Callable

from graft.formats.ade20k import ade20k
from graft.formats.camvid import camvid
from graft.formats.cityscapes import cityscapes
from graft.formats.coco import coco
from graft.formats.csv import csv
from graft.formats.image_folder import image_folder
from graft.formats.joined import joined
from graft.formats.listing import Listing
from graft.formats.mask_folder import mask_folder
from graft.formats.scenes import scenes
from graft.formats.stacks import stacks
from graft.formats.voc import voc

FORMATS: dict[str, Callable[..., Listing]] = {
    "ade20k": ade20k,
    "camvid": camvid,
    "cityscapes": cityscapes,
    "coco": coco,
    "csv": csv,
    "image_folder": image_folder,
    "joined": joined,
    "mask_folder": mask_folder,
    "scenes": scenes,
    "stacks": stacks,
    "voc": voc,
}
