"""graft start: the source that reads a folder nobody described, and the params that begin with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.commands.start.looking import look
from graft.commands.start.mask_pairs_found import find_pairs
from graft.commands.start.sources import propose
from graft.data.formats.files import find_files
from graft.foundation.errors import GraftError
from graft.params.params_file import load_params
from tests.formats_layouts.pictures import stripes, write_image, write_mask
from tests.registries.test_formats import EXAMPLES

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = sorted(EXAMPLES.keys() - {"scenes", "stacks", "joined", "tiles"})


@pytest.mark.parametrize("name", NAMES)
def test_each_layout_is_read_by_its_source(name: str, tmp_path: Path) -> None:
    EXAMPLES[name][0](tmp_path)
    chosen = propose(find_files(tmp_path))[0]
    assert chosen.source["name"] == name
    seen = look(tmp_path)
    assert seen.listing.class_map.source == name
    assert not seen.listing.problems
    assert sum(seen.shares.values()) == pytest.approx(1)
    assert seen.proposals[0].reason in "\n".join(seen.lines())


@pytest.mark.parametrize(
    ("image", "mask", "patterns"),
    [
        ("images/{}.jpg", "masks/{}.png", ("images/**/*.jpg", "masks/{subdir}/{stem}.png")),
        ("images/train/{}.jpg", "labels/train/{}.png", ("images/**/*.jpg", "labels/{subdir}/{stem}.png")),
        ("train/images/{}.jpg", "train/masks/{}.png", ("**/images/*.jpg", "{subdir}/masks/{stem}.png")),
        ("a/b/{}.jpg", "a/b/{}_mask.gif", ("**/*.jpg", "{dir}/{stem}_mask.gif")),
        ("{}.jpg", "masks/mask_{}.png", ("**/*.jpg", "{dir}/masks/mask_{stem}.png")),
        ("train/{}.png", "trainannot/{}.png", ("**/*.png", "{subdir}annot/{stem}.png")),
        ("set/rgb/day/{}.png", "set/gt/day/{}.png", ("set/rgb/**/*.png", "set/gt/{subdir}/{stem}.png")),
    ],
)
def test_pairs_of_image_and_mask(image: str, mask: str, patterns: tuple[str, str], tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path / image.format(f"n{number}"), number)
        write_mask(tmp_path / mask.format(f"n{number}"), stripes(0, 255))
    found = find_pairs(find_files(tmp_path))
    assert found is not None
    assert (found.images, found.masks) == patterns
    assert len(found.mask_of) == 4


@pytest.mark.parametrize(
    ("values", "names", "classes", "void"),
    [
        ((0, 255), "", {"background": [0], "object": [255]}, []),
        ((0, 1), "", {"background": [0], "object": [1]}, []),
        ((0, 3, 7, 255), "", {"background": [0], "class_3": [3], "class_7": [7]}, [255]),
        ((1, 2), "road\nsky\n", {"road": [1], "sky": [2]}, []),
        (range(0, 256, 3), "", {"background": ["0-127"], "object": ["128-255"]}, []),
    ],
)
def test_values_of_masks_become_classes(values: Any, names: str, classes: Any, void: Any, tmp_path: Path) -> None:
    for number in range(40):
        write_image(tmp_path / f"images/{number}.png", number)
        write_mask(tmp_path / f"masks/{number}.png", stripes(*values, size=(24, 96)))
    if names:
        (tmp_path / "classes.txt").write_text(names)
    source = propose(find_files(tmp_path))[0].source
    assert (source["classes"], source.get("void", [])) == (classes, void)


def test_colours_of_masks_become_classes(tmp_path: Path) -> None:
    from PIL import Image

    mask = np.zeros((24, 32, 3), np.uint8)
    mask[:, 16:] = 128, 64, 0
    for number in range(40):
        write_image(tmp_path / f"images/{number}.png", number)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
    classes = {"background": [[0, 0, 0]], "colour_128_64_0": [[128, 64, 0]]}
    seen = look(tmp_path)
    assert seen.proposals[0].source["classes"] == classes
    assert seen.shares == {"background": 0.5, "colour_128_64_0": 0.5}
    assert seen.changes["augment", "crop"] == {"height_px": 64, "width_px": 64}
    assert seen.changes["preprocess", "resize"] == "none"


def test_what_nothing_reads_is_said_with_what_was_found(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 0)
    with pytest.raises(GraftError, match=r"no source fits; found 1 x \*\.png.*graft recipe use photographs"):
        look(tmp_path)
    with pytest.raises(GraftError, match="there is no such folder"):
        look(tmp_path / "nowhere")


def test_it_writes_params_that_are_valid_and_keeps_values_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EXAMPLES["labelme"][0](tmp_path / "my tiles")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy2(REPOSITORY / name, name)
    command = ["start", str(tmp_path / "my tiles"), "--yes"]
    told = CliRunner().invoke(with_commands(), command).stdout
    assert "is a file of labelme, with shapes" in told
    assert "background 96.7%" in told
    params = load_params(Path("params.yaml"))
    assert params.ingest.root == (tmp_path / "my tiles").as_posix()
    assert params.ingest.source == {"name": "labelme"}
    assert "already" in CliRunner().invoke(with_commands(), command).stdout
    text = Path("params.yaml").read_text().replace("epochs: 24", "epochs: 25")
    Path("params.yaml").write_text(text)
    refused = CliRunner().invoke(with_commands(), command)
    assert "holds values of your own" in str(refused.exception)
    assert Path("params.yaml").read_text() == text
