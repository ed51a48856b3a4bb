"""The videos, streams and sequences among the paths that a person names, and the place of each below the output."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath

from graft.data.formats.files import EXTENSIONS_READ
from graft.data.video.clip import Clip
from graft.data.video.containers import EXTENSIONS_OF_VIDEOS, bare_address, is_stream
from graft.data.video.image_sequence import ImageSequence
from graft.data.video.survey import survey
from graft.data.video.video_clip import VideoClip
from graft.deployment.image_paths import MAX_IMAGE_PIXELS, match_files, separate_places
from graft.foundation.errors import GraftError

Opener = Callable[[], Clip]


@dataclass
class ClipPaths:
    """The clips that paths name, and the paths that name something else.

    Attributes:
        clips: Place of a clip below the output, without ending, to the function that opens it.
        videos: Files of those clips that are video files.
        has_sequences: Whether folders of images are among the clips.
        others: Paths that name images, or nothing at all.
    """

    clips: dict[PurePosixPath, Opener] = field(default_factory=dict)
    videos: list[Path] = field(default_factory=list)
    has_sequences: bool = False
    others: list[str] = field(default_factory=list)


def find_clips(paths: Sequence[str], out: Path | None = None, *, sequence_rate: Fraction | None = None) -> ClipPaths:
    """Sorts paths; every video is read through once and not decoded beyond its first frame.

    Args:
        paths: Addresses, files, folders and globs; a file counts as a video by its ending. Addresses that differ only
            in what is not shown of them (user, password, query) are numbered.
        out: Folder whose files are left out.
        sequence_rate: Frames per second of folders of images, where these are clips: each that is named, and those
            below it.

    Raises:
        GraftError: Lists all videos that cannot be used.
    """
    found, problems = ClipPaths(), list[GraftError]()
    files: dict[Path, tuple[PurePosixPath, Opener]] = {}
    for path in itertools.filterfalse(is_stream, paths):
        videos = dict(match_files(path, EXTENSIONS_OF_VIDEOS, out))
        found.videos += videos
        for video, place in videos.items():
            try:
                files[video] = place, partial(VideoClip, str(video), survey(str(video)))
            except GraftError as error:
                problems.append(error)
        if not videos and Path(path).suffix.lower() in EXTENSIONS_OF_VIDEOS:
            problems.append(GraftError("no such video", where=path))
            continue
        folders = sequence_rate is not None and Path(path).is_dir()
        sequences = _sequences(Path(path), out, sequence_rate) if sequence_rate is not None and folders else {}
        found.has_sequences |= bool(sequences)
        files |= sequences
        if not folders and (not videos or any(match_files(path, EXTENSIONS_READ, out))):
            found.others.append(path)
    if problems:
        raise problems[0] if len(problems) == 1 else GraftError.of_all("videos that cannot be used", problems)
    places = separate_places({file: place for file, (place, _) in files.items()})
    found.clips |= {place: files[file][1] for file, place in places.items()}
    _add_streams(found.clips, filter(is_stream, dict.fromkeys(paths)))
    return found


def _sequences(root: Path, out: Path | None, rate: Fraction) -> dict[Path, tuple[PurePosixPath, Opener]]:
    """Each folder that holds images itself, as a clip.

    Raises:
        GraftError: There is none.
    """
    folders: dict[Path, list[Path]] = {}
    for image, _ in match_files(str(root), EXTENSIONS_READ, out):
        folders.setdefault(image.parent, []).append(image)
    if not folders and not any(match_files(str(root), EXTENSIONS_OF_VIDEOS, out)):
        raise GraftError(
            "no sequence of images, and no video",
            where=root,
            rule="--sequence takes folders of images, one frame each",
            remedy=f"name a folder that holds {', '.join(sorted(EXTENSIONS_READ))}",
        )
    return {
        folder: (
            PurePosixPath(folder.relative_to(root).as_posix() if folder != root else root.absolute().name),
            partial(ImageSequence, folder, images, rate, MAX_IMAGE_PIXELS),
        )
        for folder, images in folders.items()
    }


def _add_streams(clips: dict[PurePosixPath, Opener], addresses: Iterable[str]) -> None:
    """Adds streams, each named after scheme, host and path, with a number where another has the same name."""
    taken = {str(place).casefold() for place in clips}
    for address in addresses:
        name = re.sub(r"[^A-Za-z0-9]+", "-", bare_address(address)).strip("-")
        names = (f"{name}-{number}" if number > 1 else name for number in itertools.count(1))
        place = next(each for each in names if each.casefold() not in taken)
        taken.add(place.casefold())
        clips[PurePosixPath(place)] = partial(VideoClip, address)
