"""The figures of the page that advises are those the benchmark wrote."""

from __future__ import annotations

import re

MEASURED = re.compile(r"\| ([\d.]+) % \| ([\d.]+) % to ([\d.]+) % \|")
TOLD = re.compile(r"([\d.]+) ± ([\d.]+)")


def test_the_advice_quotes_what_was_measured(repository):
    page = (repository / "docs/benchmarks.md").read_text("utf-8")
    measured = page.split("<!-- begin transfer -->")[1].split("<!-- end transfer -->")[0]
    found = [tuple(map(float, row)) for row in MEASURED.findall(measured)]
    told = [tuple(map(float, pair)) for pair in TOLD.findall((repository / "docs/choosing.md").read_text("utf-8"))]
    assert len(told) >= 20
    for mean, deviation in told:
        assert any(
            mean == value and abs(value - low - deviation) < 0.11 and abs(high - value - deviation) < 0.11
            for value, low, high in found
        ), f"{mean} ± {deviation} was not measured"
