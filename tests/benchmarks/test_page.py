from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.__main__ import BENCHMARKS
from benchmarks.figures import Figure, interleave, ratio


def test_writes_between_its_own_markers_only(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n<!-- begin b -->\n<!-- end b -->\n")
    figure = Figure("speed", 1.25, "×", (1.0, 1.5), at_least=1.3)
    page.write("a", [figure], file)
    page.write("a", [figure], file)
    text = file.read_text()
    assert "old" not in text
    assert text.count("| speed | 1.25 × | 1.00 × to 1.50 × | ≥ 1.30 × | NO |") == 1
    assert text.startswith("before\n")
    assert text.endswith("after\n<!-- begin b -->\n<!-- end b -->\n")


def test_a_page_without_markers_is_named(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("nothing\n")
    with pytest.raises(SystemExit, match="needs <!-- begin a -->"):
        page.write("a", [], file)


def test_the_page_has_a_place_for_every_benchmark() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert all(text.count(f"<!-- {edge} {name} -->") == 1 for name in BENCHMARKS for edge in ("begin", "end"))


def test_ratio_is_of_medians_and_pairs_give_the_range() -> None:
    found = ratio("a / b", [2.0, 4.0, 9.0], [1.0, 2.0, 3.0], at_least=2.0)
    assert (found.value, found.spread, found.holds) == (2.0, (2.0, 3.0), True)


def test_rounds_alternate_and_warm_ups_are_not_counted() -> None:
    calls: list[str] = []
    seconds = interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, "Calling")
    assert "".join(calls) == "baabba"
    assert [len(times) for times in seconds.values()] == [2, 2]
