"""Formats a data set can come in: `(task, seed, root, *, options) -> Listing`."""

from __future__ import annotations

from collections.abc import Callable

from graft.data.formats.ade20k import ade20k
from graft.data.formats.camvid import camvid
from graft.data.formats.cityscapes import cityscapes
from graft.data.formats.coco import coco
from graft.data.formats.coco_panoptic import coco_panoptic
from graft.data.formats.coco_stuff import coco_stuff
from graft.data.formats.csv import csv
from graft.data.formats.cvat import cvat
from graft.data.formats.image_folder import image_folder
from graft.data.formats.joined import joined
from graft.data.formats.label_studio import label_studio
from graft.data.formats.labelme import labelme
from graft.data.formats.listing import Listing
from graft.data.formats.mask_folder import mask_folder
from graft.data.formats.mask_layers import mask_layers
from graft.data.formats.roboflow_masks import roboflow_masks
from graft.data.formats.scenes import scenes
from graft.data.formats.stacks import stacks
from graft.data.formats.supervisely import supervisely
from graft.data.formats.tiles import tiles
from graft.data.formats.voc import voc
from graft.data.formats.yolo import yolo
from graft.foundation.errors import GraftError

FORMATS: dict[str, Callable[..., Listing]] = {
    "ade20k": ade20k,
    "camvid": camvid,
    "cityscapes": cityscapes,
    "coco": coco,
    "coco_panoptic": coco_panoptic,
    "coco_stuff": coco_stuff,
    "csv": csv,
    "cvat": cvat,
    "image_folder": image_folder,
    "joined": joined,
    "label_studio": label_studio,
    "labelme": labelme,
    "mask_folder": mask_folder,
    "mask_layers": mask_layers,
    "roboflow_masks": roboflow_masks,
    "scenes": scenes,
    "stacks": stacks,
    "supervisely": supervisely,
    "tiles": tiles,
    "voc": voc,
    "yolo": yolo,
}
# Those that can say any number of labels of an image.
WITH_SEVERAL_LABELS = ("csv", "cvat", "label_studio", "labelme")


def check_labels(task: str, name: str, where: str = "ingest.source") -> None:
    """Refuses a source of one label an image, or of masks, where an image may have several labels.

    Raises:
        GraftError: The task is multilabel, and the entry of FORMATS cannot say several labels.
    """
    if task == "multilabel" and name not in WITH_SEVERAL_LABELS:
        raise GraftError(
            f"{name} is not for multilabel",
            where=where,
            rule="its images have one label, or a mask",
            remedy=f"one of {', '.join(WITH_SEVERAL_LABELS)}",
        )
