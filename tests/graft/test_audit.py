"""What audit compares: DVC's digests, git's objects, params as written and as recorded, levels of a rebuild."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow.store.entities import PagedList
from safetensors.numpy import save_file

from graft import tracking
from graft.audit.cached import md5_in_workspace, outs_of_lock
from graft.audit.commits import Damaged, Objects, differences
from graft.audit.links import BROKEN, MISSING, VERIFIED, Checked, as_text, compared, compared_files, worst
from graft.audit.operations import WHAT, judged
from graft.audit.rebuilding import WEIGHTS, _bring_raw, levels, offered, own_records, place_for_checkout
from graft.audit.server import check_runs, check_versions
from graft.digests import digest_of, digest_of_listing
from graft.errors import GraftError
from graft.lineage.walking import Chain, Step, chain_of
from graft.sample import sha256_of
from tests.synthetic_lineage import NAME, add, fill, sha


def test_a_value_is_verified_missing_or_broken():
    assert compared("x", "a", "a", "the record").status == VERIFIED
    assert compared("x", "a", None, "the record").status == MISSING
    assert compared("x", "a", "b", "the record") == Checked(BROKEN, "x", "is b, but the record says a")
    files = {"one": "1", "two": "2"}
    found = compared_files("folder", files, {"one": "9", "three": "3"}, "workspace")
    assert found.status == BROKEN
    assert found.reason == "one was changed, two is gone, three was added (workspace)"
    assert compared_files("folder", files, {}, "workspace").status == MISSING
    links = [found, compared("x", "a", "a", "it")]
    assert worst(links) == BROKEN
    assert as_text(links).endswith("2 links: 1 verified, 0 missing, 1 broken")


def test_a_folder_gets_the_md5_that_dvc_gives_it(tmp_path):
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    for name in ("b.txt", "a/z.txt", "a.b/c.txt", "a/ü.txt"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text(name)
    files = LocalFileSystem()
    database = LocalHashFileDB(files, str(tmp_path / "cache"))
    _, _, built = build(database, str(tmp_path / "folder"), files, "md5", dry_run=True)
    assert md5_in_workspace(tmp_path / "folder") == built.hash_info.value
    assert md5_in_workspace(tmp_path / "nothing") is None


def test_a_damaged_lock_file_has_no_outputs():
    assert outs_of_lock("stages: [") == {}
    text = "stages:\n  a:\n    outs:\n    - path: p\n      md5: 12\n"
    assert outs_of_lock(text) == {"a": {"p": "12"}}


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/code.py").write_text("answer = 42\n")
    (tmp_path / "params.yaml").write_text("seed: 7\nmodel: unet\nfine_tune:\n  optimizer: {name: adam}\n")
    git("init", "-q")
    git("add", "-A")
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "one")
    return tmp_path


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def record(**changes) -> dict:
    params = {
        "seed": 7,
        "model": {"name": "unet", "depth": 4},
        "fine_tune": {"optimizer": {"name": "adam", "beta1": 0.9}},
    }
    whole = {"code": {"src": digest_of(Path("src"))}, "params": params, "environment": {"lock": None}}
    return whole | changes


def test_code_and_params_are_found_in_the_commit(repository):
    commit, objects = git("rev-parse", "HEAD"), Objects()
    assert differences(objects, commit, record()) == []
    assert differences(objects, commit, record(code={"src": "0" * 64, "gone.py": "1"})) == ["src", "gone.py"]
    assert differences(objects, commit, record(params={"seed": 8})) == ["params.yaml (seed)"]
    assert differences(objects, commit, record(params={"model": {"name": "fpn"}})) == ["params.yaml (model)"]
    assert differences(objects, commit, record(environment={"lock": "0"})) == ["requirements.lock"]
    objects.close()


@pytest.mark.parametrize("text", ["", "- a list\n", "seed: [\n"])
def test_params_that_are_none_are_not_those_of_a_record(text, repository):
    Path("params.yaml").write_text(text)
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-a", "-m", "two")
    objects = Objects()
    assert differences(objects, git("rev-parse", "HEAD"), record(params={"seed": 7})) == ["params.yaml (seed)"]
    objects.close()


@pytest.mark.parametrize("packed", [True, False])
def test_an_object_of_git_that_was_changed_is_named(packed, repository):
    name = git("rev-parse", "HEAD:params.yaml")
    path = repository / ".git/objects" / name[:2] / name[2:]
    data = zlib.decompress(path.read_bytes()).replace(b"unet", b"Unet")
    path.chmod(0o644)
    path.write_bytes(zlib.compress(data) if packed else path.read_bytes()[:-3])
    objects = Objects()
    with pytest.raises(Damaged, match="was changed" if packed else "cannot be"):
        differences(objects, git("rev-parse", "HEAD"), record())
    objects.close()


def made(root: Path, value: float, metric: float) -> dict:
    path = root / WEIGHTS
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": np.array([1.0, value], np.float32)}, path)
    outputs = {"models/fine_tuned": "the folder"}
    record = {"stage": "fine-tune", "files": {WEIGHTS: sha256_of(path)}, "outputs": outputs}
    return {"fine-tune": record | {"metrics": {"score": metric}}}


def test_a_rebuild_is_bitwise_numerical_or_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    subprocess.run([Path(sys.executable).with_name("dvc"), "init", "-q"], check=True, capture_output=True)
    first = made(Path(), 2.0, 0.5)
    checkout = tmp_path / "checkout"
    assert "bitwise" in list(levels(first, made(checkout, 2.0, 0.5), checkout))[-1].reason
    near = list(levels(first, made(checkout, 2.25, 0.625), checkout))
    assert near[0].status == MISSING
    assert (near[1].what, near[1].status) == (WHAT, MISSING)
    assert "a step could not be repeated" in near[1].reason  # there is nothing but weights in that folder
    assert near[-1].status == VERIFIED
    assert "a weight is 2.50e-01, of a metric 1.25e-01" in near[-1].reason
    Path(WEIGHTS).unlink()
    assert list(levels(first, made(checkout, 2.25, 0.5), checkout))[-1].status == BROKEN


def test_operations_that_do_not_repeat_are_named():
    repeats = "all 2,000 of a training step repeat here: another machine, not chance"
    assert judged(2000, {}, []) == Checked(VERIFIED, WHAT, repeats)
    found = judged(2000, {"aten::index_add_": 3}, ["scatter_add_cuda_kernel"])
    assert found.status == MISSING
    assert "aten::index_add_ gave other bits for the same values (3 calls)" in found.reason
    assert "torch has no deterministic scatter_add_cuda_kernel" in found.reason


def test_what_this_machine_cannot_offer_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.lock").write_text("here\n")
    then = {
        "device": "NVIDIA Z",
        "driver": "1.2",
        "num_threads": 10_000,
        "lock": "0" * 64,
        "python": "2.7",
        "system": "?",
    }
    made_with = {"fine-tune": {"environment": then, "params": {"runtime": {"deterministic": False}}}}
    (found,) = offered(made_with)
    assert found.status == MISSING
    for word in (
        "python 2.7",
        "lock 0000",
        "device NVIDIA Z",
        "driver 1.2",
        "10000 threads",
        "deterministic was false",
    ):
        assert word in found.reason
    made_with["fine-tune"] = {"environment": {"device": "cpu", "num_threads": 1}, "params": {}}
    assert list(offered(made_with)) == []


def test_a_rebuild_is_of_the_model_and_not_of_the_one_it_grew_from(tmp_path):
    index = fill(tmp_path / "i.sqlite", 5, 1)
    add(index, "ingest", 2, {"data/raw": sha("raw", 2)}, "data/interim/train/a.parquet")
    interim = {"data/interim/train": digest_of_listing({"a.parquet": sha("ingest", 2)})}
    views = index.record(add(index, "augment", 2, interim, "data/augmented/images.npy"))["outputs"]
    loaded = add(index, "pretrain-load", 2, {}, "models/pretrained/weights.safetensors")
    index.add_card(loaded, {"name": "file", "sha256": sha("fine-tune", 1)})
    read = views | index.record(loaded)["outputs"]
    tuned = index.record(add(index, "fine-tune", 2, read, "models/fine_tuned/model.safetensors"))["outputs"]
    export = add(index, "export", 2, tuned, "models/exported/model.onnx")
    model = index.record(export)["outputs"]["models/exported"]
    version = {"name": NAME, "number": 2, "record": export, "model": model, "run": "r", "aliases": []}
    index.replace_versions([*index.versions(), version])
    records = own_records(index, chain_of(index, f"models:/{NAME}/2"))
    assert list(records) == ["ingest", "augment", "pretrain-load", "fine-tune", "export"]
    assert all(record["fingerprint"] == sha(stage, 2, "fingerprint") for stage, record in records.items())
    index.close()


def test_raw_files_above_the_repository_stay_inside_the_folder_of_a_rebuild(tmp_path, monkeypatch):
    for name in ("team/project", "elsewhere/rebuild", "elsewhere/photos", "photos"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "photos/one.png").write_bytes(b"one")
    monkeypatch.chdir(tmp_path / "team/project")
    ingest = {"inputs": {"../../photos": digest_of(Path("../../photos"))}}
    folder = tmp_path / "elsewhere/rebuild"
    checkout = place_for_checkout(folder, ingest)
    checkout.mkdir()
    _bring_raw(ingest, checkout)
    assert (checkout / "../../photos/one.png").resolve().is_relative_to(folder)
    assert (checkout / "../../photos/one.png").read_bytes() == b"one"
    assert list((tmp_path / "elsewhere/photos").iterdir()) == []
    assert place_for_checkout(folder, {"inputs": {"data/raw": ""}}) == folder / "checkout"


def test_a_version_is_compared_with_the_record_it_was_registered_from(tmp_path, monkeypatch):
    def gone(*_: object) -> Path:
        raise GraftError("gone")

    index = fill(tmp_path / "i.sqlite", 5, 1)
    monkeypatch.setattr("graft.model_versions.download_version", gone)
    (version,) = index.versions()
    first = index.record(version["record"])
    commit = {"commit": "1" * 40, "holds_code_and_params": True}
    again = index.add_record(json.dumps(first | {"git": commit}).encode())  # the same files, made at another commit
    tags = {"graft.model_digest": version["model"], "graft.record": version["record"]}
    tags |= {"graft.fingerprint": first["fingerprint"], "mlflow.source.git.commit": "0" * 40}
    versions = PagedList([SimpleNamespace(tags=tags, version="1")], None)
    client = SimpleNamespace(get_model_version=lambda *_: versions[0], search_model_versions=lambda *_, **__: versions)
    chain = Chain(version["model"], (version,), {again: Step(again, "export", {})})
    *links, _ = check_versions(index, chain, client, [NAME])
    assert {link.status for link in links} == {VERIFIED}
    tags["graft.record"] = again
    assert BROKEN in {link.status for link in check_versions(index, chain, client, [NAME])}

    unregistered = Chain(version["model"], (), {again: Step(again, "export", {})})
    tags["graft.record"], tags["graft.model_digest"] = version["record"], sha("another model")
    (wrong,) = [
        link for link in check_versions(index, unregistered, client, [NAME]) if "graft.model_digest" in link.what
    ]
    assert wrong.status == BROKEN
    del tags["graft.model_digest"]
    (wrong,) = [
        link for link in check_versions(index, unregistered, client, [NAME]) if "graft.model_digest" in link.what
    ]
    assert (wrong.status, wrong.reason.partition(",")[0]) == (BROKEN, "is nothing")
    tags["graft.record"] = sha("another record")
    assert [link.status for link in check_versions(index, unregistered, client, [NAME])] == [MISSING]
    index.close()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_the_params_of_a_run_are_compared_with_the_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    index = fill(tmp_path / "i.sqlite", 5, 1)
    key = index.records("augment")[0]
    chain = Chain("", (), {key: Step(key, "augment", {})})
    client = tracking.client()

    def found(params: dict[str, str]) -> Checked:
        run = tracking.create_run(client, "augment", {tracking.RECORD: key})
        tracking.log_params(client, run.info.run_id, params)
        (link,) = [link for link in check_runs(index, chain, client) if link.what.endswith("params")]
        client.delete_run(run.info.run_id)
        return link

    assert found({"ingest.batch": "delivery0", "added by a person": "1"}).status == VERIFIED
    wrong = found({"ingest.batch": "delivery1"})
    assert (wrong.status, wrong.reason) == (BROKEN, "not what the record says: ingest.batch")
    assert found({}).status == BROKEN
    index.close()
