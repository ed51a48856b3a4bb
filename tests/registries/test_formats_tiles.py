"""The source `tiles`: every pixel in one tile, no tile in another split than its image, nodata ignored or left out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image

from graft.data.formats import FORMATS
from graft.data.formats.class_values import translation_of
from graft.data.formats.listing import LeftOut, Listing
from graft.data.formats.tiles import tile_edges
from graft.data.formats.unlabelled_images import add_unlabelled
from graft.data.formats.void_value import with_void_value
from graft.data.images import cutouts
from graft.data.images.codec import decode_image, decode_mask
from graft.data.images.stacks import decode
from graft.data.shards import Row, read_rows
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.params.sections import Ingest
from pipeline.ingest import ingest

HEIGHT, WIDTH, SIZE = 130, 210, 64
NODATA = [(42113, "s", 0, "0", True)]
PAIRS: dict[str, Any] = {
    "name": "mask_folder",
    "images": "images/*.tif",
    "masks": "masks/{stem}.tif",
    "classes": {"field": [0], "road": [7], "house": [300]},
    "val_fraction": 0.3,
    "test_fraction": 0.3,
}
TILES = {"name": "tiles", "size_px": SIZE, "source": PAIRS}


def section(root: Path, source: dict[str, Any], **changes: Any) -> Ingest:
    values = {"unlabelled": None, "split_seed": 7, "batch": "first", "max_pixels": 10**5, "deliveries": {}}
    return Ingest(root=str(root), source=source, **values | changes)


def listing_of(root: Path, source: dict[str, Any], task: str = "segmentation") -> Listing:
    return resolve(FORMATS, source, where="ingest.source")(task, 7, root)


def ingested(root: Path, out: Path, source: dict[str, Any], **changes: Any) -> dict[str, float]:
    out.mkdir()
    return ingest(task="segmentation", ingest=section(root, source, **changes), root=root, out=out)


def rows_of(out: Path) -> Iterator[Row]:
    for split in ("train", "val", "test"):
        yield from read_rows(out / split)


def make(root: Path, num: int = 8, nodata_rows: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Maps, tiled and with deflate, and masks in strips; images and masks by id."""
    made = {}
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(num):
        rng = np.random.default_rng(number)
        image = rng.integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        mask = rng.choice(np.array([0, 7, 300], np.uint16), (HEIGHT, WIDTH))
        image[:nodata_rows] = 0
        options = {"photometric": "rgb", "tile": (32, 32), "compression": "deflate", "extratags": NODATA}
        tifffile.imwrite(root / f"images/{number}.tif", image, **options)
        tifffile.imwrite(root / f"masks/{number}.tif", mask, photometric="minisblack", rowsperstrip=11)
        made[f"images/{number}.tif"] = image, mask
    return made


def window_of(row: Row) -> tuple[str, tuple[slice, slice]]:
    image, name = row.id.rsplit("/", 1)
    row_number, column = (int(part[1:]) for part in name.split("-"))
    down, across = tile_edges(HEIGHT, SIZE), tile_edges(WIDTH, SIZE)
    return image, np.s_[down[row_number] : down[row_number + 1], across[column] : across[column + 1]]


def test_tiles_are_as_few_and_as_equal_as_can_be() -> None:
    assert tile_edges(64, 64) == [0, 64]
    assert tile_edges(65, 64) == [0, 32, 65]
    assert tile_edges(20_000, 1024) == list(range(0, 20_001, 1000))
    assert tile_edges(3, 64) == [0, 3]


def test_every_pixel_is_in_one_tile_and_an_image_in_one_split(tmp_path: Path) -> None:
    made = make(tmp_path / "raw", nodata_rows=10)
    metrics = ingested(tmp_path / "raw", tmp_path / "out", TILES)
    seen = {name: np.zeros((HEIGHT, WIDTH), int) for name in made}
    splits: dict[str, set[str]] = {name: set() for name in made}
    ids = {0: 0, 7: 1, 300: 2}
    for row in rows_of(tmp_path / "out"):
        name, place = window_of(row)
        image, mask = made[name]
        assert row.group == name
        splits[name].add(row.split)
        seen[name][place] += 1
        np.testing.assert_array_equal(decode_image(row.image), image[place])
        expected = np.vectorize(ids.get)(mask[place]).astype(np.uint8)
        expected[(image[place] == 0).all(axis=2)] = 255
        assert row.mask is not None
        np.testing.assert_array_equal(decode_mask(row.mask), expected)
    assert all((count == 1).all() for count in seen.values())
    assert all(len(of_one) == 1 for of_one in splits.values())
    assert metrics["num_images"] == 8 * 3 * 4
    assert json.loads((tmp_path / "out/class_map.json").read_text("utf-8"))["names"] == ["field", "road", "house"]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    make(tmp_path / "raw")
    for name in ("a", "b"):
        ingested(tmp_path / "raw", tmp_path / name, TILES)
    assert list(rows_of(tmp_path / "a")) == list(rows_of(tmp_path / "b"))


def test_tiles_without_data_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "raw", nodata_rows=50)
    metrics = ingested(tmp_path / "raw", tmp_path / "out", TILES)
    assert metrics["num_images"] == 8 * 2 * 4  # rows 0 to 43 of 130 hold nothing
    assert metrics["num_images"] == sum(metrics.get(f"num_{split}", 0) for split in ("train", "val", "test"))
    assert "Left aside: 32 of 96 tiles, of which no pixel has data" in capsys.readouterr().err
    manifest = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    of_edge = next(row for row in manifest if row["id"].endswith("/r0001-c0000"))
    assert of_edge["mask_void"] == (50 - 43) * 52
    assert of_edge["mask_unknown"] == 0


def test_images_without_any_data_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "raw", nodata_rows=HEIGHT)
    with pytest.raises(GraftError, match="no pixel of any tile has data"):
        ingested(tmp_path / "raw", tmp_path / "out", TILES)


def test_nodata_of_a_mask_is_ignored_too(tmp_path: Path) -> None:
    make(tmp_path)
    mask = np.full((HEIGHT, WIDTH), -9999, np.int16)
    mask[:70, :70] = 7
    tags = [(42113, "s", 0, "-9999", True)]
    tifffile.imwrite(tmp_path / "masks/3.tif", mask, photometric="minisblack", extratags=tags)
    listing = listing_of(tmp_path, TILES)
    tiles = {entry.id: entry for entry in listing.entries}
    _, data = listing.read(tiles["images/3.tif/r0000-c0001"])
    assert data is not None
    values = np.asarray(Image.open(io.BytesIO(data)))
    assert isinstance(listing.translation, type(translation_of(PAIRS["classes"], [])))
    ids = listing.translation.apply(values).mask
    expected = np.full(ids.shape, 255)
    expected[:, : 70 - tile_edges(WIDTH, SIZE)[1]] = 1
    np.testing.assert_array_equal(ids, expected)
    with pytest.raises(LeftOut):
        listing.read(tiles["images/3.tif/r0002-c0003"])


def test_stacks_are_cut_band_by_band_and_file_by_file(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "heat").mkdir()
    heat = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    for number in range(8):
        tifffile.imwrite(tmp_path / f"heat/{number}.tif", heat, photometric="minisblack")
    stack = {"name": "stacks", "source": PAIRS, "channels": ["red", "green", "blue"]}
    image, place = tifffile.imread(tmp_path / "images/2.tif"), np.s_[43:86, 105:157]
    expected = np.dstack([image, np.rint(heat / 65535 * 255).astype(np.uint8)])[place]
    for more in ({}, {"extra": {"heat": "heat/{stem}.tif"}}):
        listing = listing_of(tmp_path, {"name": "tiles", "size_px": SIZE, "source": stack | more})
        entry = next(entry for entry in listing.entries if entry.id == "images/2.tif/r0001-c0002")
        decoded = decode(listing.read(entry)[0], listing.class_map)
        np.testing.assert_array_equal(decoded, expected[..., : 3 + len(more)])
    five = stack | {"channels": ["red", "green", "blue", "near", "far"]}
    problems = listing_of(tmp_path, {"name": "tiles", "size_px": SIZE, "source": five}).problems
    assert problems[0].startswith("images/0.tif: it has 3 channels, not the 5 of red, green, blue, near, far")


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_each_file_of_a_stack_is_opened_once_for_all_its_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    make(tmp_path, num=4)
    bands = np.random.default_rng(0).integers(0, 256, (6, HEIGHT, WIDTH), dtype=np.uint8)
    for name, band in zip("abcdef", bands, strict=True):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.fromarray(band).save(tmp_path / f"{name}/{number}.{ending}")
    stack = {"name": "stacks", "source": PAIRS, "channels": ["red", "green", "blue"]}
    stack |= {"extra": {name: f"{name}/{{stem}}.{ending}" for name in "abcdef"}}
    listing = listing_of(tmp_path, {"name": "tiles", "size_px": SIZE, "source": stack})
    opened = []
    for reader in ("LargeImage", "read_part"):
        read = getattr(cutouts, reader)
        monkeypatch.setattr(cutouts, reader, lambda *given, read=read, **more: opened.append(1) or read(*given, **more))
    tiles = [entry for entry in listing.entries if entry.id.startswith("images/3.tif/")]
    decoded = [decode(listing.read(entry)[0], listing.class_map) for entry in tiles]
    assert len(tiles) == 12
    assert len(opened) <= 7  # an image and six files beside it, where they are not open yet
    down, across = tile_edges(HEIGHT, SIZE), tile_edges(WIDTH, SIZE)
    last = np.s_[:, down[2] : down[3], across[3] : across[4]]
    np.testing.assert_array_equal(np.moveaxis(decoded[-1][..., 3:], 2, 0), bands[last])


def test_pictures_are_decoded_whole_within_the_limit_and_small_ones_stay(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    for number, side in enumerate((100, 100, 100, 60, 60, 60)):
        for folder, stored in (("images", image[:side, :side]), ("masks", image[:side, :side, 0] // 128)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(stored).save(tmp_path / f"{folder}/{number}.png")
    source = {"name": "mask_folder", "images": "images/*.png", "masks": "masks/{stem}.png"}
    source |= {"classes": {"a": [0], "b": [1]}, "test_fraction": 0.0, "val_fraction": 0.4}
    tiles = {"name": "tiles", "size_px": SIZE, "source": source}
    listing = listing_of(tmp_path, tiles)
    by_id = {entry.id: entry for entry in listing.entries}
    assert listing.read(by_id["images/4.png"])[0] == (tmp_path / "images/4.png").read_bytes()
    data, mask = listing.read(by_id["images/1.png/r0001-c0000"])
    np.testing.assert_array_equal(decode_image(data), image[50:100, :50])
    assert mask is not None
    np.testing.assert_array_equal(decode_mask(mask), image[50:100, :50, 0] // 128)
    with pytest.raises(GraftError) as caught:
        ingested(tmp_path, tmp_path / "out", tiles, max_pixels=9_999)
    assert str(caught.value).count("100 x 100 pixels of PNG are decoded whole, and 9,999 are allowed") == 3
    assert "TILED=YES" in str(caught.value)


def test_what_does_not_go_together_is_listed(tmp_path: Path) -> None:
    made = make(tmp_path)
    image, mask = made["images/0.tif"]
    tifffile.imwrite(tmp_path / "masks/0.tif", mask[1:], photometric="minisblack")
    tifffile.imwrite(tmp_path / "masks/1.tif", image, photometric="rgb", compression="jpeg", tile=(32, 32))
    tifffile.imwrite(tmp_path / "images/2.tif", image.astype(np.float32), photometric="rgb")
    (tmp_path / "images/3.tif").write_bytes((tmp_path / "images/3.tif").read_bytes()[:400])
    problems = listing_of(tmp_path, TILES).problems
    assert problems[0].startswith("masks/0.tif: it has 210 x 129 pixels, and its image images/0.tif 210 x 130.")
    assert problems[1].startswith("masks/1.tif: its compression changes values.")
    assert problems[2].startswith("images/2.tif: samples are float32")
    assert problems[3].startswith("images/3.tif: the ")
    assert "damaged or cut off" in problems[3]
    assert len(problems) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size_px": 8}, "greater than or equal to 32"),
        ({"source": TILES}, "tiles has no mask files that could be cut"),
        (
            {"source": {"name": "joined", "sources": [{"source": PAIRS}], "classes": ["a", "b"]}},
            "joined may join tiles",
        ),
        ({"source": "coco"}, "coco has no mask files"),
        ({"source": "labelme"}, "labelme has no mask files"),
        ({"source": "label_studio"}, "label_studio has no mask files"),
        ({"source": "supervisely"}, "supervisely has no mask files"),
        ({"source": "coco_panoptic"}, "coco_panoptic has no mask files"),  # those it has number segments, not classes
        (
            {
                "source": {
                    "name": "stacks",
                    "source": PAIRS,
                    "channels": ["red", "green", "blue"],
                    "points": "velodyne/{stem}.bin",
                    "calibration": "calib.txt",
                }
            },
            "points cannot be cut into tiles",
        ),
        ({"source": {"name": "mask_holder"}}, "did you mean 'mask_folder'"),
    ],
)
def test_options_that_cannot_be_used_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraftError, match=message):
        listing_of(tmp_path, TILES | changes)


def test_joined_tiles_keep_image_and_group(tmp_path: Path) -> None:
    make(tmp_path / "north")
    part = {"source": TILES, "root": "north"}
    source = {"name": "joined", "sources": [part], "classes": ["field", "road", "house"]}
    entry = listing_of(tmp_path, source).entries[0]
    assert (entry.group, entry.image_id) == ("north/images/0.tif", "north/images/0.tif")
    out = tmp_path / "out"
    out.mkdir()
    ingest(task="segmentation", ingest=section(tmp_path, source), root=tmp_path, out=out, front="late/")
    assert {row.group for row in rows_of(out)} == {f"late/north/images/{number}.tif" for number in range(8)}


def test_images_without_masks_are_cut_too(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "images/7.tif").rename(tmp_path / "more/7.tif")
    (tmp_path / "masks/7.tif").unlink()
    listing = add_unlabelled(listing_of(tmp_path, TILES), tmp_path, "more/*.tif")
    added = [entry for entry in listing.entries if entry.split == "unlabelled"]
    assert len(added) == 12
    image, mask = listing.read(added[5])
    np.testing.assert_array_equal(decode_image(image), tifffile.imread(tmp_path / "more/7.tif")[43:86, 52:105])
    assert mask is None
    with pytest.raises(GraftError, match="no image matches"):  # those of the source have a mask
        add_unlabelled(listing_of(tmp_path, TILES), tmp_path, "images/*.tif")


def test_images_without_masks_are_cut_as_the_source_in_whose_folder_they_lie(tmp_path: Path) -> None:
    for folder in ("north", "south"):
        make(tmp_path / folder)
        (tmp_path / folder / "more").mkdir()
        (tmp_path / folder / "images/7.tif").rename(tmp_path / folder / "more/7.tif")
        (tmp_path / folder / "masks/7.tif").unlink()
    parts = [{"source": TILES, "root": "north"}, {"source": PAIRS, "root": "south"}]
    source = {"name": "joined", "sources": parts, "classes": ["field", "road", "house"]}
    listing = add_unlabelled(listing_of(tmp_path, source), tmp_path, "*/more/*.tif")
    added = {entry.id: entry for entry in listing.entries if entry.split == "unlabelled"}
    tiles = [f"north/more/7.tif/r{row:04d}-c{column:04d}" for row in range(3) for column in range(4)]
    assert list(added) == [*tiles, "south/more/7.tif"]
    entry = added[tiles[5]]
    assert (entry.image_id, entry.group) == ("north/more/7.tif", "north/more/7.tif")
    whole = tifffile.imread(tmp_path / "north/more/7.tif")
    np.testing.assert_array_equal(decode_image(listing.read(entry)[0]), whole[43:86, 52:105])
    assert listing.read(added["south/more/7.tif"])[0] == (tmp_path / "south/more/7.tif").read_bytes()
    (tmp_path / "north/more/7.tif").write_bytes(b"II*\0" + bytes(50))
    (problem,) = add_unlabelled(listing_of(tmp_path, source), tmp_path, "north/more/*.tif").problems
    assert problem.startswith("north: more/7.tif: the ")


def test_a_tile_has_the_label_of_its_image(tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / f"{('wet', 'dry')[number % 2]}/{number}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, np.zeros((70, 40, 3), np.uint8), photometric="rgb")
    source = {"name": "tiles", "size_px": 64, "source": "image_folder"}
    listing = listing_of(tmp_path, source, "classification")
    assert len(listing.entries) == 60
    assert all(listing.class_map.names[entry.label or 0] == entry.id.split("/")[0] for entry in listing.entries)


def test_the_void_value_is_one_that_no_class_has() -> None:
    for classes, void, grey in (
        ({"a": [0], "b": [255]}, [], 65535),
        ({"a": [0], "b": ["1-65535"]}, [], 65535),  # none is free
        ({"a": [0], "b": ["9-65533"]}, [65534, 65535], 8),
        ({"a": [0], "b": "rest"}, [], 65535),
    ):
        translation, value = with_void_value(translation_of(classes, void))
        assert value.grey == grey
        assert translation.apply(np.array([[grey]], np.uint16)).void == 1
    colours, value = with_void_value(translation_of({"a": [[255, 255, 0]], "b": [[0, 0, 0]]}, []))
    assert value.colour == (255, 254, 0)
    assert colours.apply(np.array([[value.colour]], np.uint8)).void == 1
