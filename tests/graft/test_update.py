"""What `graft update` writes into params.yaml, and that the file is as it was where the update fails."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from graft.cli import update
from graft.commands.update import (
    NewDelivery,
    Parent,
    compose_update,
    name_of,
    put_in_place,
    read_delivery,
    table_of,
)
from graft.data.memory import impression
from graft.foundation.errors import GraftError
from graft.params.examination import check_file
from graft.params.recipes import ROOT, complete_text, compose
from graft.params.sections import Params
from graft.params.yaml_tree import changed_lines, dump_tree, plain, read_tree
from graft.provenance.promotion.changes import Change
from graft.provenance.promotion.measurement import Comparison

SOURCE = {"name": "registry", "model_uri": "models:/graft-segmentation/3", "sha256": "0" * 64}
PARENT = Parent("graft-segmentation", 3, "the digest", SOURCE)
NIGHT = {"name": "scenes", "domain": "night", "num_train": 8, "num_val": 4, "num_test": 4}
NIGHT |= {"width_px": 128, "height_px": 96}


@pytest.fixture
def params_file(tmp_path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(complete_text(ROOT), encoding="utf-8")
    return path


def update_of(path: Path, root: Path, name: str = "november"):
    return compose_update(read_tree(path), [NewDelivery(name, str(root), {"source": NIGHT})], PARENT, 30)


def test_the_update_is_a_file_that_check_accepts_and_that_keeps_its_comments(params_file, tmp_path):
    tree = update_of(params_file, tmp_path)
    before = Params.model_validate(plain(read_tree(params_file)))
    params_file.write_text(dump_tree(tree), encoding="utf-8")
    assert check_file(params_file) == []
    params = Params.model_validate(plain(read_tree(params_file)))
    assert params.ingest.names == ("first", "november")
    assert params.augment.memory == {"name": "balanced", "new": ["november"], "num_images": 30}
    assert params.pretrain_load.source == SOURCE
    assert params.fine_tune.strategy == {"name": "incremental", "train": "all"}
    assert params.fine_tune.baseline is False
    untouched = {"fine_tune": {"strategy", "baseline"}, "augment": {"memory"}}
    for section, keys in untouched.items():
        assert getattr(params, section).model_dump(exclude=keys) == getattr(before, section).model_dump(exclude=keys)
    assert params.model == before.model
    assert "# the folder of your images" in params_file.read_text("utf-8")


def test_how_a_memory_is_chosen_stays_until_it_is_said_anew(params_file, tmp_path):
    def composed(choice: str | None) -> dict:
        tree = compose_update(
            read_tree(params_file), [NewDelivery("november", str(tmp_path), {"source": NIGHT})], PARENT, 9, choice
        )
        params_file.write_text(dump_tree(tree), encoding="utf-8")
        assert check_file(params_file) == []
        augment = plain(tree)["augment"]
        return {"choice": augment["memory"].get("choice"), "parent": augment["parent"]}

    assert composed(None) == {"choice": None, "parent": "none"}
    assert composed("herding") == composed(None) == {"choice": "herding", "parent": "pretrained"}
    assert composed("random") == {"choice": "random", "parent": "none"}


def test_images_that_were_left_out_stay_so(params_file, tmp_path):
    tree = read_tree(params_file)
    tree["augment"]["memory"] = {"name": "without", "images": ["a.png", "b.png"]}
    params_file.write_text(dump_tree(tree), encoding="utf-8")
    for _ in range(2):  # from its own result it is the same
        tree = update_of(params_file, tmp_path)
        params_file.write_text(dump_tree(tree), encoding="utf-8")
        assert check_file(params_file) == []
        expected = {"name": "balanced", "new": ["november"], "num_images": 30, "without": ["a.png", "b.png"]}
        assert plain(tree)["augment"]["memory"] == expected


def test_the_command_offers_the_choices_of_a_memory():
    assert get_args(update.Choice) == get_args(impression.How)


def test_an_update_of_an_update_is_the_same(params_file, tmp_path):
    params_file.write_text(dump_tree(update_of(params_file, tmp_path)), encoding="utf-8")
    assert changed_lines(params_file, update_of(params_file, tmp_path)) == []
    changes = changed_lines(params_file, update_of(params_file, tmp_path / "other", "december"))
    assert any(line.startswith("+") and "december" in line for line in changes)
    with pytest.raises(GraftError, match="another delivery called november"):
        update_of(params_file, tmp_path / "other")


def test_an_entry_may_be_spelt_as_a_person_would(params_file, tmp_path):
    params_file.write_text(dump_tree(update_of(params_file, tmp_path)), encoding="utf-8")
    tree = read_tree(params_file)
    tree["ingest"]["deliveries"]["november"] |= {"root": f"{tmp_path}/", "unlabelled": None}
    params_file.write_text(dump_tree(tree), encoding="utf-8")
    reading = read_delivery(read_tree(params_file), "november", tmp_path, None, None)
    updated = compose_update(read_tree(params_file), [reading], PARENT, 30)
    assert changed_lines(params_file, updated) == []
    tree["ingest"]["deliveries"]["november"]["unlabelled"] = "*.raw.png"
    with pytest.raises(GraftError, match=f"another delivery called november, of {tmp_path}/"):
        compose_update(tree, [reading], PARENT, 30)


def test_a_delivery_is_read_as_its_entry_says_and_a_new_one_like_the_first(params_file, tmp_path):
    first = plain(read_tree(params_file))["ingest"]["source"]
    params_file.write_text(dump_tree(update_of(params_file, tmp_path)), encoding="utf-8")
    tree = read_tree(params_file)
    assert plain(read_delivery(tree, "november", tmp_path, None, None).reading) == {"source": NIGHT}
    assert plain(read_delivery(tree, "december", tmp_path, None, None).reading) == {"source": first}
    assert plain(read_delivery(tree, "december", tmp_path, "november", None).reading) == {"source": NIGHT}
    assert plain(read_delivery(tree, "november", tmp_path, None, {"name": "scenes"}).reading) == {
        "source": {"name": "scenes"}
    }


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("supervised", {"name": "incremental"}),
        ({"name": "supervised", "reuse_features": True, "train": "head"}, {"name": "incremental", "train": "head"}),
        (
            {"name": "fix_match", "confidence_threshold": 0.9, "backbone_rate_factor": 0.3},
            {"name": "incremental", "backbone_rate_factor": 0.3},
        ),
        ({"name": "lwf", "weight": 2.0}, {"name": "lwf", "weight": 2.0}),
    ],
)
def test_a_strategy_that_keeps_what_the_parent_knows_stays(strategy, expected, tmp_path):
    tree = compose(ROOT)
    tree["fine_tune"]["strategy"] = strategy
    composed = compose_update(tree, [NewDelivery("november", str(tmp_path), {"source": NIGHT})], PARENT, 30)
    assert composed["fine_tune"]["strategy"] == expected


def stop_in(text: str, error: BaseException) -> None:
    assert "november" in text
    raise error


@pytest.mark.parametrize("error", [GraftError("a stage stopped"), KeyboardInterrupt()])
def test_where_a_stage_stops_the_file_is_as_it_was(params_file, tmp_path, error):
    before = params_file.read_bytes()
    with pytest.raises(type(error)), put_in_place(params_file, update_of(params_file, tmp_path)):
        stop_in(params_file.read_text("utf-8"), error)
    assert params_file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [params_file]


def test_a_folder_gives_a_name_that_a_delivery_may_have(tmp_path):
    assert name_of(tmp_path / "Fabrik Süd_2026") == "fabrik-s-d-2026"
    assert name_of(Path("/")) == "delivery"


def test_the_table_says_what_was_gained_forgotten_and_is_new():
    changes = (
        Change("all", "all images", 0.5, 0.625, [0.1, 0.15]),
        Change("delivery", "first", 0.5, 0.25, None),
        Change("class", "road", None, 0.75, None),
    )
    found = Comparison("mean_iou", "IoU", 6, ("road",), {}, None, 0.125, "", changes)
    assert table_of(found, {"fox": 0.5, "elk": None}) == [
        ("all images", "0.5000", "0.6250", "+0.1250 [+0.100, +0.150]"),
        ("delivery first", "0.5000", "0.2500", "-0.2500"),
        ("class road", "undefined", "0.7500", ""),
        ("new class fox", "", "0.5000", ""),
        ("new class elk", "", "undefined", ""),
    ]


def test_images_with_several_labels_are_refused_before_a_registry_is_asked(params_file, tmp_path, monkeypatch):
    params_file.write_text(complete_text("photographs-multilabel"), encoding="utf-8")
    before = params_file.read_bytes()
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraftError, match=r"graft update is not for multilabel.*Remedy: graft deliver FOLDER"):
        update.update([tmp_path])
    assert params_file.read_bytes() == before
