"""Figures as a table for the terminal, and as Markdown between the markers of docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import Figure
from graft.foundation.workers import num_usable_cores

PAGE = Path(__file__).resolve().parents[1] / "docs/benchmarks.md"
HEADER = ["measured", "median", "range of pairs", "bound", "kept"]
LIBRARIES = ("torch", "torchvision", "onnxruntime", "opencv-python-headless", "albumentations", "dvc", "typer")


def machine() -> str:
    """The number of cores, the model of the CPU and versions; nothing that identifies the machine."""
    versions = ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
    return f"{num_usable_cores()} cores of {cpu_model()}; Python {platform.python_version()}, {versions}"


def cpu_model() -> str:
    """The name the CPU reports."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def describe_load() -> str | None:
    """A warning if other processes use this machine, which distorts times but not ratios; else None."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"the load average is {load:.1f}: this machine is busy" if load > 0.5 else None


def as_text(name: str, figures: Sequence[Figure]) -> str:
    """The figures as a table with aligned columns."""
    rows = [[name, *HEADER[1:]], *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def as_markdown(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table, with a description of the machine below it."""
    rows = [HEADER, ["---", "---:", "---:", "---:", "---"], *(figure.cells() for figure in figures)]
    return f"{join_rows(rows)}\n\n{machine()}."


def join_rows(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a Markdown table; the first is the header, the second aligns the columns."""
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write(name: str, figures: Sequence[Figure], page: Path = PAGE) -> None:
    """Puts the figures of a benchmark between its markers; the rest of the page is written by hand."""
    replace(name, as_markdown(figures), page)


def replace(name: str, written: str, page: Path) -> None:
    """Replaces the text between two markers of a page."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"benchmarks: {page} needs {begin} and {end}, once each")
    before, after = text.split(begin)[0], text.split(end)[1]
    page.write_text(f"{before}{begin}\n{written}\n{end}{after}", encoding="utf-8")
