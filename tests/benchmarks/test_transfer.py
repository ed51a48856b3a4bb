from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import transfer_page
from benchmarks.domains import DOMAINS, LABELS, domains_here, keep_labels
from benchmarks.transfer import EPOCHS, GRID, Cell, Line, choose, figures
from graft.data.shards import ShardWriter, read_rows
from graft.params.compatibility import find_disagreements

OPTIONS = argparse.Namespace(quick=False, threads=1, camvid=Path("camvid"), hymenoptera=Path("insects"))


def scores(**best: float) -> dict[Line, list[float]]:
    """Scores of the whole grid: those named `start_way`, and less for all others."""
    named = {Line(*name.split("_", 1)): [score] for name, score in best.items()}
    return {line: named.get(line, [0.1]) for line in GRID} | {Line("scratch (Lite0)", "everything"): [0.2]}


def test_the_two_best_go_on_beside_the_better_start_from_scratch() -> None:
    chosen = choose(scores(bundled_frozen=0.5, package_l2_sp=0.6))
    assert [str(line) for line in chosen] == ["scratch (Lite0)", "package, l2_sp", "bundled, frozen"]


def test_a_start_that_has_none_of_the_two_best_goes_on_with_its_own_best() -> None:
    chosen = choose(scores(package_frozen=0.5, package_l2_sp=0.6, bundled_gradual=0.3))
    assert [str(line) for line in chosen[1:]] == ["package, l2_sp", "package, frozen", "bundled, gradual"]


def test_a_quick_training_is_never_taken_for_a_whole_one_nor_another_folder_for_other_images() -> None:
    cell = Cell("camvid", "10", GRID[0], 1)
    elsewhere = argparse.Namespace(**vars(OPTIONS) | {"camvid": Path("other"), "threads": 2})
    assert cell.kept(elsewhere) == cell.kept(OPTIONS)
    assert cell.kept(argparse.Namespace(**vars(OPTIONS) | {"quick": True})) != cell.kept(OPTIONS)


@pytest.mark.parametrize("domain", ["scenes", "ants-and-bees"])
def test_the_shortest_training_is_long_enough_to_thaw_every_layer(domain: str) -> None:
    shortest = min(EPOCHS, key=lambda labels: EPOCHS[labels])
    params = Cell(domain, shortest, Line("package", "gradual"), 1).params(OPTIONS)
    assert [str(error) for _, error in find_disagreements(params)] == []


def test_labels_are_nested(tmp_path: Path) -> None:
    kept = {}
    for num in (6, 3):
        writer = ShardWriter(tmp_path / str(num), "first")
        for number in range(20):
            row = {"id": f"{number:02d}", "split": "train", "batch": "first", "domain": "", "group": "", "image": b"x"}
            writer.add(row | {"image_sha256": "", "mask": None, "mask_sha256": None, "label": number % 2})
        writer.close()
        keep_labels(tmp_path / str(num), num, seed=7)
        kept[num] = [row.id for row in read_rows(tmp_path / str(num) / "train")]
    assert len(kept[6]) == 6
    assert kept[3] == [id for id in kept[6] if id in kept[3]]


def test_a_domain_without_a_folder_is_left_out_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    without = argparse.Namespace(camvid=None, hymenoptera=tmp_path)
    assert domains_here(without) == ["scenes", "ants-and-bees"]
    with pytest.raises(SystemExit, match="--camvid: there is no folder"):
        domains_here(argparse.Namespace(camvid=tmp_path / "none", hymenoptera=None))


def test_the_tables_say_the_best_of_each_start() -> None:
    lines = choose(scores(package_frozen=0.5, package_l2_sp=0.6, bundled_gradual=0.3))
    values = {lines[0]: [0.2, 0.2], lines[1]: [0.58, 0.62], lines[2]: [0.65, 0.65], lines[3]: [0.3, 0.3]}
    found = {("scenes", "40", line): values.get(line, [0.1, 0.1]) for line in GRID}
    found |= {("scenes", "10", line): [0.4, 0.4] for line in lines}
    starts = list(transfer_page.rows_of_starts(found, {"scenes": lines}))
    forty = next(row for row in starts if row[1] == "40")
    assert forty == ["scenes", "40", "20.0 ± 0.0 (Lite0)", "30.0 ± 0.0 (gradual)", "**65.0 ± 0.0** (frozen)"]
    ways = list(transfer_page.rows_of_ways(found, {"scenes": lines}, "40"))
    assert ways[0] == ["domain", "start", "everything", "frozen", "gradual", "l2_sp", "layer_wise"]
    assert ways[-1][:5] == ["scenes", "package", "10.0 ± 0.0", "**65.0 ± 0.0**", "10.0 ± 0.0"]
    assert next(figure.what for figure in figures(found)) == "scenes, 40 labels, scratch (MobileNetV3)"


def test_the_picture_has_a_line_for_each_start(tmp_path: Path) -> None:
    lines = choose(scores(bundled_frozen=0.5, package_l2_sp=0.6))
    found = {("scenes", labels, line): [0.1, 0.2] for labels in LABELS for line in lines}
    transfer_page.draw(found, {"scenes": lines}, tmp_path / "transfer.png")
    assert (tmp_path / "transfer.png").stat().st_size > 0
    assert {line.weights for line in lines} == set(transfer_page.COLOURS)
    assert {domain.task for domain in DOMAINS.values()} == set(transfer_page.SCORE)
