"""Formats a data set can come in: `(task, seed, root, *, options) -> Listing`."""

from __future__ import annotations

from graft.formats.camvid import camvid
from graft.formats.image_folder import image_folder
from graft.formats.mask_folder import mask_folder
from graft.formats.scenes import scenes

FORMATS = {"camvid": camvid, "image_folder": image_folder, "mask_folder": mask_folder, "scenes": scenes}
