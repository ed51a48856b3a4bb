"""Opening a file or an address with FFmpeg, which PyAV brings along, and what it says when that fails."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

USUAL_RATE = Fraction(25)  # where a video does not say it
MOST_SECONDS_WITHOUT_DATA = 10.0
# Over these frames come when they come; over others (http, tcp) the sender waits until they are taken.
LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "rtmpt", "rtmpe", "srt", "udp", "rtp"})
EXTENSIONS_OF_VIDEOS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts"}
    | {".wmv", ".asf", ".flv", ".3gp", ".3g2", ".ogv", ".mxf", ".h264", ".h265", ".hevc", ".mjpeg", ".mjpg", ".y4m"}
)


def is_stream(path: str) -> bool:
    """Whether a text is the address of a stream, `rtsp://…`, and no path."""
    return "://" in path


def is_live_address(address: str) -> bool:
    """Whether an address has a scheme by which cameras send in real time, whether anybody takes it or not."""
    return is_stream(address) and address.partition("://")[0].lower() in LIVE_SCHEMES


def bare_address(address: str) -> str:
    """An address without user, password and query, as it may be shown; a path as it is.

    A password may hold @, / and ?, though an address should not: where one may begin, all up to the last @ goes.
    """
    scheme, begin, rest = address.partition("://")
    if not begin:
        return address
    may_hold_password = re.search("[:@]", re.split("[/?#]", rest, maxsplit=1)[0])
    shown = rest.rpartition("@")[2] if may_hold_password else rest
    return scheme + begin + re.split("[?#&]", shown, maxsplit=1)[0]


def open_container(address: str) -> InputContainer:
    """Opens a file or an address; one that sends nothing for ten seconds is given up.

    Raises:
        GraftError: It cannot be opened, with the reason that FFmpeg gives.
    """
    import av

    # Datagrams of a camera get lost, and its firewall takes them for an attack: ask for one connection.
    options = {"rtsp_transport": "tcp"} if address.startswith("rtsp://") else {}
    # FFmpeg takes what stands before the colon of a name like 12:30.mp4 for a protocol, but not in a whole path.
    place = address if is_stream(address) else str(Path(address).absolute())
    try:
        return av.open(place, timeout=MOST_SECONDS_WITHOUT_DATA, options=options)
    except (av.FFmpegError, UnicodeError) as error:
        raise _refusal(address, error) from None


def choose_stream(container: InputContainer, name: str) -> VideoStream:
    """The video stream of a container: the best by FFmpeg's rule, and never the cover of an album.

    Raises:
        GraftError: There is none.
    """
    pictures = [stream for stream in container.streams.video if not is_cover(stream)]
    best = container.streams.best("video")
    if pictures:
        return best if best in pictures else pictures[0]
    kinds = sorted({stream.type for stream in container.streams} - {"video"})
    raise GraftError(
        f"no video stream: it holds {' and '.join(kinds) or 'nothing'}{' and a cover' * bool(container.streams.video)}",
        where=name,
        rule="a video has at least one stream of pictures",
        remedy="leave it out, or name the file that holds the pictures",
    )


def is_cover(stream: VideoStream) -> bool:
    """Whether a stream is one picture that goes with music."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def in_words(error: BaseException) -> str:
    """An error of FFmpeg in words."""
    import av

    if isinstance(error, av.error.ExitError):
        return f"nothing came for {MOST_SECONDS_WITHOUT_DATA:.0f} seconds"
    return str(getattr(error, "strerror", None) or error)


def _refusal(address: str, error: BaseException) -> GraftError:
    import av

    place = bare_address(address)
    if is_stream(address):
        remedy = "compare address, port, user and password with what ffplay or the camera's page show"
        if isinstance(error, av.error.ProtocolNotFoundError):
            remedy = "use a scheme that FFmpeg knows: rtsp, rtmp, srt, http, https, tcp, udp"
        return GraftError(f"the stream cannot be opened ({in_words(error)})", where=place, remedy=remedy)
    if isinstance(error, av.error.InvalidDataError | av.error.EOFError):
        return GraftError(
            "this is no video, or one that was cut off before its table of frames was written",
            where=place,
            rule="it is opened by what it holds, whatever its name says",
            remedy="copy it again from where it came, or repair it with the tool that recorded it",
        )
    return GraftError(f"the video cannot be opened ({in_words(error)})", where=place)
