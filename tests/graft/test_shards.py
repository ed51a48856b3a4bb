"""Shards: what is written is read, in bounded pieces, and damage is noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graft.data.shards import SHARD_SCHEMA, Row, ShardWriter, num_rows, read_rows
from graft.foundation.errors import GraftError


def row(number: int, split: str = "train", size: int = 10) -> dict[str, Any]:
    keys = {"id": f"{number:03d}", "split": split, "batch": "b", "domain": "day", "group": "g", "extra": 1}
    image = {"image": bytes([number % 256]) * size, "image_sha256": "a"}
    return {**keys, **image, "mask": None, "mask_sha256": None, "label": number}


def write(folder: Path, rows: list[dict[str, Any]], most_bytes: int = 10**8) -> None:
    writer = ShardWriter(folder, "b", most_bytes=most_bytes)
    for one in rows:
        writer.add(one)
    writer.close()


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    write(tmp_path, [row(n) for n in range(1200)] + [row(0, "val")])
    rows = list(read_rows(tmp_path / "train"))
    assert [r.label for r in rows] == list(range(1200))
    assert rows[5] == Row("005", "train", "b", "day", "g", b"\5" * 10, "a", None, None, 5)
    assert (num_rows(tmp_path / "train"), num_rows(tmp_path / "val")) == (1200, 1)
    assert pq.read_schema(tmp_path / "train/b-00000.parquet").equals(SHARD_SCHEMA)


def test_rows_by_number_are_read_from_their_row_groups_alone(tmp_path: Path) -> None:
    write(tmp_path, [row(n, size=8_000_000) for n in range(7)], most_bytes=40_000_000)
    assert [r.label for r in read_rows(tmp_path / "train", {1, 4, 6})] == [1, 4, 6]
    path = tmp_path / "train/b-00000.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[12_000_000] ^= 1  # in the second row of the first group
    path.write_bytes(damaged)
    assert [r.label for r in read_rows(tmp_path / "train", {3, 5})] == [3, 5]
    with pytest.raises(GraftError, match="the shard is damaged"):
        list(read_rows(tmp_path / "train", {0}))


def test_a_shard_stays_below_its_limit(tmp_path: Path) -> None:
    write(tmp_path, [row(n, size=20_000) for n in range(20)], most_bytes=100_000)
    shards = sorted((tmp_path / "train").iterdir())
    assert [shard.name for shard in shards] == [f"b-{n:05d}.parquet" for n in range(5)]
    assert all(shard.stat().st_size <= 100_000 for shard in shards)
    assert [r.label for r in read_rows(tmp_path / "train")] == list(range(20))


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two/deeper"):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name, [row(n) for n in range(9)])
    one, two = ((tmp_path / name / "train/b-00000.parquet").read_bytes() for name in ("one", "two/deeper"))
    assert one == two


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    write(tmp_path, [row(n, size=5000) for n in range(9)])
    path = tmp_path / "train/b-00000.parquet"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[:-100], whole[: len(whole) // 2], b"", bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(GraftError, match=r"b-00000.parquet: the shard is damaged.*dvc repro"):
            list(read_rows(tmp_path / "train"))
    path.write_bytes(b"x" * 100)
    with pytest.raises(GraftError, match="the shard is damaged"):
        num_rows(tmp_path / "train")


def test_missing_shards_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="no shards"):
        list(read_rows(tmp_path / "train"))
    (tmp_path / "train").mkdir()
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "train/b-00000.parquet")
    with pytest.raises(GraftError, match=r"columns are missing: split, batch, .*label"):
        list(read_rows(tmp_path / "train"))


def test_a_read_only_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("a file where a folder should be")
    with pytest.raises(GraftError, match=r"cannot be written.*writable"):
        write(tmp_path, [row(0)])


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """A limit on file size stands in for the full disk: both fail in the middle of a write."""
    program = """
import resource, signal, sys
from pathlib import Path
from graft.data.shards import ShardWriter
from graft.foundation.errors import GraftError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
keys = dict(id="a", split="train", batch="b", domain="d", group="g")
row = dict(keys, image_sha256="", mask=None, mask_sha256=None, label=0)
writer = ShardWriter(Path(sys.argv[1]), "b")
try:
    for number in range(40):
        writer.add({**row, "image": bytes(1_000_000)})
    writer.close()
except GraftError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "cannot be written" in done.stdout, done.stderr
    assert "free some space" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory of a process is read from /proc")
def test_reading_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    program = """
import re, sys
from pathlib import Path
from graft.data.shards import read_rows
print(sum(1 for _ in read_rows(Path(sys.argv[1]))))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
    peaks = []
    for count in (300, 2000):
        write(tmp_path / str(count), [row(n, size=200_000) for n in range(count)])
        command = [sys.executable, "-c", program, str(tmp_path / str(count) / "train")]
        num, peak = subprocess.run(command, capture_output=True, check=True).stdout.split()
        assert int(num) == count
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 40_000, "kB more for 340 MB more of images"
