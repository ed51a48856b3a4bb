"""The source `stacks`: files beside an image, and what is refused before and while they are read."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from graft.data.formats import FORMATS
from graft.data.formats.listing import Listing
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.params.sections import Ingest
from pipeline.ingest import ingest

PAIRS = {
    "name": "mask_folder",
    "images": "rgb/**/*.png",
    "masks": "masks/{stem}.png",
    "classes": {"a": [0], "b": [255]},
}
SOURCE: dict[str, Any] = {
    "name": "stacks",
    "source": PAIRS,
    "channels": ["red", "green", "blue"],
    "extra": {"depth": "depth/{subdir}/{stem}.png", "heat": "heat/{stem}.tif"},
}


def listing_of(root: Path, source: dict[str, Any], task: str = "segmentation") -> Listing:
    return resolve(FORMATS, source, where="ingest.source")(task, 7, root)


def make(root: Path, num: int = 20) -> None:
    for number in range(num):
        place, depth = root / f"rgb/a/{number:02}.png", root / f"depth/a/{number:02}.png"
        for path in (place, depth, root / f"masks/{number:02}.png", root / "heat/0.tif"):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number, 9, 200)).save(place)
        Image.new("I;16", (32, 32), 1000 * number).save(depth)
        Image.new("L", (32, 32), 255 * (number % 2)).save(root / f"masks/{number:02}.png")
        tifffile.imwrite(root / f"heat/{number:02}.tif", np.full((32, 32), number, np.uint8))


def test_the_files_of_an_image_are_kept_as_they_were(tmp_path: Path) -> None:
    make(tmp_path)
    listing = listing_of(tmp_path, SOURCE)
    assert not listing.problems
    assert listing.class_map.channels == ("red", "green", "blue", "depth", "heat")
    assert listing.class_map.max_value == 65535
    entry = next(entry for entry in listing.entries if entry.id == "rgb/a/03.png")
    image, mask = pickle.loads(pickle.dumps(listing.read))(entry)
    assert (image, mask) == listing.read(entry)
    with zipfile.ZipFile(io.BytesIO(image)) as archive:
        assert archive.namelist() == ["0.png", "1.png", "2.tif"]
        for name, path in zip(archive.namelist(), ("rgb/a/03.png", "depth/a/03.png", "heat/03.tif"), strict=True):
            assert archive.read(name) == (tmp_path / path).read_bytes()
    assert mask == (tmp_path / "masks/03.png").read_bytes()


def test_images_without_their_depth_are_listed(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "depth/a/04.png").unlink()
    (tmp_path / "heat/05.tif").unlink()
    (tmp_path / "heat/06.tif").unlink()
    (tmp_path / "heat/06.tif").symlink_to("/etc/hostname")
    assert listing_of(tmp_path, SOURCE).problems == [
        "rgb/a/04.png: image without depth (expected depth/a/04.png)",
        "rgb/a/05.png: image without heat (expected heat/05.tif)",
        "heat/06.tif: a link that leads out of the root, to /etc/hostname; put the file itself here",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ["red", "red", "blue"]}, r"ingest\.source\.channels: red is there twice"),
        ({"extra": {"red": "depth/{stem}.png"}}, r"ingest\.source\.channels: red is there twice"),
        ({"channels": []}, r"ingest\.source\.channels: \[\]: List should have at least 1 item"),
        ({"max_value": 0}, r"ingest\.source\.max_value: 0: Input should be greater than or equal to 1"),
        ({"extra": {"depth": "../{stem}.png"}}, r"ingest\.source\.extra\.depth: '\.\./x\.png' leads out of the root"),
        (
            {"extra": {"depth": "{step}.png"}},
            r"ingest\.source\.extra\.depth: '\{step\}\.png' holds the unknown \{step\}",
        ),
        ({"source": {"name": "mask_folder"}}, r"source\.images: mask_folder needs this option"),
        ({"source": {"name": "mask_holder"}}, r"did you mean 'mask_folder'"),
        ({"source": {"name": "scenes"} | {"domain": "day"}}, r"scenes needs this option"),
        ({"source": SOURCE}, r"stacks has no files that could be stacks; joined may join stacks"),
    ],
)
def test_options_that_cannot_be_used_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    make(tmp_path, 1)
    with pytest.raises(GraftError, match=message):
        listing_of(tmp_path, SOURCE | changes)


def test_ingest_lists_every_stack_that_cannot_be_read(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    make(raw)
    out.mkdir()
    np.save(raw / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    (raw / "evil.npy").rename(raw / "heat/03.tif")
    Image.new("I;16", (40, 32), 7).save(raw / "depth/a/04.png")
    (raw / "depth/a/05.png").write_bytes((raw / "depth/a/05.png").read_bytes()[:60])
    Image.new("RGB", (32, 32)).save(raw / "depth/a/06.png")
    tifffile.imwrite(raw / "heat/07.tif", np.zeros((3000, 32), np.uint8))
    section = Ingest(
        root=str(raw), source=SOURCE, unlabelled=None, split_seed=7, batch="first", max_pixels=4000, deliveries={}
    )
    with pytest.raises(GraftError) as caught:
        ingest(task="segmentation", ingest=section, root=raw, out=out)
    for line in (
        r"heat/03.tif: it holds pickled Python objects, which are never opened",
        "rgb/a/04.png: the files of a stack have one size, these "
        "rgb/a/04.png 32 x 32, depth/a/04.png 40 x 32, heat/04.tif 32 x 32",
        r"depth/a/05.png: the image is damaged or cut off",
        "rgb/a/06.png: it has 7 channels (3 of rgb/a/06.png, "
        "3 of depth/a/06.png, 1 of heat/06.tif), not the 5 of red, green, blue, depth, heat",
        r"heat/07.tif: 32 x 3000 pixels are more than the 4,000 allowed: a decompression bomb?",
    ):
        assert line in str(caught.value)


def test_a_classifier_has_stacks_too(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(30):
        path = raw / f"{('wet', 'dry')[number % 2]}/{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.zeros((16, 16, 6), np.uint16), planarconfig="contig", photometric="minisblack")
    source = {"name": "stacks", "source": "image_folder", "channels": [*"abcdef"], "max_value": 4000}
    listing = listing_of(raw, source, "classification")
    assert len(listing.entries) == 30
    assert {entry.label for entry in listing.entries} == {0, 1}
    section = Ingest(
        root=str(raw), source=source, unlabelled=None, split_seed=7, batch="first", max_pixels=4000, deliveries={}
    )
    assert ingest(task="classification", ingest=section, root=raw, out=tmp_path)["num_images"] == 30
