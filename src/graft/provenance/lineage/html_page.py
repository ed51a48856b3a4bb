"""Lineage as one self-contained HTML page: a picture of the chain, and every step in full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape

from graft.provenance.lineage.tree import SHORT, facts_of, summary_of, title
from graft.provenance.lineage.walk import Chain, Link, Step

BOX_WIDTH_PX, BOX_HEIGHT_PX, GAP_X_PX, GAP_Y_PX, MARGIN_PX = 158, 74, 34, 30, 8
MOST_LETTERS = 19
COLOURS = {
    "export": "#1b5e8c",
    "fine-tune": "#1b5e8c",
    "pretrain-load": "#6a4c93",
    "source": "#6a4c93",
    "augment": "#2f7d4f",
    "ingest": "#2f7d4f",
    "raw": "#2f7d4f",
    "validate": "#8a6d1a",
    "evaluate": "#8a6d1a",
    "missing": "#b3261e",
}
LANES = (("augment", "ingest", "raw"), ("export", "fine-tune", "pretrain-load", "source"), ("evaluate", "validate"))
ARROWHEAD = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
)
STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --paper: #fff; --line: #8796a5; --soft: #f2f5f8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --paper: #14191f; --line: #64748b; --soft: #1e262f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 84rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0.2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0.4rem; }
.picture { overflow-x: auto; } svg { display: block; } svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
svg .what { font-weight: 600; } svg .mono, code { font-family: ui-monospace, monospace; font-size: 12px; }
svg rect { fill: var(--soft); } svg path { fill: none; stroke: var(--line); stroke-width: 1.6; }
svg path.head { fill: var(--line); stroke: none; }
svg path.shortcut { opacity: 0.35; stroke-width: 1; }
table { border-collapse: collapse; width: 100%; } td { border-top: 1px solid var(--line);
  padding: 0.2rem 0.6rem 0.2rem 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; width: 9rem; }
details { margin-top: 0.4rem; } pre { background: var(--soft); padding: 0.6rem; overflow-x: auto; font-size: 12px; }
.missing { color: #b3261e; }
"""


def page(chain: Chain) -> str:
    """The whole page; it loads nothing, so it can be kept as evidence."""
    gaps = "".join(f'<p class="missing">Missing: {escape(gap)}</p>' for gap in chain.missing)
    sections = "".join(_section(step) for step in chain.steps.values())
    name = escape(title(chain))
    rows = "".join(f"<tr><td>{escape(what)}</td><td>{escape(said)}</td></tr>" for what, said in summary_of(chain))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Lineage of {name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>\n'
        f"<h1>Lineage of {name}</h1>\n<table>{rows}</table>\n"
        "<p>From the model on the left to what it was made from on the right. "
        f"Every arrow is a digest that both ends record.</p>{gaps}\n"
        f'<div class="picture">{picture(chain)}</div>\n{sections}</body></html>\n'
    )


def picture(chain: Chain) -> str:
    """The chain as SVG: a column for each distance from the model; data above, weights in the middle, reports below."""
    places = _places(chain)
    width = max(x for x, _ in places.values()) + BOX_WIDTH_PX + MARGIN_PX
    height = max(y for _, y in places.values()) + BOX_HEIGHT_PX + MARGIN_PX
    arrows = "".join(_arrow(chain, step, link, places) for step in chain.steps.values() for link in step.links)
    boxes = "".join(_box(step, *places[step.key]) for step in chain.steps.values())
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="The steps from the model to the raw files">{ARROWHEAD}{arrows}{boxes}</svg>'
    )


def _places(chain: Chain) -> dict[str, tuple[int, int]]:
    """The corner of each box: right of everything that reads it, in the lane of its stage or below."""
    depth = dict.fromkeys(chain.steps, 0)
    for _ in chain.steps:  # longest path, in as many rounds as it may have steps
        for step in chain.steps.values():
            for link in step.links:
                depth[link.to] = max(depth[link.to], depth[step.key] + 1)
    taken: set[tuple[int, int]] = set()
    places = {}
    for key, step in chain.steps.items():
        lane = next((number for number, stages in enumerate(LANES) if step.kind in stages), len(LANES))
        while (depth[key], lane) in taken:
            lane += 1
        taken.add((depth[key], lane))
        across, down = depth[key] * (BOX_WIDTH_PX + GAP_X_PX), lane * (BOX_HEIGHT_PX + GAP_Y_PX)
        places[key] = (MARGIN_PX + across, MARGIN_PX + down)
    return places


def _arrow(chain: Chain, step: Step, link: Link, places: dict[str, tuple[int, int]]) -> str:
    """A line from a step to what it read; faint where the same is reached by way of another step."""
    start, end = places[step.key], places[link.to]
    x0, y0 = start[0] + BOX_WIDTH_PX, start[1] + BOX_HEIGHT_PX // 2
    x1, y1 = end[0], end[1] + BOX_HEIGHT_PX // 2
    others = [other.to for other in step.links if other.to != link.to]
    kind = ' class="shortcut"' if any(_reaches(chain, other, link.to) for other in others) else ""
    said = escape(", ".join(f"{path} {digest}" for path, digest in link.paths.items()))
    tip = x1 - 1
    curve = f"M{x0} {y0} C{x0 + GAP_X_PX} {y0} {tip - GAP_X_PX} {y1} {tip} {y1}"
    return f'<path{kind} d="{curve}" marker-end="url(#arrow)"><title>{said}</title></path>'


def _reaches(chain: Chain, start: str, end: str) -> bool:
    return start == end or any(_reaches(chain, link.to, end) for link in chain.steps[start].links)


def _box(step: Step, x: int, y: int) -> str:
    colour = COLOURS.get(step.kind, "#555")
    path = next(iter(step.made), "")
    path = path if len(path) <= MOST_LETTERS else f"…{path[1 - MOST_LETTERS :]}"
    lines = [("what", step.what), ("", path), ("mono", next(iter(step.made.values()), step.key)[:SHORT])]
    text = "".join(
        f'<text class="{kind}" x="{x + 14}" y="{y + 22 + 20 * number}">{escape(line)}</text>'
        for number, (kind, line) in enumerate(lines)
    )
    return (
        f'<a href="#{escape(step.key[:SHORT])}"><rect x="{x}" y="{y}" width="{BOX_WIDTH_PX}" height="{BOX_HEIGHT_PX}" '
        f'rx="6"/><rect x="{x}" y="{y}" width="6" height="{BOX_HEIGHT_PX}" rx="3" style="fill: {colour}"/>{text}</a>'
    )


def _section(step: Step) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{value}</td></tr>" for name, value in _rows(step))
    full = "".join(
        f"<details><summary>{name}</summary><pre>{escape(json.dumps(step.facts[name], indent=2, sort_keys=True))}"
        "</pre></details>"
        for name in ("params", "metrics", "files")
        if step.facts.get(name)
    )
    return f'<h2 id="{escape(step.key[:SHORT])}">{escape(step.what.capitalize())}</h2>\n<table>{rows}</table>{full}\n'


def _rows(step: Step) -> Iterator[tuple[str, str]]:
    for path, digest in step.made.items():
        yield path, f"<code>{escape(digest)}</code>"
    for name, value in facts_of(step):
        yield name, f"<code>{escape(str(step.facts.get(name) or value))}</code>" if name in CODES else escape(value)


CODES = ("commit", "record", "run", "sha256")
