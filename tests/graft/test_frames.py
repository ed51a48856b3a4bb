"""Frames of videos as a delivery."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.prepared import ingest_source
from graft.commands.frames import TABLE, sample_frames
from graft.data.shards import read_rows
from graft.foundation.errors import GraftError
from tests.graft.small_videos import waving, write_video


def lines(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / TABLE).read_text(encoding="utf-8").splitlines()))


def test_the_first_frame_of_each_stretch_is_written_under_a_name_that_never_changes(tmp_path: Path) -> None:
    times = [0, 40, 460, 510, 990, 1010, 3000]  # half seconds begin at 0, 510, 1010 and 3000
    write_video(tmp_path / "clips/day/street.mkv", waving(7), times_ms=times)
    sampled = sample_frames([str(tmp_path / "clips")], tmp_path / "out", Fraction(1, 2))
    assert "4 frames of 1 clip written" in str(sampled)
    names = [f"day/street/{number:06d}.png" for number in (0, 3, 5, 6)]
    assert [line["image"] for line in lines(tmp_path / "out")] == names
    assert [float(line["seconds"]) for line in lines(tmp_path / "out")] == [0, 0.51, 1.01, 3]
    assert {(line["split"], line["group"]) for line in lines(tmp_path / "out")} == {("unlabelled", "day/street")}
    for number in (0, 3, 5, 6):
        image = cv2.imread(str(tmp_path / f"out/day/street/{number:06d}.png"))[..., ::-1]
        np.testing.assert_array_equal(image, waving(7)[number])


def test_a_second_run_changes_no_byte_and_no_line_that_a_person_wrote(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", waving(30))
    write_video(tmp_path / "b.mkv", waving(30))
    sample_frames([str(tmp_path / "a.mkv")], tmp_path / "out", Fraction(1))
    table = tmp_path / "out" / TABLE
    table.write_text(table.read_text().replace("a/000000.png,,,unlabelled", "a/000000.png,masks/a.png,,train"))
    before = (tmp_path / "out/a/000000.png").read_bytes()
    again = sample_frames([str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv")], tmp_path / "out", Fraction(1))
    assert (again.counts, again.num_known) == ({"b": 2}, 2)
    assert (tmp_path / "out/a/000000.png").read_bytes() == before
    told = [(line["image"], line["split"], line["mask"]) for line in lines(tmp_path / "out")]
    assert told[0] == ("a/000000.png", "train", "masks/a.png")
    assert [image for image, *_ in told] == ["a/000000.png", "a/000025.png", "b/000000.png", "b/000025.png"]


def test_another_clip_of_the_same_name_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "one/a.mkv", waving(3))
    write_video(tmp_path / "two/a.mkv", waving(4, 60))
    sample_frames([str(tmp_path / "one/a.mkv")], tmp_path / "out", Fraction(1))
    with pytest.raises(GraftError, match="holds frames of another clip of this name"):
        sample_frames([str(tmp_path / "two/a.mkv")], tmp_path / "out", Fraction(1))
    assert len(lines(tmp_path / "out")) == 1
    with pytest.raises(GraftError, match="no video there"):
        sample_frames([str(tmp_path / "three")], tmp_path / "out", Fraction(1))


@pytest.mark.parametrize(
    ("first", "then", "places"),
    [
        (["a/x.mkv"], ["a/x.mkv", "b/x.mkv"], {"x", "b/x"}),
        (["a/x.mkv", "b/x.mkv"], ["a/x.mkv"], {"a/x", "b/x"}),
        (["a/x.mkv", "b/x.mkv"], ["b/x.mkv"], {"a/x", "b/x"}),
    ],
)
def test_a_clip_keeps_its_place_whatever_else_is_named(
    tmp_path: Path, first: list[str], then: list[str], places: set[str]
) -> None:
    write_video(tmp_path / "a/x.mkv", waving(30))
    write_video(tmp_path / "b/x.mkv", waving(30, 60))
    for named in (first, then):
        sample_frames([str(tmp_path / path) for path in named], tmp_path / "out", Fraction(1))
    written = sorted(f"{place}/{number}.png" for place in places for number in ("000000", "000025"))
    assert sorted(line["image"] for line in lines(tmp_path / "out")) == written
    assert sorted(file.relative_to(tmp_path / "out").as_posix() for file in tmp_path.rglob("out/**/*.png")) == written


def test_more_frames_of_a_clip_join_the_group_that_a_person_gave_it(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "x.mkv", waving(30))
    sample_frames([str(clip)], tmp_path / "out", Fraction(1))
    table = tmp_path / "out" / TABLE
    table.write_text(table.read_text().replace(",unlabelled,x,", ",unlabelled,drive 7,"))
    clip = clip.rename(tmp_path / "renamed.mkv")
    sampled = sample_frames([str(clip)], tmp_path / "out", Fraction(1, 2))
    assert (sampled.counts, sampled.num_known) == ({"x": 1}, 2)
    assert {line["image"]: line["group"] for line in lines(tmp_path / "out")} == {
        f"x/{number:06d}.png": "drive 7" for number in (0, 13, 25)
    }
    write_video(tmp_path / "other/x.mkv", waving(3, 60))
    with pytest.raises(GraftError, match="holds frames of another clip of this name"):
        sample_frames([str(tmp_path / "other/x.mkv")], tmp_path / "out", Fraction(1))


@pytest.mark.parametrize(("cells", "what"), [(",two cars, one bus,", "more"), (",", "fewer")])
def test_a_line_with_more_or_fewer_cells_is_named_and_the_table_stays(tmp_path: Path, cells: str, what: str) -> None:
    clip = write_video(tmp_path / "a.mkv", waving(30))
    sample_frames([str(clip)], tmp_path / "out", Fraction(1))
    table = tmp_path / "out" / TABLE
    edited = table.read_text().replace("a/000025.png,,,", f"a/000025.png,{cells}")
    table.write_text(edited)
    with pytest.raises(GraftError, match=f"line 3 has {what} cells than there are columns"):
        sample_frames([str(clip)], tmp_path / "out", Fraction(1, 2))
    assert table.read_text() == edited


def test_ingest_reads_them_with_the_clip_as_group(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", waving(30))
    sampled = sample_frames([str(tmp_path / "a.mkv")], tmp_path / "out", Fraction(1))
    source = sampled.source() | {"classes": {"red": [0], "green": [1], "blue": [2]}}
    rows = [*read_rows(ingest_source(source, tmp_path / "out", tmp_path / "delivery") / "unlabelled")]
    assert [(row.id, row.group, row.split) for row in rows] == [
        ("a/000000.png", "a", "unlabelled"),
        ("a/000025.png", "a", "unlabelled"),
    ]
    assert rows[1].image == (tmp_path / "out/a/000025.png").read_bytes()
