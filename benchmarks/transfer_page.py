"""The picture of the benchmark transfer, and its two tables in docs/choosing.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import page
from benchmarks.domains import DOMAINS, LABELS

if TYPE_CHECKING:
    from benchmarks.transfer import Line, Scores

ADVICE = page.PAGE.with_name("choosing.md")
SCORE = {"segmentation": "val mean IoU, %", "classification": "val accuracy, %"}
COLOURS = {"scratch": "tab:gray", "bundled": "tab:orange", "package": "tab:blue"}
STYLES = ("-", "--")


def write(found: Scores, best: Mapping[str, Sequence[Line]], whole: str) -> None:
    """Writes both tables into the page that advises: the ways with `whole` labels, and the best of each start."""
    page.replace("transfer_ways", page.join_rows(list(rows_of_ways(found, best, whole))), ADVICE)
    page.replace("transfer_starts", page.join_rows(list(rows_of_starts(found, best))), ADVICE)


def rows_of_ways(found: Scores, best: Mapping[str, Sequence[Line]], whole: str) -> Iterator[list[str]]:
    """A row for each domain and start, a column for each way; the best of a domain is bold."""
    ways = dict.fromkeys(line.way for _, labels, line in found if labels == whole)
    yield ["domain", "start", *ways]
    yield ["---", "---", *("---:" for _ in ways)]
    for domain in best:
        scores = {line: values for (of, labels, line), values in found.items() if (of, labels) == (domain, whole)}
        first = _first(scores, scores)
        for start in dict.fromkeys(line.start for line in scores):
            row = {line.way: _text(values, line == first) for line, values in scores.items() if line.start == start}
            yield [domain, start, *(row.get(way, "") for way in ways)]


def rows_of_starts(found: Scores, best: Mapping[str, Sequence[Line]]) -> Iterator[list[str]]:
    """A row for each domain and number of labels: the best way of each start there; the best of a row is bold."""
    yield ["domain", "labels", *COLOURS]
    yield ["---", "---:", *("---" for _ in COLOURS)]
    for domain, lines in best.items():
        for labels in LABELS:
            scores = {line: found[domain, labels, line] for line in lines if (domain, labels, line) in found}
            if scores:
                leaders = [_first(scores, (line for line in scores if line.weights == start)) for start in COLOURS]
                first = _first(scores, scores)
                yield [domain, labels, *(f"{_text(scores[one], one == first)} ({one.how})" for one in leaders)]


def _first(scores: Mapping[Line, Sequence[float]], lines: Iterable[Line]) -> Line:
    """The line with the highest mean."""
    return max(lines, key=lambda line: statistics.fmean(scores[line]))


def _text(values: Sequence[float], is_best: bool) -> str:
    """Mean and deviation in per cent."""
    mean, deviation = 100 * statistics.fmean(values), 100 * statistics.stdev(values)
    return f"**{mean:.1f} ± {deviation:.1f}**" if is_best else f"{mean:.1f} ± {deviation:.1f}"


def draw(found: Scores, best: Mapping[str, Sequence[Line]], path: Path) -> None:
    """Draws a panel for each domain: scores over labels, a line for the best way of each start, bars of a deviation."""
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(4.4 * len(best), 4.2), layout="constrained")
    for panel, (domain, lines) in zip(picture.subplots(1, len(best), squeeze=False)[0], best.items(), strict=True):
        seen: list[str] = []
        for line in lines:
            points = {labels: found[domain, labels, line] for labels in LABELS if (domain, labels, line) in found}
            means = [100 * statistics.fmean(values) for values in points.values()]
            bars = [100 * statistics.stdev(values) if len(values) > 1 else 0 for values in points.values()]
            look = {"color": COLOURS[line.weights], "linestyle": STYLES[seen.count(line.weights)]}
            panel.errorbar(list(points), means, bars, label=str(line), capsize=3, marker="o", **look)
            seen.append(line.weights)
        panel.set(title=domain, xlabel="labelled images", ylabel=SCORE[DOMAINS[domain].task])
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    picture.savefig(path, dpi=110, metadata={"Software": None})
