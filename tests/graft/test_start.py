"""graft start: the source that reads a folder nobody described, and the params that begin with it."""

from __future__ import annotations

import shutil
from collections import Counter
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
        ("{}_sat.jpg", "{}_mask.png", ("**/*_sat.jpg", "{dir}/{1}_mask.png")),
        ("images/img_{}.jpg", "masks/mask_{}.png", ("images/**/img_*.jpg", "masks/{subdir}/mask_{1}.png")),
        (
            "train/images/city/{}_rgb.jpg",
            "train/masks/city/{}_gt.png",
            ("*/images/**/*_rgb.jpg", "{1}/masks/{subdir}/{2}_gt.png"),
        ),
        ("train_img/{}.jpg", "train_gt/{}.png", ("*_img/**/*.jpg", "{1}_gt/{subdir}/{stem}.png")),
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
        ((0, 127, 255), "", {"background": [0], "class_127": [127], "class_255": [255]}, []),
        ((0, 255), "no\nyes\n", {"no": [0], "yes": [255]}, []),
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


def write_table(root: Path, header: str, lines: list[str]) -> None:
    for number in range(len(lines)):
        write_image(root / f"{number}.png", number)
    (root / "table.csv").write_text("\n".join([header, *lines] if header else lines), encoding="utf-8")


LABELS = ["cat"] * 20 + ["dog"] * 20


@pytest.mark.parametrize(
    ("header", "line", "expected"),
    [
        ("id,image,label", "{other},{number}.png,{label}", {"image_column": "image", "label_column": "label"}),
        ("image;label", "{number}.png;{label}", {"image_column": "image", "label_column": "label", "delimiter": ";"}),
        ("", "{number}.png,{label}", {"image_column": 1, "label_column": 2, "header": False}),
        ("name,kind", "{number},{label}", {"image_column": "name", "label_column": "kind"}),
    ],
)
def test_columns_of_a_table(header: str, line: str, expected: dict[str, Any], tmp_path: Path) -> None:
    lines = [line.format(number=number, other=39 - number, label=label) for number, label in enumerate(LABELS)]
    write_table(tmp_path, header, lines)
    seen = look(tmp_path)
    assert seen.proposals[0].source == {"name": "csv", "table": "table.csv", **expected}
    label_of = {entry.id: seen.listing.class_map.names[entry.label] for entry in seen.listing.entries}
    assert label_of == {f"{number}.png": label for number, label in enumerate(LABELS)}


@pytest.mark.parametrize(
    ("ones", "task", "shares"),
    [
        (lambda number: (number % 2, 1 - number % 2), "classification", {"cat": 0.5, "big dog": 0.5}),
        (lambda number: (1, number % 2), "multilabel", {"cat": 1.0, "big dog": 0.5}),
    ],
)
def test_a_column_for_each_class_in_tables_beside_the_images(
    ones: Any, task: str, shares: dict[str, float], tmp_path: Path
) -> None:
    for place, split in enumerate(("train", "valid", "test")):
        for number in range(4):
            write_image(tmp_path / f"{split}/{number}.png", 10 * place + number)
        lines = [", ".join(map(str, (f"{number}.png", *ones(number)))) for number in range(4)]
        (tmp_path / f"{split}/_classes.csv").write_text("\n".join(["filename, cat, big dog", *lines]))
    seen = look(tmp_path)
    assert seen.proposals[0].source == {
        "name": "csv",
        "table": "*/_classes.csv",
        "image_column": "filename",
        "label_columns": ["cat", "big dog"],
    }
    assert (seen.proposals[0].recipe, seen.shares) == (f"photographs-{task}", shares)
    assert Counter(entry.split for entry in seen.listing.entries) == {"train": 4, "val": 4, "test": 4}


SETS = ("cat|big dog", "big dog", "", "cat|bird", "bird|big dog|cat", "bird|big dog", "cat", "bird")


@pytest.mark.parametrize("separator", ["|", "; ", ", "])
def test_several_labels_in_a_cell(separator: str, tmp_path: Path) -> None:
    cells = [labels.replace("|", separator) for labels in SETS * 3]
    lines = [f'{number}.png,"{number}, {number}",day,"{cell}"' for number, cell in enumerate(cells)]
    write_table(tmp_path, "image,place,kind,tags", lines)
    seen = look(tmp_path)
    assert seen.proposals[0].source == {
        "name": "csv",
        "table": "table.csv",
        "image_column": "image",
        "label_column": "tags",
        "separator": separator.strip(),
    }
    assert (seen.proposals[0].recipe, seen.listing.class_map.names) == (
        "photographs-multilabel",
        ("big dog", "bird", "cat"),
    )
    assert seen.listing.entries[0].labels == bytes([1, 0, 1])


@pytest.mark.parametrize("cells", [["shirt, white", "shoe, black"], ["1,5", "2,5"]])
def test_names_and_numbers_with_commas_are_not_several_labels(cells: list[str], tmp_path: Path) -> None:
    write_table(tmp_path, "image;kind", [f"{number}.png;{cells[number % 2]}" for number in range(24)])
    (chosen,) = propose(find_files(tmp_path))
    assert (chosen.source["label_column"], chosen.task) == ("kind", "classification")


def test_a_table_of_images_and_masks(tmp_path: Path) -> None:
    for number in range(40):
        write_image(tmp_path / f"a/{number}.png", number)
        write_mask(tmp_path / f"b/{number}.png", stripes(0, 1))
    lines = [f"a/{number}.png,b/{number}.png" for number in range(40)]
    (tmp_path / "list.csv").write_text("\n".join(["photo,truth", *lines]))
    chosen = propose(find_files(tmp_path))[0]
    assert (chosen.source["mask_column"], chosen.source["classes"]) == ("truth", {"background": [0], "object": [1]})


def test_folders_between_and_a_split_above(tmp_path: Path) -> None:
    """Two gaps, of which `{subdir}` fills one and `{1}` the other."""
    for split in ("train", "val"):
        for number in range(8):
            write_image(tmp_path / f"{split}/images/city{number % 2}/{number}.png", number)
            write_mask(tmp_path / f"{split}/masks/city{number % 2}/{number}.png", stripes(0, 1))
    seen = look(tmp_path)
    source = seen.proposals[0].source
    assert (source["images"], source["masks"]) == ("*/images/**/*.png", "{1}/masks/{subdir}/{stem}.png")
    assert Counter(entry.split for entry in seen.listing.entries) == {"train": 8, "val": 8}


def test_splits_within_the_names_of_folders(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for number in range(6):
            write_image(tmp_path / f"images_small_{split}/{number}.png", number)
            write_mask(tmp_path / f"labels_small_{split}/{number}.png", stripes(0, 1))
    seen = look(tmp_path)
    assert seen.proposals[0].source == {
        "name": "mask_folder",
        "images": "images_small_*/**/*.png",
        "masks": "labels_small_{1}/{subdir}/{stem}.png",
        "classes": {"background": [0], "object": [1]},
        "splits": {split: f"images_small_{split}" for split in ("test", "train", "val")},
    }
    assert Counter(entry.split for entry in seen.listing.entries) == {"train": 6, "val": 6, "test": 6}


def test_folders_of_a_layout_are_no_classes_and_boxes_are_called_so(tmp_path: Path) -> None:
    box = "<annotation><object><name>car</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
    for number in range(6):
        write_image(tmp_path / f"JPEGImages/{number}.png", number)
        write_image(tmp_path / f"AnnotationsVisualization/{number}.png", number)
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / f"Annotations/{number}.xml").write_text(box)
    with pytest.raises(GraftError, match=r"no source fits; Annotations/0\.xml is of boxes as PASCAL VOC has them"):
        look(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("via.json", '{"a.png": {"regions": [{"shape_attributes": {}}]}}', "is of the VGG Image Annotator"),
        ("metadata.jsonl", '{"file_name": "a.png", "objects": {"bbox": []}}', "is of boxes as Hugging Face has them"),
        ("boxes.json", '{"images": [], "annotations": [{"bbox": [1, 2, 3, 4]}]}', "is of boxes as COCO has them"),
        ("a.txt", "0 0.5 0.5 0.25 0.1\n1 0.2 0.2 0.1 0.1\n", "is of boxes as YOLO has them"),
    ],
)
def test_files_of_a_tool_that_no_source_reads_are_named(name: str, text: str, told: str, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 0)
    (tmp_path / name).write_text(text)
    with pytest.raises(GraftError, match=f"no source fits; {name} {told}"):
        look(tmp_path)


def test_a_layout_that_no_pattern_says_is_not_read_in_part(tmp_path: Path) -> None:
    """Masks lie a folder deeper and elsewhere."""
    for number in range(8):
        write_image(tmp_path / f"images/city{number % 2}/{number}.png", number)
        write_mask(tmp_path / f"masks/city{number % 2}/labels/{number}.png", stripes(0, 1))
    with pytest.raises(GraftError, match="no source fits"):
        look(tmp_path)


def test_a_folder_for_each_pair(tmp_path: Path) -> None:
    for number in range(30):
        write_image(tmp_path / f"case{number}/image.png", number)
        write_mask(tmp_path / f"case{number}/mask.png", stripes(0, 1))
    (only,) = propose(find_files(tmp_path))
    assert (only.source["images"], only.source["masks"]) == ("**/image.png", "{dir}/mask.png")


def test_images_of_two_endings_are_paired_by_one_pattern(tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / f"images/{number}.{('png', 'jpg')[number % 2]}", number)
        write_mask(tmp_path / f"masks/{number}.png", stripes(0, 1))
    found = find_pairs(find_files(tmp_path))
    assert found is not None
    assert (found.images, len(found.mask_of)) == ("images/**/*.{jpg,png}", 20)


def test_doubts_are_told(tmp_path: Path) -> None:
    for number in range(12):
        write_image(tmp_path / f"images/{number}.png", number)
        write_mask(tmp_path / f"masks/{number}.png", stripes(0, 1, 255))
    for number in range(9):
        write_image(tmp_path / f"unlabelled/{number}.png", 50 + number)
        write_image(tmp_path / f"others/{number}.png", 70 + number)
    (tmp_path / "images/5.png").write_bytes(b"")
    seen = look(tmp_path)
    told = "\n".join(seen.lines())
    assert "doubt: 9 of 33 pictures are in no pair" in told
    assert "doubt: 255 is taken to be ignored, not a class" in told
    assert "looks wrong: images/5.png: " in told
    assert len(seen.sizes) == 11


def test_unlabelled_yolo_images_are_counted(tmp_path: Path) -> None:
    EXAMPLES["yolo"][0](tmp_path)
    for number in range(10, 38):
        (tmp_path / f"labels/{number}.txt").unlink()
    told = "\n".join(look(tmp_path).lines())
    assert "doubt: 28 of 40 images have no text file; they count as showing nothing" in told


def test_labelme_files_without_their_images_are_an_error_that_names_them(tmp_path: Path) -> None:
    EXAMPLES["labelme"][0](tmp_path)
    for image in tmp_path.glob("*.png"):
        image.unlink()
    with pytest.raises(GraftError, match=r"(?s)no image can be used.*00.json: its image 00.png is not there"):
        look(tmp_path)


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
    assert "Next: make repro" in told
    refused = CliRunner().invoke(with_commands(), command)
    assert "holds values of your own" in str(refused.exception)
    assert "graft start" in str(refused.exception)
    assert Path("params.yaml").read_text() == text
    CliRunner().invoke(with_commands(), [*command, "--force"])
    Path("params.yaml").write_text(text.replace("epochs: 25", "epochs: 26"))
    CliRunner().invoke(with_commands(), [*command, "--force"])
    assert Path("params.yaml.before").read_text() == text
    assert "epochs: 26" in Path("params.yaml.before-2").read_text()


def test_a_published_layout_whose_classes_are_not_in_the_masks_is_the_second_choice(tmp_path: Path) -> None:
    from PIL import Image

    colours = np.zeros((24, 32, 3), np.uint8)
    colours[:, 16:] = 128, 64, 0
    for place, split in enumerate(("train", "val", "test")):
        for number in range(3):
            write_image(tmp_path / f"{split}/{number}.png", 10 * place + number)
            (tmp_path / f"{split}annot").mkdir(exist_ok=True)
            Image.fromarray(np.where(colours > 0, colours, 40).astype(np.uint8)).save(
                tmp_path / f"{split}annot/{number}.png"
            )
    assert [one.source["name"] for one in look(tmp_path).proposals] == ["mask_folder"]
    for split in ("train", "val", "test"):
        lines = [f"{split}/{number}.png {split}annot/{number}.png" for number in range(3)]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    seen = look(tmp_path)
    assert [one.source["name"] for one in seen.proposals] == ["mask_folder", "camvid"]
    assert set(seen.shares) == {"colour_40_40_40", "colour_128_64_40"}
    assert "val.txt, as camvid has them, but none of its classes is in the masks seen" in "\n".join(seen.lines())


def test_the_field_of_a_struct_that_is_named_as_masks_are(tmp_path: Path) -> None:
    from scipy.io import savemat

    for number in range(24):
        write_image(tmp_path / f"image/{number}.jpg", number)
        (tmp_path / "groundTruth").mkdir(exist_ok=True)
        mask = stripes(1, 2).astype(np.uint16)
        savemat(tmp_path / f"groundTruth/{number}.mat", {"groundTruth": {"Segmentation": mask, "Boundaries": mask > 1}})
    seen = look(tmp_path)
    assert seen.proposals[0].source["mask_key"] == "groundTruth.Segmentation"
    assert (seen.shares, seen.listing.problems) == ({"class_1": 0.5, "class_2": 0.5}, [])
