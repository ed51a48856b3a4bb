"""The policy that only crops."""

from __future__ import annotations

from graft.data.augmentations.shared_options import Pixels, Scale, Share
from graft.data.augmentations.steps import Crop, Steps


def crop(
    *,
    min_scale: Scale = 1.0,
    max_scale: Scale = 1.0,
    max_class_fraction: Share = 1.0,
    rare_class_pixels: Pixels = 0,
    rare_class_share: Share = 0.02,
) -> Steps:
    """A window of the image at a random scale, and nothing else: the crop of a composition, or the least there is.

    Rare-class cropping: of the rare classes that an image holds one is drawn, and the window is drawn again, 10 times
    at most, until the view shows `rare_class_pixels` of it; then the window that shows most of it counts. It helps
    where crops are much smaller than images and rare things small; best beside the sampling `rare_class`. Hoyer 2022,
    "DAFormer", asks for 1500 pixels of 512 x 512 (in its code). As in mmsegmentation's RandomCrop, a window that one
    class fills is drawn again too.

    Args:
        min_scale: Things appear at least this many times as large as in the image (after the resize rule).
        max_scale: And at most this many times.
        max_class_fraction: A crop of which one class fills more is drawn again, 10 times at most.
        rare_class_pixels: A crop with fewer pixels of a rare class of its image is drawn again; 0 seeks none.
            Segmentation only.
        rare_class_share: A class is rare that holds less than this share of the labelled training pixels.
    """
    return Steps(crop=Crop(min_scale, max_scale, max_class_fraction, rare_class_pixels, rare_class_share))
