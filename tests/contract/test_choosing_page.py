"""The figures of the page that advises are those the benchmark wrote."""

from __future__ import annotations

import re

import pytest

DOMAINS = {"same light": "camvid", "another light": "scenes"}
STRATEGIES = ("scratch", "frozen", "gradual", "l2_sp", "full")


def test_the_advice_quotes_what_was_measured(repository):
    page = (repository / "docs/benchmarks.md").read_text("utf-8")
    measured = page.split("<!-- begin transfer -->")[1].split("<!-- end transfer -->")[0]
    lines = (repository / "docs/choosing.md").read_text("utf-8").splitlines()
    table = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines if " ± " in line]
    rows = [cells for cells in table if len(cells) == 3 + len(STRATEGIES)]
    assert len(rows) >= 4
    for labels, domain, _, *told in rows:
        for strategy, text in zip(STRATEGIES, told, strict=True):
            mean, deviation = map(float, text.split(" ± "))
            row = rf"\| {DOMAINS[domain]}, {labels} labels, {strategy} \| ([\d.]+) % \| ([\d.]+) % to"
            found = re.search(row, measured)
            assert found, (labels, domain, strategy)
            assert float(found[1]) == mean
            assert mean - float(found[2]) == pytest.approx(deviation, abs=0.11)
