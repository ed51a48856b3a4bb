"""Tables of paths, through the stage `ingest`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graft.commands.start.looking import look
from graft.data.formats import FORMATS
from graft.data.formats.listing import Listing
from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.params.source_rules import known_classes
from tests.formats_layouts.pictures import run_ingest, stripes, write_image
from tests.formats_layouts.tables import make_csv

COLUMNS = {"name": "csv", "image_column": "file", "label_column": "diagnosis", "mask_column": "annotation"}
GIVEN = {**COLUMNS, "split_column": "part", "domain_column": "site"}
CLASSES = {"classes": {"skin": [0], "spot": ["1-9"]}, "void": [255]}


def test_labels_splits_groups_and_domains_of_a_table(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", GIVEN, "classification")
    assert found.metrics == {"num_images": 40, "num_train": 20, "num_val": 10, "num_test": 10}
    assert found.class_map.names == found.class_map.source_values == ("benign", "malign")
    assert found.class_map.official_splits
    row = found.rows["pictures/5.png"]
    assert (row.split, row.label, row.mask, row.domain) == ("val", 1, None, "clinic 2")
    grouped = run_ingest(
        tmp_path / "raw",
        tmp_path / "grouped",
        {**COLUMNS, "group_column": "patient", "val_fraction": 0.3, "test_fraction": 0.3},
        "classification",
    )
    assert {row.group for row in grouped.rows.values()} == {f"p{n}" for n in range(10)}
    assert len({(row.group, row.split) for row in grouped.rows.values()}) == 10
    assert not grouped.class_map.official_splits


def test_masks_of_a_table(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    found = run_ingest(tmp_path / "raw", tmp_path / "out", {**GIVEN, **CLASSES})
    assert (found.mask("pictures/7.png") == stripes(0, 1, 255)).all()
    assert found.class_map.source_values == ((0,), ("1-9",))


def test_numbers_are_ordered_as_numbers_and_other_delimiters_are_read(tmp_path: Path) -> None:
    make_csv(tmp_path)
    lines = ["image;label", *(f'"pictures/{n}.png";{n % 12}' for n in range(40))]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/all.csv").write_text("\n".join(lines))
    source = {"name": "csv", "table": "tables/all.csv", "delimiter": ";"}
    found = run_ingest(tmp_path, tmp_path / "out", source, "classification")
    assert found.class_map.names == tuple(str(n) for n in range(12))
    assert found.rows["pictures/11.png"].label == 11


def test_unlabelled_lines_need_no_target(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    table = tmp_path / "raw/data.csv"
    table.write_text(table.read_text().replace("pictures/3.png,malign,drawn/3.png,train", "pictures/3.png,,,unlabeled"))
    for task, source in (("classification", GIVEN), ("segmentation", {**GIVEN, **CLASSES})):
        row = run_ingest(tmp_path / "raw", tmp_path / task, source, task).rows["pictures/3.png"]
        assert (row.split, row.label, row.mask) == ("unlabelled", None, None)


def change_of(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        table = root / "data.csv"
        text = table.read_text(encoding="utf-8")
        assert old in text
        table.write_text(text.replace(old, new), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda root: (root / "data.csv").rename(root / "x.csv"), {}, r"expects the table data\.csv here; found 40 x"),
        (lambda root: None, {"image_column": "img"}, "no column 'img'; it has 'file', 'diagnosis'"),
        (lambda root: None, {"delimiter": ";"}, "no column 'file' and no column 'annotation'.*separated by ';'"),
        (lambda root: None, {"classes": None}, r"nothing says what their values mean.*classes: \{background"),
        (lambda root: (root / "data.csv").write_bytes(b"file,annotation\n\xff,x"), {}, "cannot be read .*CSV in UTF-8"),
        (lambda root: None, {"val_fraction": 0.5, "test_fraction": 0.5}, "leave nothing to train on"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(change: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    change(tmp_path / "raw")
    with pytest.raises(GraftError, match=message):
        run_ingest(tmp_path / "raw", tmp_path / "out", {**COLUMNS, **CLASSES, **options})


def test_every_wrong_line_is_listed(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    for old, new in (
        ("pictures/0.png,", "../0.png,"),
        ("pictures/1.png,malign", "pictures/1.png,"),
        ("drawn/2.png,test", "drawn/2.png,tset"),
        (",p1,clinic 1\n", ",,clinic 1\n"),
        ("pictures/9.png", "pictures/8.png"),
    ):
        change_of(old, new)(tmp_path / "raw")
    (tmp_path / "raw/pictures/39.png").write_bytes(b"x")
    source = {**GIVEN, "group_column": "patient"}
    with pytest.raises(GraftError) as refused:
        run_ingest(tmp_path / "raw", tmp_path / "out", source, "classification")
    for line in (
        "data.csv line 2: ../0.png is not there",
        "data.csv line 3: pictures/1.png has no label",
        "data.csv line 4: 'tset' is no split: train, val, test or unlabelled",
        "data.csv line 6: pictures/4.png has no patient",
        "data.csv line 11: pictures/8.png is listed twice",
        "pictures/39.png: not an image of a known kind",
    ):
        assert line in str(refused.value)
    change_of("drawn/12.png", "nowhere/12.png")(tmp_path / "raw")
    change_of("drawn/13.png", "")(tmp_path / "raw")
    with pytest.raises(GraftError, match=r"(?s)line 14: nowhere/12.png is not there.*pictures/13.png has no mask"):
        run_ingest(tmp_path / "raw", tmp_path / "masks", {**GIVEN, **CLASSES})


@pytest.mark.parametrize(
    ("task", "target", "options"), [("classification", "label", {}), ("segmentation", "mask", CLASSES)]
)
def test_an_image_with_two_targets_is_said_to_differ(task: str, target: str, options: Any, tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    change_of("pictures/9.png", "pictures/8.png")(tmp_path / "raw")
    with pytest.raises(GraftError, match=f"8.png is listed twice, with another {target} than in line 10"):
        run_ingest(tmp_path / "raw", tmp_path / "out", {**GIVEN, **options}, task)


def test_the_table_is_named_where_an_image_stands_in_two_with_other_labels(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    lines = (tmp_path / "raw/data.csv").read_text().splitlines()
    other = lines[1].replace("malign", "neither").replace("benign", "neither")
    (tmp_path / "raw/data2.csv").write_text(f"{lines[0]}\n{other}")
    with pytest.raises(GraftError, match=r"data2.csv line 2: .* twice, with another label than in data.csv line 2"):
        run_ingest(tmp_path / "raw", tmp_path / "out", {**GIVEN, "table": "data*.csv"}, "classification")


def test_one_label_is_not_enough(tmp_path: Path) -> None:
    make_csv(tmp_path / "raw")
    change_of("benign", "malign")(tmp_path / "raw")
    with pytest.raises(GraftError, match=r"csv finds 1 labels \(malign\).*two classes or more"):
        run_ingest(tmp_path / "raw", tmp_path / "out", COLUMNS, "classification")


# Tables as people have them.


def table(root: Path, text: str, *pictures: str) -> None:
    for number, picture in enumerate(pictures):
        write_image(root / picture, number)
    (root / "data.csv").parent.mkdir(parents=True, exist_ok=True)
    (root / "data.csv").write_text(text, encoding="utf-8")


def listing_of(root: Path, task: str = "classification", **options: Any) -> Listing:
    return resolve(FORMATS, {"name": "csv", **options}, where="ingest.source")(task, 7, root)


NINE = [f"photos/{n}.jpg" for n in range(9)]
HALF = {"val_fraction": 0.3, "test_fraction": 0.3}


def test_a_cell_too_many_is_a_problem_and_cuts_no_label(tmp_path: Path) -> None:
    lines = [f"photos/{n}.jpg,{'cat' if n % 2 else 'dog'}" for n in range(9)]
    lines[3] = "photos/3.jpg,cat, small"
    table(tmp_path, "image,label\n\n" + "\n , \n".join(lines) + "\n\n", *NINE)
    (problem,) = listing_of(tmp_path, **HALF).problems
    assert problem == "data.csv line 9: 3 cells in 2 columns; a cell that holds ',' stands in double quotes"
    table(tmp_path, "image,label,\n" + "\n".join(f"{line}," for line in lines[:3] + lines[4:]))
    assert listing_of(tmp_path, **HALF).problems == []


@pytest.mark.parametrize(
    "cell", ["photos/{n}.jpg", "{n}.jpg", "{n}", "photos/{n}", "./photos/{n}.JPG", "photos\\{n}.jpg"]
)
def test_paths_without_ending_or_folder_are_found(cell: str, tmp_path: Path) -> None:
    table(tmp_path, "image,label\n" + "".join(f"{cell.format(n=n)},{n % 2}\n" for n in range(9)), *NINE)
    listing = listing_of(tmp_path, **HALF)
    assert (listing.problems, {entry.id for entry in listing.entries}) == ([], set(NINE))


def test_paths_beside_the_table_are_found(tmp_path: Path) -> None:
    table(tmp_path, "", *(f"first/{picture}" for picture in NINE), *(f"second/{picture}" for picture in NINE))
    text = "image,label\n" + "".join(f"{picture},{n % 2}\n" for n, picture in enumerate(NINE))
    (tmp_path / "second/all.csv").write_text(text)
    listing = listing_of(tmp_path, table="second/all.csv", val_fraction=0.45)
    assert {entry.id for entry in listing.entries} == {f"second/{picture}" for picture in NINE}
    (tmp_path / "data.csv").write_text(text)
    problems = listing_of(tmp_path, **HALF).problems
    assert problems[0].startswith(
        "data.csv line 2: photos/0.jpg may be first/photos/0.jpg or second/photos/0.jpg; write"
    )


def test_a_table_without_header_is_read_by_number(tmp_path: Path) -> None:
    table(tmp_path, "".join(f"{picture},{n % 2}\n" for n, picture in enumerate(NINE)), *NINE)
    with pytest.raises(
        GraftError, match="the first line holds a path: set header: false, and each …_column to its num"
    ):
        listing_of(tmp_path)
    listing = listing_of(tmp_path, header=False, image_column=1, label_column=2, **HALF)
    assert (listing.problems, len(listing.entries), listing.class_map.names) == ([], 9, ("0", "1"))
    with pytest.raises(
        GraftError, match=r"no column 'image' and no column 'label'; it has 1, 2.*called by their numbers"
    ):
        listing_of(tmp_path, header=False)


TWENTY = [f"photos/{n}.jpg" for n in range(20)]


@pytest.mark.parametrize(
    ("head", "label", "message"),
    [
        ("label", lambda n: ("cat", "dog", "cat|dog")[n % 3], r"several values in one label, as 'cat\|dog'.*one label"),
        ("label", lambda n: ("a, b", "c, b", "d")[n % 3], r"several values in one label, as 'a, b', 'c, b'"),
        ("label", lambda n: ("cat", "dog", "cat dog")[n % 3], "several values in one label, as 'cat dog'"),
        (
            "label,sick",
            lambda n: f"{n % 2},{1 - n % 2}",
            "label, sick hold 0 and 1, a column per cl",
        ),
        (
            "label",
            lambda n: 0.37 * n,
            "20 different ones in 20 lines, as 0.0, 0.37.*name the column that holds the class",
        ),
    ],
)
def test_labels_that_are_no_classes_are_asked_about(head: str, label: Any, message: str, tmp_path: Path) -> None:
    quoted = (lambda text: text) if "," in head else (lambda text: f'"{text}"')
    lines = [f"{picture},{quoted(label(n))}" for n, picture in enumerate(TWENTY)]
    table(tmp_path, f"image,{head}\n" + "\n".join(lines), *TWENTY)
    with pytest.raises(GraftError, match=f"'label' do not look like classes: {message}.*list them in classes"):
        listing_of(tmp_path)


def test_labels_that_are_listed_are_the_classes_in_that_order(tmp_path: Path) -> None:
    labels = ["polar bear", "bear", "polar"]
    table(tmp_path, "image,label\n" + "".join(f"{p},{labels[n % 3]}\n" for n, p in enumerate(TWENTY)), *TWENTY)
    listing = listing_of(tmp_path, classes=labels)
    assert (listing.problems, listing.class_map.names) == ([], tuple(labels))
    source = resolve(FORMATS, {"name": "csv", "classes": labels}, where="ingest.source")
    assert known_classes("classification", source) == tuple(labels)
    problems = listing_of(tmp_path, classes=labels[:2]).problems
    assert "photos/2.jpg: 'polar' is none of the classes" in problems


def test_ordinary_names_of_two_words_are_classes(tmp_path: Path) -> None:
    labels = ["golden retriever", "labrador retriever", "poodle", "Poodle "]
    table(tmp_path, "image,label\n" + "".join(f"{p},{labels[n % 3]}\n" for n, p in enumerate(TWENTY)), *TWENTY)
    assert len(listing_of(tmp_path).class_map.names) == 3


def test_labels_that_differ_in_case_are_a_warning(tmp_path: Path) -> None:
    labels = ["cat", "dog", "Cat"]
    table(tmp_path, "image,label\n" + "".join(f"{p},{labels[n % 3]}\n" for n, p in enumerate(TWENTY)), *TWENTY)
    (warning,) = listing_of(tmp_path).warnings
    assert warning.startswith("Cat and cat become classes of their own and differ only in case or spaces")


def test_a_column_of_splits_that_is_not_used_is_said(tmp_path: Path) -> None:
    parts = ["Training", "Training", "val"]
    lines = [f"{picture},{n % 2},{parts[n % 3]}\n" for n, picture in enumerate(TWENTY)]
    table(tmp_path, "image,label,Usage\n" + "".join(lines), *TWENTY)
    assert listing_of(tmp_path).notes == ["the column 'Usage', which names splits; split_column: Usage uses it"]
    assert listing_of(tmp_path, split_column="Usage").notes == []


def test_a_glob_takes_several_tables_and_a_column_of_ones_is_a_class(tmp_path: Path) -> None:
    for place, split in enumerate(("train", "val", "test")):
        for number in range(2):
            write_image(tmp_path / f"{split}/{number}.png", 10 * place + number)
        (tmp_path / f"{split}/metadata.csv").write_text("image,cat,dog\n0.png,1,0\n1.png,0,1\n")
    options = {"table": "*/metadata.csv", "label_columns": ["cat", "dog"]}
    listing = listing_of(tmp_path, **options)
    assert listing.class_map.names == ("cat", "dog")
    assert {(entry.id, entry.split, entry.label) for entry in listing.entries} == {
        (f"{split}/{number}.png", split, number) for split in ("train", "val", "test") for number in range(2)
    }
    assert listing.class_map.official_splits
    renamed = listing_of(tmp_path, **options, classes=["Katze", "Hund"])
    assert renamed.class_map.names == ("Katze", "Hund")
    (tmp_path / "val/metadata.csv").write_text("image,cat,dog\n0.png,1,1\n1.png,0,0\n")
    assert listing_of(tmp_path, **options).problems == [
        f"val/metadata.csv line {line}: {num} of label_columns hold 1; a classifier needs one, and task: multilabel "
        "takes any number"
        for line, num in ((2, 2), (3, 0))
    ]
    (tmp_path / "test/metadata.csv").write_text("file,cat,dog\n0.png,1,1\n")
    with pytest.raises(GraftError, match=r"test/metadata\.csv: the table has no column 'image'"):
        listing_of(tmp_path, **options)
    with pytest.raises(GraftError, match=r"csv expects the table \*/labels\.csv here"):
        listing_of(tmp_path, table="*/labels.csv")


def test_metadata_of_hugging_face_in_a_folder_for_each_split(tmp_path: Path) -> None:
    for place, split in enumerate(("train", "validation")):
        for number in range(12):
            write_image(tmp_path / f"{split}/{number}.png", 20 * place + number)
        lines = [f"{number}.png,{('cat', 'dog')[number % 2]}" for number in range(12)]
        (tmp_path / f"{split}/metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    seen = look(tmp_path)
    source = {"name": "csv", "table": "*/metadata.csv", "image_column": "file_name", "label_column": "label"}
    assert seen.proposals[0].source == source
    assert {(entry.split, entry.id.split("/")[0]) for entry in seen.listing.entries} == {
        ("train", "train"),
        ("val", "validation"),
    }
    assert (seen.shares, seen.listing.problems) == ({"cat": 0.5, "dog": 0.5}, [])
