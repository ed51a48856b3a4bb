"""What audit compares: DVC's digests, git's objects, params as written and as recorded, levels of a rebuild."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mlflow.store.entities import PagedList
from safetensors.numpy import save_file

from graft.foundation.content import digest_of, digest_of_listing, listing, sha256_of
from graft.foundation.errors import GraftError
from graft.provenance.audit import remedies
from graft.provenance.audit.agreement import LARGEST_SCORE_DIFFERENCE, compare_machines, compare_rebuild
from graft.provenance.audit.commits import DamagedObjectError, Objects, differences
from graft.provenance.audit.link import (
    BROKEN,
    MISSING,
    VERIFIED,
    Check,
    as_text,
    compare,
    compare_files,
    of_kind,
    worst,
)
from graft.provenance.audit.operations import WHAT, describe_repetition, watch_operations
from graft.provenance.audit.raw_files import check_raw
from graft.provenance.audit.rebuild import (
    bring,
    commit_of,
    environment_of_rebuild,
    place_for_checkout,
    read_from_outside,
    rebuild_model,
)
from graft.provenance.audit.record_files import check_sources
from graft.provenance.audit.server import check_runs, check_versions
from graft.provenance.dvc_cache import md5_in_workspace, outs_of_lock
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain, Link, Step, chain_of, chain_to, own_records
from graft.provenance.records import Record
from graft.provenance.stages import WEIGHTS
from graft.provenance.tracking import mlflow_store, runs
from tests.formats_layouts.pictures import run_ingest, stripes, write_image, write_mask
from tests.installed_package import MANIFEST, described_weights, install
from tests.synthetic_lineage import NAME, add, fill, sha


def test_a_value_is_verified_missing_or_broken():
    assert compare("x", "a", "a", "the record").status == VERIFIED
    assert compare("x", "a", None, "the record").status == MISSING
    assert compare("x", "a", "b", "the record") == Check(BROKEN, "x", "is b, but the record says a")
    files = {"one": "1", "two": "2"}
    found = compare_files("folder", files, {"one": "9", "three": "3"}, "workspace")
    assert found.status == BROKEN
    assert found.reason == "one was changed, two is gone, three was added (workspace)"
    assert compare_files("folder", files, {}, "workspace").status == MISSING
    links = [found, compare("x", "a", "a", "it")]
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


def record(**changes) -> Record:
    params = {
        "seed": 7,
        "model": {"name": "unet", "depth": 4},
        "fine_tune": {"optimizer": {"name": "adam", "beta1": 0.9}},
    }
    whole = {"code": {"src": digest_of(Path("src"))}, "params": params, "environment": {"lock": None}}
    return Record.from_content({"stage": "ingest", **whole, **changes})


def test_code_and_params_are_found_in_the_commit(repository):
    commit, objects = git("rev-parse", "HEAD"), Objects()
    assert differences(objects, commit, record()) == []
    assert differences(objects, commit, record(code={"src": "0" * 64, "gone.py": "1"})) == ["src", "gone.py"]
    assert differences(objects, commit, record(params={"seed": 8})) == ["params.yaml (seed)"]
    assert differences(objects, commit, record(params={"model": {"name": "fpn"}})) == ["params.yaml (model)"]
    single = "fine_tune.optimizer"  # as a stage that reads one value of a section records it
    assert differences(objects, commit, record(params={single: {"name": "adam"}})) == []
    assert differences(objects, commit, record(params={single: {"name": "sgd"}})) == [f"params.yaml ({single})"]
    assert differences(objects, commit, record(environment={"lock": "0"})) == ["requirements.lock"]
    extra = {"requirements/weights.lock": "0"}
    assert differences(objects, commit, record(environment={"extra_locks": extra})) == list(extra)
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
    with pytest.raises(DamagedObjectError, match="was changed" if packed else "cannot be"):
        differences(objects, git("rev-parse", "HEAD"), record())
    objects.close()


def made(root: Path, value: float, score: float, onnx: str = "onnx", **changes) -> dict:
    """Records of three stages; the weights of fine-tune are written below `root`."""
    path = root / WEIGHTS
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": np.array([1.0, value], np.float32)}, path)
    weights, about = sha256_of(path), {"environment": {}, "params": {}, "metrics": {}} | changes
    tuned = {"models/fine_tuned": weights}
    parts = {
        "fine-tune": {"inputs": {"views": "v"}, "files": {WEIGHTS: weights}, "outputs": tuned},
        "evaluate": {"inputs": tuned, "files": {"metrics.json": f"{score} {weights}"}, "metrics": {"mean_iou": score}},
        "export": {"inputs": tuned, "files": {"models/exported/model.onnx": f"{onnx} {weights}"}},
    }
    return {stage: Record.from_content({"stage": stage, **about, **part}) for stage, part in parts.items()}


@pytest.fixture
def with_dvc(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    subprocess.run([Path(sys.executable).with_name("dvc"), "init", "-q"], check=True, capture_output=True)
    return tmp_path


def test_a_rebuild_is_bitwise_numerical_or_not(with_dvc):
    first, checkout = made(Path(), 2.0, 0.5), with_dvc / "checkout"
    assert "bitwise" in list(compare_rebuild(first, made(checkout, 2.0, 0.5), checkout))[-1].reason
    near = list(compare_rebuild(first, made(checkout, 2.25, 0.515625), checkout))
    assert [link.status for link in near] == [MISSING] * 4 + [VERIFIED]
    assert (near[-2].what, near[-2].status) == (WHAT, MISSING)  # there is nothing but weights in that folder
    assert (
        "numerical: the largest difference of a weight is 2.50e-01, of a score 1.56e-02 (mean_iou)" in near[-1].reason
    )
    far = list(compare_rebuild(first, made(checkout, 2.25, 0.5 + 2 * LARGEST_SCORE_DIFFERENCE), checkout))[-1]
    assert (far.status, far.what) == (BROKEN, "rebuild")
    assert "not: fine-tune differs, mean_iou was 0.5000 and is 0.5400; 0.02 is allowed" in far.reason
    Path(WEIGHTS).unlink()
    lost = list(compare_rebuild(first, made(checkout, 2.25, 0.5), checkout))[-1]
    assert (lost.status, "cannot be compared value by value" in lost.reason) == (MISSING, True)


def test_an_exported_file_that_export_does_not_give_again_is_broken(with_dvc):
    checkout = with_dvc / "checkout"
    again = made(checkout, 2.0, 0.5)
    found = list(compare_rebuild(made(Path(), 2.0, 0.5, "forged"), again, checkout))
    assert [link.status for link in found] == [VERIFIED, VERIFIED, MISSING, BROKEN]
    assert found[-1].reason.startswith("not: export gives other bytes of models/exported/model.onnx")
    elsewhere = made(Path(), 2.0, 0.5, "forged", environment={"python": "2.7"})
    missing = list(compare_rebuild(elsewhere, again, checkout))[-1]
    assert (missing.status, missing.what) == (MISSING, "rebuild")
    assert "not offered here: python 2.7" in missing.reason


@pytest.mark.parametrize("file", ["models/fine_tuned/spec.json", "reports/fine_tuning/curves.csv"])
def test_what_fine_tune_writes_beside_equal_weights_is_no_numerical_difference(file, with_dvc):
    checkout = with_dvc / "checkout"
    first, again = made(Path(), 2.0, 0.5), made(checkout, 2.0, 0.5)
    for records, digest in ((first, "1"), (again, "2")):
        content = records["fine-tune"].content
        changed = {**content, "files": {**content["files"], file: digest}}
        records["fine-tune"] = Record.from_content(changed)
    assert list(compare_rebuild(first, again, checkout))[-1].status == BROKEN


def test_a_rebuild_that_cannot_run_is_a_link_after_what_was_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    index = fill(tmp_path / "i.sqlite", 5, 1)
    found = list(rebuild_model(index, chain_of(index, f"models:/{NAME}/1")))
    index.close()
    assert [link.what for link in found[:-1]] == [
        f"machine of {stage}" for stage in ("ingest", "augment", "fine-tune", "export")
    ]
    assert (found[-1].status, found[-1].what) == (MISSING, "rebuild")
    assert "could not be run: no record of validate, pretrain-load, evaluate" in found[-1].reason


def test_the_commit_of_a_rebuild_is_any_reachable_one_that_holds_everything(repository):
    gone = "0" * 40
    commits = {"ingest": {"commit": gone}, "augment": {"commit": None}}
    records = {stage: record(stage=stage, git=git_state) for stage, git_state in commits.items()}
    assert commit_of(records) == git("rev-parse", "HEAD")
    records["augment"] = record(code={"src": "0" * 64}, git={"commit": git("rev-parse", "HEAD")})
    with pytest.raises(GraftError, match="no commit holds all") as refused:
        commit_of(records)
    assert "object 000000000000 cannot be read" in str(refused.value)
    assert "holds other code or params of augment" in str(refused.value)


def test_a_rebuild_reads_the_store_of_this_project_without_publishing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///ours.db")
    found = environment_of_rebuild()
    assert found["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/ours.db"
    assert found["GRAFT_TRACKING"] == "off"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert environment_of_rebuild()["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"


def test_operations_that_do_not_repeat_are_named():
    repeats = "all 2,000 operations of a training step gave the same bits three times here"
    assert describe_repetition(2000, {}, []) == Check(VERIFIED, WHAT, repeats)
    found = describe_repetition(2000, {"aten::index_add_": 3}, ["scatter_add_cuda_kernel"])
    assert found.status == MISSING
    assert "aten::index_add_ gave other bits for the same values (3 calls)" in found.reason
    assert "torch has no deterministic scatter_add_cuda_kernel" in found.reason


@pytest.mark.parametrize("place", ["provenance/audit", "audit"])
def test_the_operations_are_those_of_the_code_that_was_checked_out(tmp_path, place):
    assert "the code of the recorded commit cannot do that yet" in watch_operations(tmp_path).reason
    code = tmp_path / "src/graft" / place / "operations.py"
    code.parent.mkdir(parents=True)
    for folder in (parent for parent in code.parents if parent.is_relative_to(tmp_path / "src/graft")):
        (folder / "__init__.py").write_text("")
    code.write_text("""print('{"num_calls": 3, "differing": {}, "declared": []}')""")
    assert (
        watch_operations(tmp_path).reason == "all 3 operations of a training step gave the same bits three times here"
    )


def test_an_accelerator_of_apple_is_offered_where_there_is_one(monkeypatch):
    import torch

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert list(compare_machines({"fine-tune": record(environment={"device": "mps"}, params={})})) == []


def test_what_this_machine_cannot_offer_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.lock").write_text("here\n")
    then = {
        "device": "NVIDIA Z",
        "driver": "1.2",
        "num_threads": 10_000,
        "lock": "0" * 64,
        "extra_locks": {"requirements/weights.lock": "1" * 64},
        "python": "2.7",
        "system": "?",
    }
    made_with = {"fine-tune": record(environment=then, params={"runtime": {"deterministic": False}})}
    (found,) = compare_machines(made_with)
    assert found.status == MISSING
    for word in (
        "python 2.7",
        "requirements.lock 0000",
        "requirements/weights.lock 1111",
        "device NVIDIA Z",
        "driver 1.2",
        "10000 threads",
        "deterministic was false",
    ):
        assert word in found.reason
    made_with["fine-tune"] = record(environment={"device": "cpu", "num_threads": 1}, params={})
    assert list(compare_machines(made_with)) == []


def test_a_rebuild_is_of_the_model_and_not_of_the_one_it_grew_from(tmp_path):
    index = fill(tmp_path / "i.sqlite", 5, 1)
    add(index, "ingest", 2, {"data/raw": sha("raw", 2)}, "data/interim/train/a.parquet")
    interim = {"data/interim/train": digest_of_listing({"a.parquet": sha("ingest", 2)})}
    views = index.record(add(index, "augment", 2, interim, "data/augmented/images.npy")).outputs
    loaded = add(index, "pretrain-load", 2, {}, "models/pretrained/weights.safetensors")
    index.add_card(loaded, {"name": "file", "sha256": sha("fine-tune", 1)})
    read = {**views, **index.record(loaded).outputs}
    tuned = index.record(add(index, "fine-tune", 2, read, "models/fine_tuned/model.safetensors")).outputs
    export = add(index, "export", 2, tuned, "models/exported/model.onnx")
    model = index.record(export).outputs["models/exported"]
    version = {"name": NAME, "number": 2, "record": export, "model": model, "run": "r", "aliases": []}
    index.replace_versions([*index.versions(), version])
    records = own_records(index, chain_of(index, f"models:/{NAME}/2"))
    assert list(records) == ["ingest", "augment", "pretrain-load", "fine-tune", "export"]
    assert all(record.fingerprint == sha(stage, 2, "fingerprint") for stage, record in records.items())
    index.close()


def test_raw_files_above_the_repository_stay_inside_the_folder_of_a_rebuild(tmp_path, monkeypatch):
    for name in ("team/project", "elsewhere/rebuild", "elsewhere/photos", "photos"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "photos/one.png").write_bytes(b"one")
    monkeypatch.chdir(tmp_path / "team/project")
    paths = {"../../photos": digest_of(Path("../../photos"))}
    folder = tmp_path / "elsewhere/rebuild"
    checkout = place_for_checkout(folder, paths)
    checkout.mkdir()
    bring(paths, checkout)
    assert (checkout / "../../photos/one.png").resolve().is_relative_to(folder)
    assert (checkout / "../../photos/one.png").read_bytes() == b"one"
    assert list((tmp_path / "elsewhere/photos").iterdir()) == []
    assert place_for_checkout(folder, {"data/raw": ""}) == folder / "checkout"


def test_a_file_of_weights_is_brought_to_a_rebuild_if_it_is_still_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights, checkout = Path("zoo/ours.safetensors"), tmp_path / "checkout"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    source = {"name": "file", "path": str(weights), "sha256": sha256_of(weights).upper()}
    records = {"ingest": record(), "pretrain-load": record(params={"pretrain_load": {"source": source}})}
    checkout.mkdir()
    bring(read_from_outside(records), checkout)
    assert (checkout / weights).read_bytes() == b"weights"
    weights.write_bytes(b"another")
    (checkout / weights).unlink()
    with pytest.raises(GraftError, match="not what the model was made from"):
        bring(read_from_outside(records), checkout)


def test_the_file_of_a_teacher_is_brought_to_a_rebuild_unless_it_is_registered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = Path("big/model.safetensors")
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    teachers = [{"model": "big", "sha256": sha256_of(weights)}, {"model": "models:/streets/3", "sha256": "0" * 64}]
    tuned = {"fine_tune": {"strategy": {"name": "distil", "teacher": teachers}}}
    records = {
        "pretrain-load": record(params={"pretrain_load": {"source": {"name": "none"}}}),
        "fine-tune": record(stage="fine-tune", params=tuned),
    }
    assert read_from_outside(records) == {str(weights): sha256_of(weights)}


MASKS = {
    "name": "mask_folder",
    "images": "images/*.png",
    "masks": "masks/{stem}.png",
    "classes": {"a": [0], "b": [255]},
}
LABELS = {"name": "csv", "table": "table.csv"}
SETS = {"name": "csv", "table": "sets.csv", "label_columns": ["rain", "car"], "split_column": "split"}


@pytest.fixture
def ingested(with_dvc) -> Callable[..., list[Check]]:
    """What is said of raw files that were ingested, after they were changed; called with the task."""
    for number in range(12):
        write_image(Path(f"raw/images/{number}.png"), number)
        write_mask(Path(f"raw/masks/{number}.png"), stripes(0, 255))
    rows = "".join(f"images/{n}.png,{('cat', 'dog')[n % 2]},{('train', 'val')[n % 3 == 0]}\n" for n in range(12))
    Path("raw/table.csv").write_text(f"image,label,split\n{rows}")
    sets = "".join(f"images/{n}.png,{n % 2},{n // 2 % 2},{('train', 'val')[n % 3 == 0]}\n" for n in range(12))
    Path("raw/sets.csv").write_text(f"image,rain,car,split\n{sets}")
    index = Index(with_dvc / "i.sqlite")
    before: dict[str, dict] = {}

    def said(task: str, **changes: object) -> list[Check]:
        source = {"segmentation": MASKS, "classification": LABELS, "multilabel": SETS}[task]
        if task not in before:
            shutil.rmtree("data", ignore_errors=True)
            run_ingest(Path("raw"), Path("data/interim"), source, task)
            files = {f"data/interim/{name}": sha for name, sha in listing(Path("data/interim")).items()}
            section = {"source": source, "max_pixels": 10**6, "batch": "first"}
            of_old = {"seed": 7}  # records of 0.2 and before
            section |= {"split_seed": 7} if task == "classification" else {}
            before[task] = {
                "stage": "ingest",
                "inputs": {"raw": digest_of(Path("raw"))},
                "params": {"task": task, "ingest": section} | (of_old if task == "segmentation" else {}),
                "outputs": {"data/interim": digest_of(Path("data/interim"))},
                "files": files,
                "code": {},
                "environment": {},
            }
        key = index.add_record(json.dumps(before[task] | changes).encode())
        return list(check_raw(index, Chain("m", (), {key: Step(key, "ingest", {})})))

    return said


def test_a_changed_mask_among_raw_files_is_broken_and_named(ingested):
    assert [link.status for link in ingested("segmentation")] == [VERIFIED]
    write_mask(Path("raw/masks/3.png"), stripes(255, 0))
    (found,) = ingested("segmentation")
    assert (found.status, found.reason) == (BROKEN, "masks/3.png: not what was ingested under this name")
    write_image(Path("raw/images/4.png"), 99)
    Path("raw/masks/5.png").unlink()
    for folder in ("images", "masks"):
        Path(f"raw/{folder}/6.png").unlink()
    changed, gone = ingested("segmentation")
    assert changed.reason == "masks/3.png, images/4.png: not what was ingested under this name"
    assert (gone.status, gone.reason) == (MISSING, "gone: mask or label of images/5.png, images/6.png")
    changed, _ = ingested("segmentation", code={"pipeline/ingest.py": "0" * 64})  # which may write masks otherwise
    assert changed.reason == "images/4.png: not what was ingested under this name"


def test_a_changed_label_is_broken_and_a_file_beside_the_images_is_not(ingested):
    assert [link.status for link in ingested("classification")] == [VERIFIED]
    table = Path("raw/table.csv")
    Path("raw/notes.txt").write_text("of the photographer")
    (found,) = ingested("classification")
    assert (found.status, "every image, mask and label still there is what it was" in found.reason) == (MISSING, True)
    table.write_text(table.read_text().replace("images/2.png,cat", "images/2.png,a newcomer"))
    (found,) = ingested("classification")
    assert (found.status, found.reason) == (BROKEN, "label of images/2.png: not what was ingested under this name")


def test_changed_labels_of_an_image_are_broken(ingested):
    assert [link.status for link in ingested("multilabel")] == [VERIFIED]
    table = Path("raw/sets.csv")
    table.write_text(table.read_text().replace("images/2.png,0,1", "images/2.png,1,1"))
    (found,) = ingested("multilabel")
    assert (found.status, found.reason) == (BROKEN, "labels of images/2.png: not what was ingested under this name")


def test_a_version_is_compared_with_the_record_it_was_registered_from(tmp_path, monkeypatch):
    def gone(*_: object) -> Path:
        raise GraftError("gone")

    index = fill(tmp_path / "i.sqlite", 5, 1)
    monkeypatch.setattr("graft.provenance.tracking.model_versions.download_version", gone)
    (version,) = index.versions()
    first = index.record(version["record"])
    commit = {"commit": "1" * 40, "holds_code_and_params": True}
    again = index.add_record(
        json.dumps({**first.content, "git": commit}).encode()
    )  # the same files, made at another commit
    tags = {"graft.model_digest": version["model"], "graft.record": version["record"]}
    tags |= {"graft.fingerprint": first.fingerprint, "mlflow.source.git.commit": "0" * 40}
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
    client = mlflow_store.client()

    def found(params: dict[str, str]) -> Check:
        run = runs.create_run(client, "augment", {mlflow_store.RECORD: key})
        runs.log_params(client, run.info.run_id, params)
        (link,) = [link for link in check_runs(index, chain, client) if link.what.endswith("params")]
        client.delete_run(run.info.run_id)
        return link

    recorded = {"ingest.batch": "delivery0", "pretrain_load.source.name": "file"}
    right = found({**recorded, "added by a person": "1"})
    assert (right.status, right.reason) == (VERIFIED, "as the record says")
    wrong = found({**recorded, "ingest.batch": "delivery1"})
    assert (wrong.status, wrong.reason) == (BROKEN, "not what the record says: ingest.batch")
    assert found({}).status == BROKEN
    index.close()


def test_quietly_only_what_is_not_verified_is_printed_with_a_remedy_for_each_kind():
    links = [
        Check(VERIFIED, "models/exported", "as recorded", remedies.RECORDS),
        Check(MISSING, "data/raw", "not on this machine", remedies.RAW),
        Check(BROKEN, "models:/m/1, tag graft.record", "is 1, but the record says 2", remedies.SERVER),
        *of_kind(remedies.SERVER, [Check(BROKEN, "run 1 of ingest, params", "not what the record says: seed")]),
        *of_kind(remedies.SERVER, [Check(MISSING, "ledger of m", "nothing was promoted yet", remedies.LEDGER)]),
    ]
    lines = remedies.describe_open(links).splitlines()
    assert [line.split()[0] for line in lines] == [
        "broken",
        "broken",
        "Remedy",
        "missing",
        "Remedy",
        "missing",
        "Remedy",
        "5",
    ]
    assert lines[2] == f"          Remedy for MLflow: {remedies.REMEDIES[remedies.SERVER, BROKEN]}."
    assert "copy back the folder" in lines[4]
    assert "graft promote begins one" in lines[6]
    assert lines[-1] == "5 links: 1 verified, 2 missing, 2 broken"
    assert remedies.describe_open(links[:1]).splitlines()[0] == "every link is verified"
    kinds = {kind for kind, _ in remedies.REMEDIES}
    assert remedies.REMEDIES.keys() == {(kind, status) for kind in kinds for status in (MISSING, BROKEN)}


@pytest.mark.parametrize("signatures", [[], [{"sig": "c2ln"}]])
def test_attesting_says_when_the_bundle_is_not_signed(tmp_path, monkeypatch, capsys, signatures):
    from graft.cli.attest import attest
    from graft.provenance.attest import bundle
    from graft.provenance.lineage import walk

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    Path("dvc.yaml").write_text("stages: {}")
    data = json.dumps({"statements": [{"signatures": signatures}]}).encode()
    monkeypatch.setattr(walk, "chain_of", lambda *_: None)
    monkeypatch.setattr(bundle, "attest_model", lambda *_: data)
    attest("models/exported", Path("attestation.json"))
    said = capsys.readouterr().err
    assert ("not signed: it shows that nothing was damaged, not who says so" in said) == (not signatures)
    assert ("set GRAFT_SIGNING_KEY" in said) == (not signatures)
    assert Path("attestation.json").read_bytes() == data


def test_learning_without_labels_from_no_weights_is_a_source_without_a_file(tmp_path):
    index = Index(tmp_path / "lineage.sqlite")
    params = {"pretrain_load": {"source": {"name": "self_supervised", "start": {"name": "none"}}}}
    loaded = add(index, "pretrain-load", 1, {}, "models/pretrained/weights.safetensors", **params)
    index.add_card(loaded, {"name": "self_supervised", "sha256": None})
    tuned = add(index, "fine-tune", 1, index.record(loaded).outputs, "models/fine_tuned/model.safetensors")
    export = add(index, "export", 1, index.record(tuned).outputs, "models/exported/model.onnx")
    (check,) = check_sources(index, chain_to(index, "", export))
    assert check == Check(VERIFIED, "weights source none", "no file: the weights are a function of the seed")
    index.close()


def test_a_package_of_weights_is_a_source_that_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    files = described_weights(tmp_path, {"a": torch.ones(2)})
    install(tmp_path / "site", files)
    weights = hashlib.sha256(files["team_weights/weights.safetensors"]).hexdigest()
    source = {"name": "package", "package": "team-weights", "sha256": hashlib.sha256(files[MANIFEST]).hexdigest()}

    def judged(expected: str = weights, **changes: str) -> tuple[str, str]:
        params = {"pretrain_load": {"source": source | changes}}
        record = Record.from_content({"stage": "pretrain-load", "params": params})
        steps = {
            "load": Step("load", "pretrain-load", {}, {}, (Link("file", {"package": "file"}),)),
            "file": Step("file", "source", {"package": "file"}, {"name": "package", "sha256": expected}),
        }
        (check,) = check_sources(SimpleNamespace(record=lambda key: record), Chain("model", (), steps))
        return check.status, check.reason

    assert judged() == (VERIFIED, "team-weights 1.2, team_weights/weights.safetensors has the sha256 of the card")
    assert judged("0" * 64)[0] == BROKEN
    assert judged(sha256="0" * 64)[0] == BROKEN
    (tmp_path / "requirements.lock").write_text("team-weights==1.3\n", encoding="utf-8")
    status, fact = judged()
    assert (status, "is installed as 1.2, and requirements.lock has ==1.3; rm -f" in fact) == (MISSING, True)
