"""A look over all packets of a file before any is decoded: how many there are, and whether the end is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graft.data.video.containers import USUAL_RATE, choose_stream, open_container
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from av.packet import Packet

# A recorder that lost its power leaves less than this unfinished; a copy that broke off lacks more.
MOST_SECONDS_MISSING, MOST_MISSING_FRACTION = 1.0, 0.1
FRAMES_OF_DOUBT = 1.5  # containers round the time they say


@dataclass(frozen=True)
class Survey:
    """Findings about the packets of a file.

    Attributes:
        num_packets: Packets of the video stream; about one a frame.
        seconds_missing: Time between the last packet and the end that the header names; 0 where it names none.
    """

    num_packets: int
    seconds_missing: float


def survey(path: str) -> Survey:
    """Reads all packets of a file, which costs about as much as copying it, and decodes the first frame.

    Raises:
        GraftError: It is no video, holds none or no frame that can be decoded, or ends more than
            `MOST_SECONDS_MISSING`, or `MOST_MISSING_FRACTION` of it, before the time that its header names.
    """
    import av

    with open_container(path) as container:
        stream = choose_stream(container, path)
        num_packets, end, is_shown, rate = 0, 0.0, False, float(stream.average_rate or USUAL_RATE)
        try:
            for packet in container.demux():
                if packet.size:
                    num_packets += packet.stream is stream
                    end = max(end, _end_of(packet, rate))
                if packet.stream is stream and not is_shown:
                    is_shown = _shows_something(packet)
        except av.FFmpegError:  # a packet that ends with the file
            pass
        start = (container.start_time or 0) / av.time_base
        counted_from = 0.0 if stream.duration is None else start  # the header's own number, as of FLV, counts from zero
        declared = 0.0 if container.duration is None else container.duration / av.time_base + counted_from
    missing = max(declared - end, 0.0) if num_packets else 0.0
    _judge(path, num_packets, is_shown, missing, declared - start)
    return Survey(num_packets, missing if missing > FRAMES_OF_DOUBT / rate else 0.0)


def _end_of(packet: Packet, rate: float) -> float:
    """Time at which a packet has been shown, in seconds; 0 where it does not say."""
    ticks = packet.dts if packet.pts is None else packet.pts  # AVI has no time stamps but those of decoding
    if ticks is None or not packet.time_base:
        return 0.0
    shown = float(packet.duration * packet.time_base) if packet.duration else 1 / rate
    return float(ticks * packet.time_base) + shown


def _shows_something(packet: Packet) -> bool:
    import av

    try:
        return bool(packet.decode())
    except av.FFmpegError:
        return False


def _judge(path: str, num_packets: int, is_shown: bool, missing: float, declared: float) -> None:
    if not num_packets:
        raise GraftError(
            "the video has no frames", where=path, rule="at least one frame", remedy="leave it out, or record it again"
        )
    if not is_shown:
        raise GraftError(
            f"none of its {num_packets} frames can be decoded",
            where=path,
            remedy="copy it again from where it came: what it holds was damaged",
        )
    if missing > min(MOST_SECONDS_MISSING, MOST_MISSING_FRACTION * declared):
        raise GraftError(
            f"the video is cut off: {declared - missing:.1f} of {declared:.1f} seconds are there",
            where=path,
            rule=f"at most {MOST_MISSING_FRACTION:.0%}, and {MOST_SECONDS_MISSING:.0f} second, is missing at the end",
            remedy="copy it again from where it came; to use what is there, rewrite it: ffmpeg -i FILE -c copy NEW.mp4",
        )
