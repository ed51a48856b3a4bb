"""The frozen test set: its entry in the ledger, its list on a real store, and who has seen its images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graft.data.shards import MANIFEST_SCHEMA
from graft.foundation.class_map import ClassMap
from graft.foundation.content import sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.provenance.audit.ledger_links import check_test_set
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED
from graft.provenance.promotion import ledger
from graft.provenance.promotion.evidence import Gathering, scored_split
from graft.provenance.promotion.freeze import list_new
from graft.provenance.promotion.frozen_test_set import (
    FrozenImage,
    FrozenTestSet,
    add_parts,
    fetch_list,
    find_in_force,
    freeze_images,
    list_by_delivery,
    list_images,
    publish_list,
)
from graft.provenance.promotion.leakage import Leakage, find_leakage
from graft.provenance.promotion.ledger import LedgerEntry
from graft.provenance.promotion.record_chain import RecordChain
from graft.provenance.records import Record
from graft.provenance.stages import CLASS_MAP, EXPORTED, FINE_TUNED, MANIFEST, PRETRAINED, SEEN
from graft.provenance.tracking import mlflow_store, registry, runs
from tests.graft.test_ledger import entry

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
IMAGES = [FrozenImage(f"{number}" * 64, "m" * 64, f"{number:016x}") for number in range(1, 4)]


@pytest.fixture(autouse=True)
def project(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def stated(images: list[FrozenImage] = IMAGES, before: FrozenTestSet | None = None) -> FrozenTestSet:
    facts: dict[str, Any] = {"name": None, "split_seed": 7, "interim_md5": "f.dir", "class_names": ("road", "sky")}
    return freeze_images(images, before, **facts)


def write_manifest(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    """A manifest with split, digest and perceptual hash of each image."""
    empty = dict.fromkeys(MANIFEST_SCHEMA.names)
    content = [
        empty | {"id": f"{number}.png", "split": split, "image_sha256": image, "mask_sha256": "m" * 64, "phash": phash}
        for number, (split, image, phash) in enumerate(rows)
    ]
    pq.write_table(pa.Table.from_pylist(content, schema=MANIFEST_SCHEMA), path)
    return path


def published(store, folder: Path, seen: dict[str, list[str]], rows: list[tuple[str, str, str]]) -> RecordChain:
    """Records of ingest and fine-tune whose runs hold a manifest and the images that were seen."""
    chain = RecordChain()
    files = {"ingest": (MANIFEST, write_manifest(folder / "manifest.parquet", rows))}
    write_json(folder / "seen.json", seen)
    files["fine-tune"] = (SEEN, folder / "seen.json")
    for stage, (path, file) in files.items():
        chain.runs[stage] = runs.create_run(store, stage, {})
        store.log_artifact(chain.runs[stage].info.run_id, str(file))
        chain.records[stage] = Record.from_content({"stage": stage, "files": {path: sha256_of(file)}})
    return chain


def test_the_first_promotion_freezes_and_freeze_replaces():
    first = entry(1, "intent", test_set=stated().as_dict())
    assert find_in_force([first]) is None  # an intent that is open
    void = replace(first, phase="void", test_set=None, follows=first.digest)
    assert find_in_force([first, void]) is None
    confirmed = replace(void, phase="confirmed")
    assert find_in_force([first, confirmed]) == stated()
    second = stated(IMAGES[:2], stated())
    assert (second.version, second.num_images, second.name) == (2, 2, "test")
    frozen = entry(2, "frozen", confirmed, kind="freeze", test_set=second.as_dict())
    assert find_in_force([first, confirmed, frozen]) == second
    assert ledger.verify([first, confirmed, frozen]) == []


def test_a_test_set_is_frozen_in_one_step_and_never_within_a_promotion():
    first = entry(1, "intent")
    frozen = entry(1, "frozen", first, kind="freeze", test_set=stated().as_dict())
    assert "out of order" in ledger.verify([first, frozen])[0]
    assert "frozen in one step" in ledger.verify([entry(1, "frozen")])[0]


def test_entries_of_before_are_spelt_as_before_and_others_survive_a_round_trip():
    plain, freezing = entry(1, "intent"), entry(1, "intent", test_set=stated().as_dict())
    assert "test_set" not in json.loads(plain.canonical)
    assert [LedgerEntry.of(one.canonical, "here") for one in (plain, freezing)] == [plain, freezing]
    assert FrozenTestSet.of(LedgerEntry.of(freezing.canonical, "here").test_set) == stated()


def test_only_labelled_images_of_the_test_split_are_listed_each_once(tmp_path):
    rows = [("test", "b" * 64, "0" * 16), ("train", "a" * 64, "0" * 16), ("test", "b" * 64, "0" * 16)]
    path = write_manifest(tmp_path / "manifest.parquet", rows)
    assert list_images(path, ("road",)) == [FrozenImage("b" * 64, "m" * 64, "0" * 16)]


def test_parts_are_added_and_those_before_stay_as_they_are():
    more = [FrozenImage("8" * 64, "m" * 64, "0" * 16), FrozenImage("9" * 64, "m" * 64, "0" * 16)]
    second = add_parts(stated([*IMAGES, more[0]], stated()), stated(), {"november": more[:1]})
    assert [(part.name, part.num_images) for part in second.parts] == [("test", 3), ("november", 1)]
    assert second.parts[0].digest == stated().digest
    third = add_parts(stated([*IMAGES, *more], second), second, {"december": more[1:]})
    assert third.parts[:2] == second.parts
    assert (third.version, third.num_images) == (3, 5)
    freezing = entry(1, "intent", test_set=third.as_dict())
    assert FrozenTestSet.of(LedgerEntry.of(freezing.canonical, "here").test_set) == third
    assert "parts" not in stated().as_dict()


def write_deliveries(path: Path, deliveries: dict[str, str]) -> None:
    """A manifest of test images, each a digit that is repeated in its digest, by its delivery."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(path, [("test", digit * 64, "0" * 16) for digit in deliveries])
    table = pq.read_table(path)
    batch = table.schema.get_field_index("batch")
    pq.write_table(table.set_column(batch, "batch", pa.array([*deliveries.values()])), path)


def test_the_images_of_each_delivery_are_listed_alone(tmp_path):
    write_deliveries(tmp_path / "manifest.parquet", {"1": "first", "3": "november", "2": "november"})
    listed = list_by_delivery(tmp_path / "manifest.parquet", ("road",))
    assert {name: [one.image[0] for one in images] for name, images in listed.items()} == {
        "first": ["1"],
        "november": ["2", "3"],
    }


def test_an_image_that_two_deliveries_bring_is_of_the_part_of_the_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_deliveries(Path(MANIFEST), {"1": "first", "2": "first", "3": "first", "4": "november", "5": "december"})
    table = pq.read_table(MANIFEST)
    both = table.slice(3, 1).set_column(table.schema.get_field_index("batch"), "batch", pa.array(["december"]))
    pq.write_table(pa.concat_tables([table, both]), MANIFEST)
    ClassMap("segmentation", ("road",), ((0, 0, 0),), (0,), False, True, "mask_folder").write(Path(CLASS_MAP))
    added = list_new(["november", "december"], IMAGES, stated())
    assert {name: [one.image[0] for one in images] for name, images in added.items()} == {
        "november": ["4"],
        "december": ["5"],
    }


def test_audit_names_the_part_whose_list_differs(store, tmp_path):
    *first, eighth, ninth = [FrozenImage(digit * 64, "m" * 64, "0" * 16) for digit in "4589"]
    more, before = [eighth, ninth], stated(first)
    whole = add_parts(stated([*first, *more], before), before, {"november": more})
    frozen = [entry(1, "frozen", kind="freeze", test_set=whole.as_dict())]
    for images, one in (([*first, *more], whole), (first, whole.parts[0]), (more, whole.parts[1])):
        publish_list(store, images, one, tmp_path)
    checks = [*check_test_set(store, frozen)]
    assert [check.what for check in checks] == [str(whole), *map(str, whole.parts)]
    assert {check.status for check in checks} == {VERIFIED}

    def write(stated_digest: str, content: str) -> None:
        (run,) = runs.search_runs(store, {"graft.test_set": stated_digest})
        (tmp_path / "test_set.json").write_text(content, encoding="utf-8")
        store.log_artifact(run.info.run_id, str(tmp_path / "test_set.json"))

    changed = [*first, eighth, ninth._replace(target="n" * 64)]
    write(whole.digest, json.dumps(changed))
    said = [f"{check.status} {check.what}: {check.reason}" for check in check_test_set(store, frozen)]
    assert [line.split()[0] for line in said] == [BROKEN, VERIFIED, BROKEN]
    assert "test part november (2 images" in said[2]
    assert "1 of its 2 images are not in the list of the whole test set" in said[2]
    write(whole.digest, json.dumps([*first, *more]))
    write(whole.parts[0].digest, "no JSON")
    found = [check.status for check in check_test_set(store, frozen)]
    assert found == [VERIFIED, BROKEN, VERIFIED]
    (run,) = runs.search_runs(store, {"graft.test_set": whole.parts[0].digest})
    store.delete_run(run.info.run_id)
    assert [check.status for check in check_test_set(store, frozen)] == [VERIFIED, MISSING, VERIFIED]


def test_a_part_is_what_a_delivery_adds_and_nothing_is_added_to_images_that_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_deliveries(Path(MANIFEST), {"1": "first", "2": "first", "3": "first", "4": "november", "5": "november"})
    ClassMap("segmentation", ("road",), ((0, 0, 0),), (0,), False, True, "mask_folder").write(Path(CLASS_MAP))
    added = list_new(["november", "december"], IMAGES, stated())
    assert {name: [image.image[0] for image in images] for name, images in added.items()} == {"november": ["4", "5"]}
    held = [*IMAGES, *added["november"]]
    assert list_new(["november"], held, stated(held)) == {}
    changed = [*IMAGES[:2], IMAGES[2]._replace(target="n" * 64)]
    with pytest.raises(GraftError, match=r"1 of the 3 images of test set 1 .* are not in .* as they were frozen"):
        list_new(["november"], changed, stated(changed))


def test_the_list_is_found_by_its_digest_and_a_lost_one_is_said(store, tmp_path):
    publish_list(store, IMAGES, stated(), tmp_path)
    publish_list(store, IMAGES, stated(), tmp_path)
    (run,) = runs.search_runs(store, {"graft.test_set": stated().digest})
    assert fetch_list(store, stated(), tmp_path) == IMAGES
    store.delete_run(run.info.run_id)
    with pytest.raises(GraftError, match=r"(?s)list of test set 1 \(test, 3 images.*not on the server.*graft freeze"):
        fetch_list(store, stated(), tmp_path)


def test_images_that_were_learned_from_are_found_by_digest_and_by_likeness(store, tmp_path):
    rows = [("train", "a" * 64, f"{2 ^ 1 << 60:016x}"), ("val", "b" * 64, "f" * 16), ("test", "1" * 64, f"{1:016x}")]
    seen = {"train": ["a" * 64], "val": ["b" * 64]}
    chain = published(store, tmp_path, seen, rows)
    into = tmp_path / "into"
    into.mkdir()
    found = find_leakage(store, chain, IMAGES, 1, into)
    assert found == Leakage(resembling=f"1 of 3 images: {'2' * 12} is like 0.png")
    assert find_leakage(store, chain, IMAGES, 0, into) == Leakage()
    chosen_on = published(store, tmp_path, {"train": [], "val": ["3" * 64]}, rows)
    assert find_leakage(store, chosen_on, IMAGES, 1, into).seen == f"1 of 3 images: {'3' * 12}"
    chain.records["fine-tune"] = Record.from_content({"stage": "fine-tune", "files": {SEEN: "0" * 64}})
    with pytest.raises(GraftError, match=r"seen\.json is not the file that fine-tune wrote"):
        find_leakage(store, chain, IMAGES, 1, into)
    assert find_leakage(store, RecordChain(), IMAGES, 1, into).seen.startswith("not known")


def register_trained(store, folder: Path, name: str, seen: dict[str, list[str]], params: dict[str, Any]) -> None:
    """A registered version whose records of export, fine-tune and pretrain-load hang together, and what it saw."""
    write_json(folder / "seen.json", seen)
    models = {path: f"{path} of {name}" for path in (PRETRAINED, FINE_TUNED, EXPORTED)}
    links = {"pretrain-load": (), "fine-tune": (PRETRAINED,), "export": (FINE_TUNED,)}
    for (stage, inputs), made in zip(links.items(), models, strict=True):
        content = {"stage": stage, "params": params, "inputs": {path: models[path] for path in inputs}}
        content |= {"outputs": {made: models[made]}}
        content |= {"files": {SEEN: sha256_of(folder / "seen.json")}} if stage == "fine-tune" else {}
        record = Record.from_content(content)
        tags = {mlflow_store.STAGE: stage, mlflow_store.RECORD: record.sha256, f"graft.produced.{made}": models[made]}
        run = runs.create_run(store, stage, tags)
        (folder / f"{stage}.json").write_bytes(record.as_bytes())
        store.log_artifact(run.info.run_id, str(folder / f"{stage}.json"), "record")
        if stage == "fine-tune":
            store.log_artifact(run.info.run_id, str(folder / "seen.json"))
    tags = {mlflow_store.MODEL_DIGEST: models[EXPORTED], mlflow_store.RECORD: record.sha256}
    registry.add_version(store, name, str(folder), tags, "")


def grown_from(uri: str) -> dict[str, Any]:
    return {"pretrain_load": {"source": {"name": "registry", "model_uri": uri, "sha256": "0"}}}


def test_images_that_an_ancestor_learned_from_are_found_and_it_is_named(store, tmp_path):
    taught = {"fine_tune": {"strategy": {"name": "distil", "teacher": [{"model": "models:/elder/1", "sha256": "0"}]}}}
    register_trained(store, tmp_path, "elder", {"train": ["9" * 64], "val": ["2" * 64]}, grown_from("models:/gone/4"))
    register_trained(store, tmp_path, "parent", {"train": ["8" * 64], "val": []}, taught)
    rows = [("test", image.image, image.phash) for image in IMAGES]
    chain = published(store, tmp_path, {"train": ["7" * 64], "val": []}, rows)
    into = tmp_path / "into"
    into.mkdir()
    assert find_leakage(store, chain, IMAGES, 1, into) == Leakage()
    loaded = Record.from_content({"stage": "pretrain-load", "params": grown_from("models:/parent/1")})
    chain.records["pretrain-load"] = loaded
    told = f"1 of 3 images, through models:/elder/1: {'2' * 12}"
    assert find_leakage(store, chain, IMAGES, 1, into) == Leakage(seen=told)
    assert find_leakage(store, chain, [IMAGES[0], IMAGES[2]], 1, into) == Leakage()


def test_an_ancestor_that_does_not_tell_what_it_saw_is_no_ancestor_that_saw_nothing(store, tmp_path):
    register_trained(store, tmp_path, "told", {"train": ["2" * 64], "val": []}, {})
    registry.add_version(store, "untold", str(tmp_path), {mlflow_store.MODEL_DIGEST: "0"}, "")
    rows = [("test", image.image, image.phash) for image in IMAGES]
    chain = published(store, tmp_path, {"train": ["7" * 64], "val": []}, rows)
    chain.records["pretrain-load"] = Record.from_content(
        {"stage": "pretrain-load", "params": grown_from("models:/untold/1")}
    )
    into = tmp_path / "into"
    into.mkdir()
    found = find_leakage(store, chain, IMAGES, 1, into)
    assert found == Leakage(seen=f"not known, through models:/untold/1: the server does not hold {SEEN}")
    teacher = {"fine_tune": {"strategy": {"name": "distil", "teacher": [{"model": "models:/told/1", "sha256": "0"}]}}}
    tuned = chain.records["fine-tune"]
    chain.records["fine-tune"] = Record.from_content({"stage": "fine-tune", "files": tuned.files, "params": teacher})
    found = find_leakage(store, chain, IMAGES, 1, into)
    assert found == Leakage(seen=f"1 of 3 images, through models:/told/1: {'2' * 12}")


def test_a_version_that_lacks_frozen_images_is_refused(store, tmp_path):
    rows = [("test", image.image, image.phash) for image in IMAGES[:2]] + [("train", IMAGES[2].image, IMAGES[2].phash)]
    chain = published(store, tmp_path, {"train": [], "val": []}, rows)
    (tmp_path / "into").mkdir()
    gathering = Gathering(store, SimpleNamespace(name="m", version="1"), [], SimpleNamespace(), tmp_path / "into")
    with pytest.raises(GraftError, match=r"lacks 1 of the 3 images of test set 1"):
        gathering.refuse_fewer(chain, ("road", "sky"), stated(), IMAGES)
    gathering.refuse_fewer(chain, ("road", "sky"), stated(IMAGES[:2]), IMAGES[:2])


@pytest.mark.parametrize(("split", "is_refused"), [("test", False), ("val", True)])
def test_val_never_promotes(split, is_refused):
    record = Record.from_content({"stage": "export", "params": {"evaluate": {"split": split}}})
    chain = RecordChain({"export": record})
    if not is_refused:
        assert scored_split(chain) == "test"
        return
    with pytest.raises(GraftError, match="scored on val, which chose its best epoch"):
        scored_split(chain)
