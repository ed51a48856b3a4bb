"""The display matrix of a video: a phone that is held upright records lying frames and says how to turn them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

ONE = 1 << 16  # numbers of the matrix have 16 binary places


@dataclass(frozen=True)
class Orientation:
    """A turn by quarters and mirrors: first rows and columns are exchanged, then columns and rows are reversed.

    Attributes:
        is_transposed: Whether rows become columns.
        reverses_columns: Whether left and right are exchanged after that.
        reverses_rows: Whether top and bottom are.
        is_exact: Whether the matrix says no more than this; a turn by other angles is not followed.
    """

    is_transposed: bool = False
    reverses_columns: bool = False
    reverses_rows: bool = False
    is_exact: bool = True

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The upright image [H, W, C], in memory of its own where it was turned."""
        if not self:
            return image
        turned = image.swapaxes(0, 1) if self.is_transposed else image
        turned = turned[:, ::-1] if self.reverses_columns else turned
        return np.ascontiguousarray(turned[::-1] if self.reverses_rows else turned)

    def __bool__(self) -> bool:
        return self.is_transposed or self.reverses_columns or self.reverses_rows


def read_orientation(matrix: bytes) -> Orientation:
    """Reads a display matrix: nine int32 a b u c d v x y w, by which column p and row q go to (ap + cq, bp + dq).

    Source: ISO/IEC 14496-12 (`matrix` of the track header), as FFmpeg's `AV_PKT_DATA_DISPLAYMATRIX` holds it.
    """
    a, b, _, c, d = struct.unpack("<5i", matrix[:20])
    if a == d == 0 and b and c:
        return Orientation(True, c < 0, b < 0, {abs(b), abs(c)} == {ONE})
    if b == c == 0 and a and d:
        return Orientation(False, a < 0, d < 0, {abs(a), abs(d)} == {ONE})
    return Orientation(is_exact=False)
