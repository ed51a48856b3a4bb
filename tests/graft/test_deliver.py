"""`graft deliver` writes a delivery into params.yaml, or says why not and leaves the file as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from graft.commands.deliver import add_delivery
from graft.foundation.errors import GraftError
from graft.params.params_file import load_params
from graft.params.recipes import ROOT, compose
from graft.params.yaml_tree import write_tree


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    """Params of a folder of photographs, and a second folder that came later."""
    monkeypatch.chdir(tmp_path)
    for name in ("first", "november"):
        for split in ("train", "val", "test"):
            for label in ("ants", "bees"):
                (tmp_path / name / split / label).mkdir(parents=True)
                Image.new("RGB", (32, 32)).save(tmp_path / name / split / label / "1.png")
    tree = compose(ROOT)
    tree["task"] = "classification"
    tree["ingest"] |= {"root": "first", "source": {"name": "image_folder", "splits": None}}
    write_tree(tmp_path / "params.yaml", tree)
    return tmp_path / "params.yaml"


def test_a_folder_becomes_the_last_delivery_and_is_read_like_the_first(file):
    text = file.read_text("utf-8")
    told = add_delivery("november", "2026-11-02")
    assert told[0] == "params.yaml: added ingest.deliveries.2026-11-02: 2 train, 2 val, 2 test images"
    ingest = load_params(file).ingest
    assert ingest.names == ("first", "2026-11-02")
    assert ingest.of("2026-11-02").source == ingest.source
    kept = [line for line in text.splitlines() if "#" in line and "deliveries" not in line]
    now = file.read_text("utf-8").splitlines()
    assert [line for line in kept if line not in now] == []  # comments stay
    add_delivery(str(file.parent / "november"), "again", like="2026-11-02")
    assert load_params(file).ingest.names == ("first", "2026-11-02", "again")


@pytest.mark.parametrize(
    ("folder", "name", "like", "said"),
    [
        ("nowhere", "new", None, "ingest.deliveries.new.root is 'nowhere', and there is nothing"),
        ("first", "new", None, "it has root and source of first, so every image would be twice"),
        ("november", "first", None, "this is the name of ingest.batch"),
        ("november", "Neu 1", None, "ingest.deliveries.Neu 1"),
        ("november", "new", "frist", "there is no delivery 'frist'. Remedy: did you mean 'first'?"),
        ("empty", "new", None, "found no files at all"),
    ],
)
def test_what_is_no_delivery_leaves_the_file_as_it_was(file, folder, name, like, said):
    (file.parent / "empty").mkdir()
    before = file.read_bytes()
    with pytest.raises(GraftError) as refused:
        add_delivery(folder, name, like)
    assert said in str(refused.value)
    assert file.read_bytes() == before


def test_a_name_that_is_there_is_refused(file):
    add_delivery("november", "new")
    before = file.read_bytes()
    with pytest.raises(GraftError, match=r"ingest\.deliveries\.new is there already"):
        add_delivery("november", "new")
    assert file.read_bytes() == before
