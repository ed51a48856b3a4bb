"""Where on earth an image lies: copied tag by tag from one TIFF to another, or from files beside it by rasterio."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from graft.deployment.tile_writer import Tag
from graft.foundation.progress import warn

# ModelPixelScale, ModelTiepoint, ModelTransformation, the three of GeoKeys, and rational polynomials (RPC).
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 50844)
NODATA_TAG = 42113
ASCII = 2


def has_geo_tags(page: Any) -> bool:
    """Whether a page of tifffile says where it lies."""
    return any(code in page.tags for code in GEO_TAGS)


def geo_tags(page: Any) -> list[Tag]:
    """The georeference of a page of tifffile, as tags for another file of the same size."""
    tags = (page.tags.get(code) for code in GEO_TAGS)
    return [
        (tag.code, int(tag.dtype), 0 if tag.dtype == ASCII else int(tag.count), tag.value, True)
        for tag in tags
        if tag is not None
    ]


def nodata_tag(value: int) -> Tag:
    """The tag of GDAL that says which value means that there are no data."""
    return NODATA_TAG, ASCII, 0, str(value), True


def files_beside(image: Path) -> list[Path]:
    """World files and PAM files of an image, which may hold the georeference that it lacks itself."""
    ending = image.suffix[1:]
    worlds = (f".{ending[:1]}{ending[-1:]}w", f".{ending}w", ".wld")
    candidates = [*(image.with_suffix(world) for world in worlds), image.with_name(f"{image.name}.aux.xml")]
    return [path for path in candidates if path.is_file()]


def copy_from_beside(image: Path, written: Path) -> None:
    """Gives a TIFF that was written the georeference that lies in files beside its image.

    That takes rasterio; where it is not installed, a warning says what is lost.
    """
    beside = files_beside(image)
    if not beside:
        return
    try:
        import rasterio
    except ModuleNotFoundError:
        warn(
            f"{image}: its georeference is in {beside[0].name}, which takes rasterio to read, so the mask has none; "
            "install it by make setup EXTRAS=geo"
        )
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(image) as source, rasterio.open(written, "r+") as target:
            if not source.transform.is_identity:
                target.transform = source.transform
            elif source.gcps[0]:
                target.gcps = source.gcps
            if source.crs is not None:
                target.crs = source.crs
