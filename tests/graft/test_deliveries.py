"""Instances of ingest in records, seals and lineage, and what is refused or removed of deliveries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graft.cli.stage_run import remove_unlisted, runtime_of
from graft.foundation.content import digest_of_listing, write_json
from graft.foundation.errors import GraftError
from graft.params.params_file import load_params
from graft.params.recipes import ROOT, compose
from graft.params.registries import expand_sections
from graft.params.yaml_tree import write_tree
from graft.provenance.audit.dvc_lock import check_lock
from graft.provenance.deliveries import class_map_of, file_beside, front_of, ingest_section, refuse_other_order
from graft.provenance.dvc_cache import facts_in_workspace
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.recall import who_saw
from graft.provenance.lineage.walk import chain_of
from graft.provenance.promotion.commit_check import compare_params
from graft.provenance.records import Record
from graft.provenance.seal import read_declaration
from graft.provenance.stages import instance_of, recorded_stages
from tests.synthetic_lineage import sha

REPOSITORY = Path(__file__).resolve().parents[2]
FOG = {"root": "raw/fog", "source": {"name": "image_folder"}}
LATER = instance_of("fog")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with params of two deliveries."""
    monkeypatch.chdir(tmp_path)
    tree = compose(ROOT)
    tree["ingest"]["deliveries"] = {"fog": FOG}
    write_tree(tmp_path / "params.yaml", tree)
    return tmp_path


def record(stage: str, inputs: dict[str, str], files: dict[str, str], **more: Any) -> Record:
    """A record that wrote these files, each into the folder of its first two names, or three of a delivery."""
    inside: dict[str, dict[str, str]] = {}
    for path, digest in files.items():
        depth = 3 if path.startswith("data/deliveries") else 2
        folder = "/".join(path.split("/")[:depth])
        inside.setdefault(folder, {})[path.removeprefix(f"{folder}/")] = digest
    content: dict[str, Any] = {"stage": stage, "inputs": inputs, "files": files, "fingerprint": sha(stage)}
    content |= {"params": {}, "code": {}, "environment": {}, "metrics": {}, "git": {}}
    return Record.from_content(content | {"outputs": {f: digest_of_listing(i) for f, i in inside.items()}} | more)


def test_pretrain_load_uses_the_runtime_only_where_it_learns(project):
    params = load_params()
    for stage, images, expected in [
        ("pretrain-load", "none", None),
        ("pretrain-load", "train", params.runtime),
        ("fine-tune", "none", params.runtime),
        ("validate", "none", None),
    ]:
        chosen = params.model_copy(update={"pretrain_load": params.pretrain_load.model_copy(update={"images": images})})
        assert runtime_of(read_declaration(stage, chosen, REPOSITORY / "dvc.yaml"), chosen) == expected


def test_an_instance_reads_its_own_root_and_validate_what_params_list(project):
    params = load_params()
    declared = read_declaration(LATER, params, REPOSITORY / "dvc.yaml")
    assert (declared.inputs, declared.outputs) == (("raw/fog",), ("data/deliveries/fog",))
    assert declared.record == Path("reports/records/ingest-fog.json")
    assert declared.params == ("task", "ingest.deliveries.fog", "ingest.split_seed", "ingest.max_pixels")
    together = read_declaration("validate", params, REPOSITORY / "dvc.yaml")
    assert together.inputs == ("data/deliveries/first", "data/deliveries/fog")
    assert (params.ingest.of("fog").batch, params.ingest.of("fog").root) == ("fog", "raw/fog")


def test_the_params_of_an_instance_are_its_own_with_all_options(project):
    stated = expand_sections(load_params(), ("task", "ingest.deliveries.fog", "ingest.split_seed"))
    assert stated["ingest.deliveries.fog"]["source"]["val_fraction"] > 0  # an option that the file leaves out
    assert compare_params(Path("params.yaml").read_bytes(), stated) == []
    changed = {**stated, "ingest.deliveries.fog": {**stated["ingest.deliveries.fog"], "root": "raw/rain"}}
    assert compare_params(Path("params.yaml").read_bytes(), changed) == ["ingest.deliveries.fog.root"]


def test_a_record_of_any_release_says_what_it_read():
    old = record("ingest", {}, {"data/interim/manifest.parquet": "a"}, params={"ingest": {"batch": "b", "root": "r"}})
    first = record("ingest", {}, {"data/deliveries/b/train/x": "a"}, params={"ingest.batch": "b", "ingest.root": "r"})
    later = record(LATER, {}, {"data/deliveries/fog/train/x": "a"}, params={"ingest.deliveries.fog": FOG})
    assert ingest_section(old) == ingest_section(first) == {"batch": "b", "root": "r"}
    assert (ingest_section(later)["batch"], ingest_section(later)["root"]) == ("fog", "raw/fog")
    assert [front_of(each) for each in (old, first, later)] == ["", "", "fog/"]
    assert file_beside(old) == "data/interim/manifest.parquet"
    assert class_map_of(later) == "data/deliveries/fog/class_map.json"
    assert file_beside(record("validate", {}, {"reports/validation/validation.json": "a"})) is None
    assert file_beside(record("validate", {}, {"data/interim/x": "a"})) == "data/interim/manifest.parquet"


def test_the_lock_file_is_compared_by_the_names_that_dvc_uses(project):
    Path("dvc.yaml").write_bytes((REPOSITORY / "dvc.yaml").read_bytes())
    Path("data/deliveries/fog").mkdir(parents=True)
    Path("data/deliveries/fog/x").write_text("x")
    stated = {"ingest.deliveries.fog": {**FOG, "source": {"name": "image_folder"}}}
    made = record(LATER, {}, {"data/deliveries/fog/x": sha("x")}, params=stated)
    Path("reports/records").mkdir(parents=True)
    Path("reports/records/ingest-fog.json").write_bytes(made.as_bytes())
    paths = ("data/deliveries/fog", "reports/records/ingest-fog.json")
    outs = [{"path": path, "hash": "md5", **(facts_in_workspace(Path(path)) or {})} for path in paths]
    command = "graft ingest --delivery fog --root 'raw/fog' --out data/deliveries/fog"
    entry = {"cmd": command, "deps": [], "params": {"params.yaml": stated}, "outs": outs}

    def told(entry: dict[str, Any], name: str = LATER) -> list[str]:
        Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {name: entry}}))
        pipeline = (REPOSITORY / "dvc.yaml").read_text("utf-8")
        return [f"{link.what}: {link.reason}" for link in check_lock([made], lambda _: pipeline)]

    assert told(entry)[-1] == f"dvc.lock, {LATER}, cmd: as dvc.yaml has it"
    assert "is not the command" in told({**entry, "cmd": command.replace("raw/fog", "raw/rain")})[-1]
    assert "names ingest-elsewhere@fog, which is no stage" in told(entry, "ingest-elsewhere@fog")[0]


def test_lineage_knows_the_deliveries_of_a_model(tmp_path):
    """A model of two deliveries: both folders of raw files, and an image by the name of the second."""
    index = Index(tmp_path / "index.sqlite")
    parts = {"first": ("ingest", "raw/first"), "fog": (LATER, "raw/fog")}
    made: dict[str, str] = {}
    for name, (stage, root) in parts.items():
        stated = {"ingest.batch": name} if stage == "ingest" else {"ingest.deliveries.fog": FOG}
        one = record(stage, {root: sha(root)}, {f"data/deliveries/{name}/test/x": sha(name)}, params=stated)
        made |= one.outputs
        digest = index.add_record(one.as_bytes())
        index.add_samples(digest, [(f"{name}/a.png", name, sha("image", name))])
    together = record("validate", made, {"data/interim/test/x": sha("test"), "data/interim/train/x": sha("train")})
    index.add_splits(index.add_record(together.as_bytes()), {"test": [sha("image", name) for name in parts]})
    read = {path: together.produced()[path] for path in ("data/interim/train", "data/interim/test")}
    tuned = record("fine-tune", {"data/interim/train": read["data/interim/train"]}, {"models/fine_tuned/w": sha("w")})
    index.add_seen(index.add_record(tuned.as_bytes()), {"train": [sha("other")]})
    inputs = {**tuned.outputs, "data/interim/test": read["data/interim/test"]}
    export = record("export", inputs, {"models/exported/model.onnx": sha("m")})
    version = {"name": "m", "number": 1, "record": index.add_record(export.as_bytes()), "run": "r", "aliases": []}
    index.replace_versions([version | {"model": export.outputs["models/exported"]}])
    steps = chain_of(index, "models:/m/1").steps.values()
    assert [step.stage for step in steps].count("raw") == 2
    assert {step.facts["delivery"] for step in steps if step.stage == "raw"} == {"first", "fog"}
    assert {step.kind for step in steps} == {"export", "fine-tune", "validate", "ingest", "raw"}
    assert [saw.how for saw in who_saw(index, "fog").saw] == ["scored on"]
    assert [saw.how for saw in who_saw(index, "fog/a.png").saw] == ["scored on"]


def test_what_params_no_longer_list_is_removed(project, capsys):
    for name in ("first", "fog", "gone"):
        (project / "data/deliveries" / name).mkdir(parents=True)
    for name in ("ingest", "ingest-fog", "ingest-gone", "validate"):
        write_json_at(project / f"reports/records/{name}.json")
    assert recorded_stages() == ["ingest", LATER, instance_of("gone"), "validate"]
    remove_unlisted()
    assert sorted(path.name for path in (project / "data/deliveries").iterdir()) == ["first", "fog"]
    assert recorded_stages() == ["ingest", LATER, "validate"]
    assert "Removed data/deliveries/gone: params.yaml lists no delivery of this name" in capsys.readouterr().err


def write_json_at(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {})


def test_another_order_than_that_of_the_data_is_refused(project):
    refuse_other_order(["first", "a", "b"])  # nothing was put together yet
    Path("reports/validation").mkdir(parents=True)
    write_json(Path("reports/validation/validation.json"), {"deliveries": ["first", "a", "b"]})
    refuse_other_order(["first", "a", "b"])
    refuse_other_order(["first", "b", "a", "c"])  # DVC sees that one came
    with pytest.raises(GraftError, match=r"order was a, b when.*dvc repro --force --single-item validate"):
        refuse_other_order(["first", "b", "a"])
