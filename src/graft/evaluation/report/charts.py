"""Line charts as inline SVG: sharp at any size, coloured by the style sheet, the same bytes for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 560, 280
LEFT, RIGHT, TOP, BOTTOM = 46, 132, 14, 42  # the right margin holds the names of the lines
LABEL_GAP = 17  # of letters as large as on a phone


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: Name at its right end; empty for none.
        style: CSS class of the page.
        points: Points (x, y) in order of x.
        marked: Indices of the points drawn as dots; a point by itself always is.
    """

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    marked: Sequence[int] = ()


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high` with its ticks.

    Attributes:
        title: Title beside the axis.
        low: First value.
        high: Last value.
        ticks: Values that are written.
        percent: Whether 0.25 is written as 25%.
        powers: Whether the axis goes up in powers of ten; all values are positive.
    """

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    percent: bool = False
    powers: bool = False

    @classmethod
    def over(cls, title: str, values: Sequence[float], *, percent: bool = False, whole: bool = False) -> Axis:
        """An axis that holds all values, with about five round ticks; `whole` numbers only where asked."""
        low, high = min(values), max(values)
        step = _round_step(max(high - low, 1e-6) / 4)
        step = max(1, math.ceil(step)) if whole else step
        low, high = (
            (low, max(high, low + 1)) if whole else (math.floor(low / step) * step, math.ceil(high / step) * step)
        )
        high = high if high > low else low + step
        first = math.ceil(low / step - 1e-9)
        return cls(title, low, high, [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)], percent)

    @classmethod
    def over_powers(cls, title: str, values: Sequence[float]) -> Axis:
        """An axis of whole powers of ten that holds all values, which are positive."""
        first = math.floor(math.log10(min(values)))
        last = max(first + 1, math.ceil(math.log10(max(values))))
        step = math.ceil((last - first) / 6)
        last = first + step * math.ceil((last - first) / step)
        return cls(title, 10.0**first, 10.0**last, [10.0**i for i in range(first, last + 1, step)], powers=True)

    def share(self, value: float) -> float:
        """How far along the axis a value lies, 0 to 1."""
        if self.powers:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def label(self, value: float) -> str:
        return f"{100 * value:.4g}%" if self.percent else f"{value:,g}" if self.powers else f"{value:.4g}"


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, description: str) -> Markup:
    """An SVG of the lines; `description` is what a screen reader says."""

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across, up = x.share(point[0]), y.share(point[1])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">']
    parts += _frame(x, y, place)
    for line in lines:
        placed = [place(point) for point in line.points]
        path = " ".join(f"{across:.1f},{height:.1f}" for across, height in placed)
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
        dots = (placed[index] for index in (line.marked if len(placed) > 1 else range(len(placed))))
        parts += [f'<circle class="dot {line.style}" cx="{across:.1f}" cy="{up:.1f}" r="4"/>' for across, up in dots]
    parts += _names([(line, place(line.points[-1])) for line in lines if line.name and line.points])
    return Markup("".join(parts) + "</svg>")  # every text in it is escaped or a number


def _frame(x: Axis, y: Axis, place: Callable[[tuple[float, float]], tuple[float, float]]) -> list[str]:
    parts = []
    for tick in y.ticks:
        height = place((x.low, tick))[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(_text("tick", LEFT - 8, height + 4, "end", y.label(tick)))
    parts += [_text("tick", place((tick, y.low))[0], HEIGHT - BOTTOM + 18, "middle", x.label(tick)) for tick in x.ticks]
    return [*parts, _text("axis", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "middle", x.title)]


def _text(style: str, across: float, height: float, anchor: str, text: str) -> str:
    return f'<text class="{style}" x="{across:.1f}" y="{height:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _names(ends: Sequence[tuple[Line, tuple[float, float]]]) -> list[str]:
    """The names of the lines beside their ends, pushed apart where they would overlap."""
    ordered = sorted(ends, key=lambda end: end[1][1])
    heights: list[float] = []
    for _, (_, height) in ordered:
        heights.append(max(height, heights[-1] + LABEL_GAP) if heights else max(height, TOP))
    overflow = heights[-1] - (HEIGHT - BOTTOM) if heights else 0
    for index in reversed(range(len(heights))):
        limit = heights[index + 1] - LABEL_GAP if index + 1 < len(heights) else heights[index] - max(0, overflow)
        heights[index] = min(heights[index], limit)
    return [
        f'<text class="name {line.style}" x="{across + 9:.1f}" y="{height + 4:.1f}">{escape(line.name)}</text>'
        for (line, (across, _)), height in zip(ordered, heights, strict=True)
    ]
