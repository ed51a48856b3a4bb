"""Images of any number of channels: another source whose images are stacks, or are joined by files beside them."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from graft.data.formats.files import FileReader, find_files
from graft.data.formats.listing import Entry, Listing, Reader
from graft.data.formats.mask_pairs import shared_files
from graft.data.formats.missing_masks import takes_missing_for_background
from graft.data.formats.patterns import ImagePattern, MaskPattern
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError

NOT_STACKED = ("joined", "scenes", "stacks")
MOST_CHANNELS = 100
POINT_CHANNELS = ("point_depth", "point_intensity", "point_height", "point_hit")
Name = Annotated[str, Field(min_length=1, max_length=40)]


def _known(source: str | dict[str, Any]) -> str | dict[str, Any]:
    """Refuses a source that cannot be resolved while params are checked, before anything is read."""
    from graft.data.formats import FORMATS

    try:
        chosen = resolve(FORMATS, source, where="source")
    except GraftError as error:
        raise ValueError(str(error)) from None
    if takes_missing_for_background(source):
        raise ValueError("missing_mask: background fills masks of the size of a picture, which a stack is not")
    if chosen.name in NOT_STACKED:
        raise ValueError(f"{chosen.name} has no files that could be stacks; joined may join stacks")
    return source


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEntry(Entry):
    """An entry whose image has files beside it.

    Attributes:
        own: The entry as its source made it.
        more: Paths below the root of the files that follow.
    """

    own: Entry
    more: tuple[str, ...]

    @property
    def beside(self) -> tuple[str, ...]:
        return self.more


@dataclass(frozen=True)
class StackReader:
    """Reads an image and the files beside it into one zip, unchanged and always with the same bytes."""

    source: Reader
    root: str

    def __call__(self, entry: Entry) -> tuple[bytes, bytes | None]:
        assert isinstance(entry, StackEntry)
        image, mask = self.source(entry.own)
        read = FileReader(self.root)
        more = [(path, read(replace(entry.own, image=path, mask=None))[0]) for path in entry.more]
        return zip_files([(entry.id, image), *more]), mask


def zip_files(files: Iterable[tuple[str, bytes]]) -> bytes:
    """An archive of files, not compressed, that is a function of their bytes, order and endings alone.

    Args:
        files: Path and content of each.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writing:
        for number, (path, data) in enumerate(files):
            name = f"{number}{posixpath.splitext(path)[1].lower()}"
            writing.writestr(zipfile.ZipInfo(name), data)  # its date is always that of 1980
    return archive.getvalue()


def stacks(
    task: str,
    seed: int,
    root: Path,
    *,
    source: Annotated[str | dict[str, Any], AfterValidator(_known)],
    channels: Annotated[list[Name], Field(min_length=1, max_length=MOST_CHANNELS)],
    extra: dict[Name, str] = {},  # noqa: B006  options are read, never changed
    points: str | None = None,
    calibration: str | None = None,
    max_value: Annotated[int, Field(ge=1, le=65535)] = 65535,
) -> Listing:
    """Images with any number of channels, found as another source finds them: GeoTIFF, NumPy, RGB plus depth.

    For satellites, multispectral cameras, depth sensors and laser scanners. An image is a TIFF or GeoTIFF, a `.npy`, a
    `.npz` of one array, a picture whose bands are taken as they are, or a zip of such files; samples have 8 or 16 bits.
    With `extra` further files join it, as a depth image its photograph; with `points` a point cloud, as the channels
    `point_depth` (millimetres, up to 65 m), `point_intensity`, `point_height` and `point_hit`. Channels named red,
    green and blue that come first are augmented and normalised as photographs are; all others only move with the view,
    and are normalised by the training images. Pretrained stems are spread over the channels as
    segmentation-models-pytorch does.

    Args:
        source: Source of images and targets, as it would stand alone, such as `mask_folder`, `csv` or `image_folder`.
        channels: Names of the channels of an image, in order.
        extra: Channel to the file that holds it, which follows those of the image: a pattern with `{dir}`, `{stem}`,
            `{name}` of the image, and `{subdir}` (what `**` stood for in `images` of the source).
        points: Pattern, likewise, of the point cloud of an image, KITTI's `.bin`, which follows all other files.
        calibration: Pattern, likewise, of how to project it: KITTI's `calib.txt`, or YAML with `intrinsics` (3 rows of
            3) and `extrinsics` from scanner to camera (3 rows of 4). One file may serve all images.
        max_value: The value of 16-bit samples that becomes 255; larger ones do too. 10000 for the reflectance of
            Sentinel-2, the farthest millimetre for depth. Samples of 8 bits stay as they are.
    """
    if (points is None) != (calibration is None):
        raise GraftError(
            "points and calibration belong together",
            where="ingest.source",
            rule="a point cloud is projected into the image by its calibration",
            remedy="give both, or neither",
        )
    names = [*channels, *extra, *(POINT_CHANNELS if points else ())]
    patterns = {f"extra.{name}": text for name, text in extra.items()}
    patterns |= {name: text for name, text in (("points", points), ("calibration", calibration)) if text}
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise GraftError(f"{', '.join(twice)} is there twice", where="ingest.source.channels")
    images = ImagePattern(source.get("images", "*") if isinstance(source, dict) else "*")
    places = {name: MaskPattern(text, images, where=f"ingest.source.{name}") for name, text in patterns.items()}
    from graft.data.formats import FORMATS

    listing = resolve(FORMATS, source, where="ingest.source.source")(task, seed, root)
    class_map = replace(listing.class_map, source="stacks", channels=tuple(names), max_value=max_value)
    if not places:
        return replace(listing, class_map=class_map)
    entries, problems = _with_extra(listing.entries, root, places)
    reader = StackReader(listing.read, str(root))
    return replace(listing, class_map=class_map, entries=entries, read=reader, problems=[*listing.problems, *problems])


def _with_extra(
    entries: Sequence[Entry], root: Path, places: Mapping[str, MaskPattern]
) -> tuple[list[StackEntry], list[str]]:
    """The entries whose files are all there, and a line for each file that is missing or must not be read."""
    found = find_files(root)
    complete, problems = [], []
    for name, place in places.items():
        files = {entry.id: found.place_of(place.mask_of(entry.id)) for entry in entries}
        there = {image: file for image, file in files.items() if file in found.paths}
        problems += shared_files(there, _word(name), name) if name != "calibration" else []
    for entry in entries:
        expected = {name: found.place_of(place.mask_of(entry.id)) for name, place in places.items()}
        wrong = [
            f"{entry.id}: image without {_word(name)} (expected {id}{found.near(id)})"
            for name, id in expected.items()
            if id not in found.paths or id == entry.id
        ]
        wrong += found.refusals(expected.values())
        problems += wrong
        if not wrong:
            kept = {field.name: getattr(entry, field.name) for field in fields(Entry)}
            complete.append(StackEntry(**kept, own=entry, more=tuple(found.paths[id] for id in expected.values())))
    return complete, problems


def _word(option: str) -> str:
    """Word for the file that an option gives the pattern of: a channel, points, calibration."""
    return option.removeprefix("extra.")
