"""Run lengths of Label Studio's brush: bits that pack the values of an image of four channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graft.data.formats.drawn.painters import Size

if TYPE_CHECKING:
    import numpy as np

CHANNELS, VALUE_BITS, NUM_LENGTHS = 4, 8, 4


def decode_brush(written: Sequence[int], size: Size) -> np.ndarray:
    """Decodes the pixels that a brush covered: those whose last channel, the opacity, is not 0.

    The bits of the bytes, highest first, are the number of values (32 bits), the bits of a value less one (5), and how
    many bits each of four kinds of lengths has, less one (4 each). Then come pieces: one bit, 1 for a run; two for the
    kind of its length; the length less one; and the value of the run, or else so many values. After
    thi.ng/umbrella's rle-pack, which Label Studio uses.

    Args:
        written: The bytes, as the export lists them.
        size: Height and width of the image.

    Returns:
        bool [H, W].

    Raises:
        ValueError: They are no bytes, cut off, or of an image of another size.
    """
    import numpy as np

    height, width = size
    if not isinstance(written, list):
        raise ValueError("its run lengths are no list of bytes")
    bits = _Bits(bytes(written))
    if (num_values := bits.number(32)) != height * width * CHANNELS:
        raise ValueError(f"its run lengths are of {num_values} values, not of {width} x {height} pixels")
    if (value_bits := bits.number(5) + 1) != VALUE_BITS:
        raise ValueError(f"its values have {value_bits} bits, not {VALUE_BITS}")
    lengths = [bits.number(4) + 1 for _ in range(NUM_LENGTHS)]
    values, begin = np.zeros(num_values, np.uint8), 0
    while begin < num_values:
        is_run = bits.number(1)
        end = begin + 1 + bits.number(lengths[bits.number(2)])
        if end > num_values:
            raise ValueError(f"its run lengths go beyond {width} x {height} pixels")
        values[begin:end] = bits.number(VALUE_BITS) if is_run else bits.values(end - begin)
        begin = end
    return values.reshape(height, width, CHANNELS)[:, :, -1] > 0


class _Bits:
    """Reads numbers from the bits of bytes, one after the other."""

    def __init__(self, data: bytes) -> None:
        import numpy as np

        self._bits, self._at = np.unpackbits(np.frombuffer(data, np.uint8)), 0
        self._text = (self._bits + ord("0")).tobytes().decode("ascii")

    def number(self, num_bits: int) -> int:
        return int(self._text[self._take(num_bits)], 2)

    def values(self, num_values: int) -> np.ndarray:
        import numpy as np

        return np.packbits(self._bits[self._take(num_values * VALUE_BITS)])

    def _take(self, num_bits: int) -> slice:
        begin, self._at = self._at, self._at + num_bits
        if self._at > len(self._text):
            raise ValueError("its run lengths are cut off")
        return slice(begin, self._at)
