"""Lineage both ways from the index alone, at the size of a team's history."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile

from graft.foundation.content import digest_of_listing, sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.metrics.confusion import HEADLINE
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED
from graft.provenance.audit.record_files import check_sources
from graft.provenance.lineage import fill as filling
from graft.provenance.lineage.fill import fill_from_server, open_index
from graft.provenance.lineage.freshness import authorization, state_of_store
from graft.provenance.lineage.html_page import page
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.question import find_thing
from graft.provenance.lineage.recall import who_saw
from graft.provenance.lineage.tree import HEADLINES, describe_answer, summary_of, tree
from graft.provenance.lineage.walk import Chain, Step, chain_of, chain_to, own_records
from graft.provenance.records import Record
from graft.provenance.stages import EXPORTED, NO_MODEL, RECORDS, SEEN
from graft.provenance.tracking import mlflow_store, runs
from tests.conftest import REPOSITORY
from tests.formats_layouts.pictures import stripes, write_image, write_mask
from tests.synthetic_lineage import NAME, add, fill, seen, sha

NUM_IMAGES, NUM_VERSIONS = 100_000, 50


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """The file of an index of 100,000 images and 50 versions."""
    path = tmp_path_factory.mktemp("lineage") / "lineage.sqlite"
    fill(path, NUM_IMAGES, NUM_VERSIONS).close()
    return path


def trained(index: Index, asked: str) -> dict[int, int]:
    return {saw.version["number"]: saw.num_images for saw in who_saw(index, asked).saw if saw.how == "trained on"}


@pytest.mark.parametrize("image", [0, 1, 4242, NUM_IMAGES - 1])
def test_an_image_is_found_in_the_models_that_saw_it_by_id_and_by_digest(image, large):
    index = Index(large)
    expected = {version: 1 for version in range(1, NUM_VERSIONS + 1) if seen(version, image)}
    assert trained(index, sha("image", image)) == expected
    assert trained(index, f"clip{image % 97}/{image:06d}.jpg") == expected
    index.close()


def test_a_delivery_is_counted_in_every_model(large):
    index = Index(large)
    expected = {
        version: count
        for version in range(1, NUM_VERSIONS + 1)
        if (count := sum(seen(version, image) for image in range(3, NUM_IMAGES, 10)))
    }
    assert trained(index, "delivery3") == expected
    assert f"models:/{NAME}/50 (champion)" in describe_answer(who_saw(index, "delivery0"))
    index.close()


def test_an_image_in_a_file_is_known_by_its_bytes(tmp_path):
    index = fill(tmp_path / "i.sqlite", 30, 3)
    file = tmp_path / "image.jpg"
    file.write_bytes(b"image/5")
    assert trained(index, str(file)) == {version: 1 for version in (1, 2, 3) if seen(version, 5)}


def test_the_chain_goes_back_to_the_raw_files(large):
    index = Index(large)
    chain = chain_of(index, f"models:/{NAME}@champion")
    assert [step.stage for step in chain.steps.values()] == ["export", "fine-tune", "augment", "ingest", "raw"]
    assert chain.missing == []
    assert chain_of(index, f"models:/{NAME}/50") == chain
    assert chain.of_stage("raw")[0].key == sha("raw", 50)
    text = tree(chain)
    for word in ("run-fine-tune-50", "data/raw", "commit: 000000000000", "lock", f"models:/{NAME}/50 (champion)"):
        assert word in text
    assert json.loads(json.dumps(chain.as_dict()))["missing"] == []
    index.close()


def test_the_page_loads_nothing_and_holds_every_step(large):
    index = Index(large)
    chain = chain_of(index, f"models:/{NAME}/7")
    html = page(chain)
    assert html.count("<rect") == 2 * len(chain.steps)
    assert all(key in html for key in chain.steps)
    assert "http" not in html
    assert "<script" not in html
    index.close()


def register_second(index: Index, tuned: str) -> None:
    """Exports a training, and registers it as version 2."""
    export = add(index, "export", 2, index.record(tuned).outputs, "models/exported/model.onnx")
    model = index.record(export).outputs["models/exported"]
    version = {"name": NAME, "number": 2, "record": export, "model": model, "run": "r", "aliases": []}
    index.replace_versions([*index.versions(), version])


def test_a_model_grown_from_another_model_inherits_what_that_one_saw(tmp_path):
    index = fill(tmp_path / "i.sqlite", 20, 1)
    grown = add(index, "pretrain-load", 2, {}, "models/pretrained/weights.safetensors")
    index.add_card(grown, {"name": "file", "sha256": sha("fine-tune", 1)})
    pretrained = index.record(grown).outputs
    tuned = add(index, "fine-tune", 2, pretrained, "models/fine_tuned/model.safetensors")
    register_second(index, tuned)
    image = next(image for image in range(20) if seen(1, image))
    assert [(found.version["number"], found.how) for found in who_saw(index, sha("image", image)).saw] == [
        (1, "trained on"),
        (2, "grown from weights: trained on"),
    ]
    stages = [step.stage for step in chain_of(index, f"models:/{NAME}/2").steps.values()]
    assert stages == ["export", "fine-tune", "pretrain-load", "fine-tune", "augment", "ingest", "raw"]


def test_a_student_inherits_what_its_teacher_saw(tmp_path):
    index = fill(tmp_path / "i.sqlite", 20, 1)
    teacher = {"model": f"models:/{NAME}/1", "sha256": sha("fine-tune", 1)}
    strategy = {"name": "distil", "teacher": [teacher]}
    tuned = add(index, "fine-tune", 2, {}, "models/fine_tuned/model.safetensors", fine_tune={"strategy": strategy})
    register_second(index, tuned)
    image = next(image for image in range(20) if seen(1, image))
    assert [(found.version["number"], found.how) for found in who_saw(index, sha("image", image)).saw] == [
        (1, "trained on"),
        (2, "taught by a model: trained on"),
    ]
    chain = chain_of(index, f"models:/{NAME}/2")
    stages = [step.stage for step in chain.steps.values()]
    assert stages == ["export", "fine-tune", "fine-tune", "augment", "ingest", "raw"]
    assert f"teacher {sha('fine-tune', 1)[:12]}" in tree(chain)
    assert own_records(index, chain)["fine-tune"].files == index.record(tuned).files
    assert "augment" not in own_records(index, chain)


def test_the_records_of_a_student_are_its_own_and_not_those_of_a_registered_teacher(tmp_path):
    index = Index(tmp_path / "i.sqlite")
    teacher = {"model": f"models:/{NAME}/1", "sha256": sha("export", 1)}
    for number, strategy in ((1, "supervised"), (2, {"name": "distil", "teacher": [teacher]})):
        place = "models/fine_tuned/model.safetensors"
        tuned = index.record(add(index, "fine-tune", number, {}, place, fine_tune={"strategy": strategy})).outputs
        scores = index.record(add(index, "evaluate", number, tuned, "reports/evaluation/metrics.json")).outputs
        export = add(index, "export", number, tuned | scores, "models/exported/weights.safetensors")
    chain = chain_to(index, "", export)
    assert [step.stage for step in chain.steps.values()] == [
        *("export", "fine-tune", "export", "fine-tune", "evaluate", "evaluate"),
    ]
    assert [step.stage for step in chain.own] == ["export", "fine-tune", "evaluate"]
    assert own_records(index, chain)["evaluate"].files == {"reports/evaluation/metrics.json": sha("evaluate", 2)}
    index.close()


def test_a_teacher_without_a_record_is_an_end_that_audit_looks_at(tmp_path):
    index, folder = Index(tmp_path / "i.sqlite"), tmp_path / "big"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"teacher")
    digest = sha256_of(folder / "model.safetensors")
    strategy = {"name": "distil", "teacher": [{"model": str(folder), "sha256": digest}]}
    tuned = add(index, "fine-tune", 2, {}, "models/fine_tuned/model.safetensors", fine_tune={"strategy": strategy})
    export = add(index, "export", 2, index.record(tuned).outputs, "models/exported/model.onnx")
    chain = chain_to(index, "", export)
    assert [link.paths for link in chain.of_stage("fine-tune")[0].links][-1] == {"teacher": digest}
    assert [check.status for check in check_sources(index, chain)] == [VERIFIED]
    (folder / "model.safetensors").write_bytes(b"another")
    assert [check.status for check in check_sources(index, chain)] == [BROKEN]
    (folder / "model.safetensors").unlink()
    assert [check.status for check in check_sources(index, chain)] == [MISSING]
    index.close()


def test_any_other_digest_is_followed_to_the_models_made_with_it(tmp_path):
    index = fill(tmp_path / "i.sqlite", 20, 3)
    for digest in (sha("raw", 2), sha("ingest", 2), sha("fine-tune", 2), sha("export", 2)):
        assert [(found.version["number"], found.how) for found in who_saw(index, digest).saw] == [(2, "made with")]


def test_what_is_not_known_is_said(tmp_path):
    index = fill(tmp_path / "i.sqlite", 5, 2)
    with pytest.raises(GraftError, match="no image, delivery or digest of this name is known"):
        who_saw(index, "nothing")
    with pytest.raises(GraftError, match=r"no such model.*known are models:/graft-segmentation/1"):
        chain_of(index, "models:/other@champion")
    with pytest.raises(GraftError, match="no such folder"):
        chain_of(index, str(tmp_path / "nowhere"))
    (tmp_path / "model").mkdir()
    with pytest.raises(GraftError, match="no record describes these files"):
        chain_of(index, str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("lost", "asked", "lacking"),
    [
        ("DELETE FROM seen WHERE record = :tuned", sha("image", 5), "models/fine_tuned/seen.json of the record"),
        ("DELETE FROM records WHERE digest = :tuned", sha("image", 5), "the record of models/fine_tuned"),
        ("DELETE FROM records WHERE digest = :ingest", "delivery5", "the record of data/interim/train"),
        ("DELETE FROM listed WHERE record = :ingest", "delivery5", "data/interim/manifest.parquet of the record"),
        ("DELETE FROM listed WHERE record = :ingest", sha("image", 5), None),
        ("DELETE FROM records WHERE digest = :ingest", sha("image", 5), None),
        ("DELETE FROM records WHERE digest = :ingest", sha("raw", 2), "the record of data/interim/train"),
    ],
)
def test_a_version_of_which_it_is_not_known_is_named_with_what_is_lacking(lost, asked, lacking, tmp_path):
    index = fill(tmp_path / "i.sqlite", 30, 2)
    records = {
        stage: next(key for key in index.records(stage) if index.record(key).files.get(file) == sha(stage, 1))
        for stage, file in (
            ("fine-tune", "models/fine_tuned/model.safetensors"),
            ("ingest", "data/interim/train/a.parquet"),
        )
    }
    index.database.execute(lost, {"tuned": records["fine-tune"], "ingest": records["ingest"]})
    index.database.execute("DELETE FROM produced WHERE record NOT IN (SELECT digest FROM records)")
    answer = who_saw(index, asked)
    assert 1 not in [saw.version["number"] for saw in answer.saw]
    assert [each.version["number"] for each in answer.not_known] == ([1] if lacking else [])
    assert (lacking or "no registered version saw it") in describe_answer(answer)
    found = json.loads(json.dumps(answer.as_dict()))
    assert [each["version"]["number"] for each in found["not_known"]] == ([1] if lacking else [])
    assert ("graft publish" in (found["remedy"] or "")) == ("Remedy: " in describe_answer(answer)) == bool(lacking)
    if lacking:
        with pytest.raises(GraftError, match=f"nobody knows yet what models:/{NAME}/1 saw"):
            who_saw(index, "nothing")
    index.close()


def test_weights_without_their_card_may_have_grown_from_a_model_that_saw_it(tmp_path):
    index = fill(tmp_path / "i.sqlite", 20, 1)
    loaded = add(index, "pretrain-load", 2, {}, "models/pretrained/weights.safetensors")
    tuned = add(index, "fine-tune", 2, index.record(loaded).outputs, "models/fine_tuned/model.safetensors")
    index.add_seen(tuned, {"train": []})
    export = add(index, "export", 2, index.record(tuned).outputs, "models/exported/model.onnx")
    version = {"name": NAME, "number": 2, "record": export, "model": "", "run": "r", "aliases": []}
    index.replace_versions([*index.versions(), version])
    (unknown,) = who_saw(index, sha("image", 0)).not_known
    assert unknown.lacking == (f"models/pretrained/card.json of the record {loaded[:12]}",)
    index.add_card(loaded, {"name": "random", "sha256": None})
    assert who_saw(index, sha("image", 0)).not_known == ()
    index.add_card(loaded, {"name": "registry", "sha256": sha("elsewhere"), "origin": "models:/theirs/3"})
    assert who_saw(index, sha("image", 0)).not_known[0].lacking == ("the record of models:/theirs/3",)
    index.close()


def test_bytes_that_many_runs_made_are_of_the_run_whose_other_files_were_read(tmp_path):
    index = Index(tmp_path / "i.sqlite")
    same = {"data/interim/class_map.json": sha("class map"), "data/interim/none/a.parquet": sha("no rows")}
    validated = []
    for number in range(6):
        files = {"data/interim/train/a.parquet": sha("train", number), **same}
        content = {"stage": "validate", "fingerprint": sha(number), "files": files}
        validated.append(
            index.add_record(Record.from_content(content | {"outputs": {"data/interim": sha(number)}}).as_bytes())
        )
    none = digest_of_listing({"a.parquet": sha("no rows")})
    for number, maker in enumerate(validated):
        read = {"data/interim/none": none, "data/interim/class_map.json": sha("class map"), NO_MODEL: sha("no model")}
        read["data/interim/train"] = digest_of_listing({"a.parquet": sha("train", number)})
        content = {"stage": "export", "inputs": read, "outputs": {EXPORTED: sha("model", number)}, "files": {}}
        export = index.add_record(Record.from_content(content).as_bytes())
        chain = chain_to(index, sha("model", number), export)
        assert list(chain.steps) == [export, maker]
        assert chain.missing == []
    index.close()


def test_an_export_that_reads_only_test_is_of_the_data_that_its_model_learnt_from(tmp_path):
    """Test split and class map are the same in six runs: train, two steps behind, says which it was.

    Each model grew out of the one before, whose export stands behind it in the same chain.
    """
    index = Index(tmp_path / "i.sqlite")
    same = {"class_map.json": sha("class map"), "test/a.parquet": sha("test")}
    class_map, test = sha("class map"), digest_of_listing({"a.parquet": sha("test")})
    weights = sha("photographs")

    def add(stage, inputs, outputs, files=None):
        content = {"stage": stage, "inputs": inputs, "outputs": outputs, "files": files or {}}
        params = {"pretrain_load": {"source": {"name": "file"}}}
        return index.add_record(Record.from_content(content | {"params": params}).as_bytes())

    behind = []
    for number in range(6):
        files = {f"data/interim/{path}": digest for path, digest in same.items()}
        files["data/interim/train/a.parquet"] = sha("train", number)
        validated = add("validate", {"data/deliveries": sha(number)}, {"data/interim": sha("interim", number)}, files)
        train = {"data/interim/train": digest_of_listing({"a.parquet": sha("train", number)})}
        augmented = add("augment", train, {"data/augmented": sha("views", number)})
        loaded = {"data/interim/class_map.json": class_map}
        pretrained = add("pretrain-load", loaded, {"models/pretrained": sha("pretrained", number)})
        index.add_card(pretrained, {"sha256": weights})
        learnt = {"data/augmented": sha("views", number), "models/pretrained": sha("pretrained", number)}
        weights = sha("weights", number)
        tuned = add("fine-tune", learnt, {"models/fine_tuned": weights}, {"models/fine_tuned/model": weights})
        read = {"models/fine_tuned": weights, "data/interim/test": test, "data/interim/class_map.json": class_map}
        export = add("export", read, {EXPORTED: sha("model", number)})
        behind.append({export: validated, pretrained: validated, augmented: validated, tuned: None})
    chain = chain_to(index, sha("model", 5), export)
    for makers in behind:
        for key, validated in makers.items():
            reads = chain.steps[key].links if key in chain.steps else ()
            found = {link.to for link in reads if any(path.startswith("data/interim") for path in link.paths)}
            assert found <= {validated}
    assert {step.key for step in chain.of_stage("validate")} == {makers[pre] for makers in behind for pre in makers} - {
        None
    }
    index.close()


def test_a_list_that_comes_after_its_record_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    source = Index(tmp_path / "source.sqlite")
    content = source.record(add(source, "fine-tune", 1, {}, SEEN)).content
    write_json(tmp_path / "seen.json", {"train": [sha("image", 1)]})
    record = RECORDS / "fine-tune.json"
    record.parent.mkdir(parents=True)
    write_json(record, {**content, "files": {SEEN: sha256_of(tmp_path / "seen.json")}})
    assert not open_index().has_beside(sha256_of(record))
    Path(SEEN).parent.mkdir(parents=True)
    (tmp_path / "seen.json").rename(SEEN)
    assert open_index().num_seen(sha256_of(record)) == {"train": 1}


def test_what_changes_while_the_store_is_read_is_read_the_next_time(store, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    filled: list[str | None] = []

    def changed_meanwhile(index: Index) -> None:
        fill_from_server(index)
        filled.append(state_of_store(mlflow_store.store_uri()))
        if len(filled) == 1:
            store.create_registered_model("made meanwhile")

    monkeypatch.setattr(filling, "fill_from_server", changed_meanwhile)
    for times in (1, 2, 2):
        index = open_index(path=tmp_path / "index.sqlite")
        assert len(filled) == times
        assert index.fact("store") == filled[-1]
        index.close()


@pytest.fixture
def slow_server():
    """A server that takes a while to answer, and holds no model."""

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.5)
            with contextlib.suppress(BrokenPipeError):  # whoever asked has gone
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_slow_server_is_waited_for_until_it_was_read_once(slow_server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", slow_server)
    monkeypatch.delenv("GRAFT_TRACKING", raising=False)
    monkeypatch.setattr(filling, "SECONDS_TO_ANSWER", 0.1)
    filled: list[Index] = []
    monkeypatch.setattr(filling, "fill_from_server", filled.append)
    with contextlib.closing(open_index(path=tmp_path / "index.sqlite").database):
        assert len(filled) == 1
        assert "does not answer" not in capsys.readouterr().err
    with contextlib.closing(open_index(path=tmp_path / "index.sqlite").database):
        assert len(filled) == 1
        assert "does not answer; what it held was read: 20" in capsys.readouterr().err


def test_a_gap_is_shown_and_named(tmp_path):
    index = fill(tmp_path / "i.sqlite", 5, 1)
    index.database.execute("DELETE FROM records WHERE stage = 'augment'")
    index.database.execute("DELETE FROM produced WHERE path = 'data/augmented'")
    chain = chain_of(index, f"models:/{NAME}/1")
    assert len(chain.missing) == 1
    assert "data/augmented" in chain.missing[0]
    assert "missing: data/augmented" in tree(chain)
    assert "Missing: data/augmented" in page(chain)


def test_a_damaged_index_is_made_anew(tmp_path):
    path = tmp_path / "i.sqlite"
    path.write_bytes(b"not a database, only text that is long enough to be looked at" * 20)
    assert Index(path).versions() == []


def test_a_folder_inside_an_output_has_its_own_digest():
    files = {"data/interim/train/x": "b", "data/interim/m": "c"}
    record = Record.from_content({"stage": "ingest", "outputs": {"data/interim": "a"}, "files": files})
    assert set(record.produced()) == {"data/interim", "data/interim/train/x", "data/interim/m", "data/interim/train"}


def test_asking_imports_neither_mlflow_nor_pandas_nor_torch(large, tmp_path):
    code = f"""
import sys
from pathlib import Path
path = Path({str(large)!r})
from graft.cli import with_commands
with_commands()
from graft.provenance.lineage.fill import open_index
index = open_index(path=path)
from graft.provenance.lineage.question import find_thing
from graft.provenance.lineage.recall import who_saw
from graft.provenance.lineage.walk import chain_of
from graft.provenance.lineage.tree import describe_answer, tree
print(len(describe_answer(who_saw(index, "delivery3"))), len(tree(chain_of(index, "models:/{NAME}@champion"))))
print(sorted({{"mlflow", "pandas", "torch", "pyarrow", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("stage", "taken"), [("ingest", True), ("ingesu", False)])
def test_a_run_without_its_manifest_gives_its_record_one_with_a_changed_tag_nothing(
    stage, taken, store, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(folder)
    (folder / "made").mkdir(exist_ok=True)
    source = Index(tmp_path / "source.sqlite")
    digest = add(source, "ingest", int(taken), {"data/raw": sha("raw", 1)}, "data/interim/manifest.parquet")
    data = json.dumps(source.record(digest).content).encode()
    source.close()
    (folder / "made/ingest.json").write_bytes(data)
    tags = {mlflow_store.STAGE: stage, mlflow_store.RECORD: digest, mlflow_store.COMPLETE: "true"}
    run = runs.create_run(store, "ingest", tags)
    store.log_artifact(run.info.run_id, str(folder / "made/ingest.json"), "record")
    index = Index(tmp_path / "index.sqlite")
    fill_from_server(index)
    assert index.run_of(digest) == (run.info.run_id if taken else None)
    assert not index.is_listed(digest)
    index.close()


def test_a_double_that_nobody_may_delete_is_not_asked_for_again_and_again(store, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    asked: list[str] = []
    monkeypatch.setattr(runs, "fetch_artifact", lambda _, run, *__: asked.append(run.info.run_id))
    tags = {
        mlflow_store.STAGE: "ingest",
        mlflow_store.RECORD: f"{runs.DOUBLE}other",
        mlflow_store.COMPLETE: "true",
    }
    double = runs.create_run(store, "ingest", tags)
    other = runs.create_run(store, "ingest", {**tags, mlflow_store.RECORD: "0" * 64})
    index = Index(tmp_path / "index.sqlite")
    fill_from_server(index)
    index.close()
    assert other.info.run_id in asked
    assert double.info.run_id not in asked


def test_a_user_with_a_password_comes_before_a_token_as_in_mlflow(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
    assert authorization() == {"Authorization": "Bearer token"}
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert authorization() == {"Authorization": "Basic YWRhOnNlY3JldA=="}
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    assert authorization() == {}


def test_a_model_that_is_not_there_is_not_taken_for_verified(tmp_path):
    from graft.cli.verify import verify

    bundle = tmp_path / "attestation.json"
    with pytest.raises(GraftError, match=r"no such file.*graft attest --out"):
        verify(bundle, None, tmp_path / "signers.pub")
    bundle.write_bytes(b"{}")
    with pytest.raises(GraftError, match="no such folder"):
        verify(bundle, tmp_path / "exprted", tmp_path / "signers.pub")


@pytest.fixture
def small(tmp_path, monkeypatch) -> Index:
    """Two versions; images 20 to 24 are the test split of the first, which was scored on them."""
    monkeypatch.chdir(tmp_path)
    index = fill(tmp_path / "i.sqlite", 30, 2)
    ingest = add(index, "ingest", 9, {}, "data/interim/test/a.parquet")
    index.add_splits(ingest, {"test": [sha("image", n) for n in range(20, 25)], "train": [sha("image", 0)]})
    index.add_masks([(sha("mask", 21), sha("image", 21))])
    test = index.record(ingest).produced()["data/interim/test"]
    tuned = add(index, "fine-tune", 8, {}, "models/fine_tuned/model.safetensors")
    index.add_seen(tuned, {"train": [sha("image", 0)], "val": [sha("image", 1)], "unlabelled": [sha("image", 2)]})
    inputs = {"models/fine_tuned": index.record(tuned).outputs["models/fine_tuned"], "data/interim/test": test}
    export = add(index, "export", 8, inputs, "models/exported/model.onnx")
    model = index.record(export).outputs["models/exported"]
    verdict = "passed the gate 2026-01-01 by Ada: every rule holds"
    version = {"name": NAME, "number": 8, "record": export, "model": model, "run": "abcdef012345", "verdict": verdict}
    index.replace_versions([*index.versions(), version | {"aliases": ["champion"], "created": "2026-01-01 10:00 UTC"}])
    return index


def said_of_8(index: Index, *asked: str) -> list[str]:
    lines = describe_answer(who_saw(index, *asked)).splitlines()
    return [line.split(": ", 1)[1] for line in lines if line.startswith(f"  models:/{NAME}/8 ")]


@pytest.mark.parametrize(("scored", "said"), [("test", ["scored on"]), ("val", [])])
def test_an_export_that_reads_a_split_to_quantise_was_not_scored_on_it(scored, said, tmp_path):
    index = Index(tmp_path / "i.sqlite")
    ingest = add(index, "ingest", 9, {}, "data/interim/test/a.parquet")
    index.add_splits(ingest, {"test": [sha("image", 20)]})
    index.add_samples(ingest, [("20.jpg", "delivery0", sha("image", 20))])
    inputs = {"data/interim/test": index.record(ingest).produced()["data/interim/test"]}
    export = add(index, "export", 8, inputs, "models/exported/model.onnx", evaluate={"split": scored})
    model = index.record(export).outputs["models/exported"]
    index.replace_versions([{"name": NAME, "number": 8, "record": export, "model": model, "run": "r", "aliases": []}])
    assert [saw.how for saw in who_saw(index, sha("image", 20)).saw] == said
    index.close()


def test_a_version_that_was_scored_on_an_image_is_named_and_did_not_train_on_it(small):
    assert said_of_8(small, sha("image", 20)) == ["scored on it, did not train on it"]
    assert said_of_8(small, sha("image", 1)) == ["best epoch chosen on it"]
    assert said_of_8(small, sha("image", 0)) == ["trained on it"]
    assert said_of_8(small, sha("image", 2)) == ["trained without labels on it"]
    assert said_of_8(small, sha("image", 0), sha("image", 20)) == ["scored on it", "trained on it"]


def test_a_mask_is_its_image(small):
    answer = who_saw(small, sha("mask", 21))
    assert answer.meant == f"mask {sha('mask', 21)}: 1 image"
    assert said_of_8(small, sha("mask", 21)) == ["scored on it, did not train on it"]


def test_the_short_digests_that_lineage_prints_can_be_asked_for(small):
    version = small.version(NAME, 8)
    printed = [
        line.split()[-1] for line in tree(chain_of(small, f"models:/{NAME}/8")).splitlines() if "record: " in line
    ]
    assert {len(digest) for digest in printed} == {12}
    for digest in (version["model"][:12], version["record"][:12], "run-export-8"):
        assert [saw.version["number"] for saw in who_saw(small, digest).saw] == [8]
    assert said_of_8(small, sha("image", 20)[:12]) == ["scored on it, did not train on it"]
    assert {saw.version["number"] for saw in who_saw(small, "0" * 12).saw} == {1, 2, 8}  # the commit of all
    small.add_masks([("1234567" + "0" * 57, sha("image", 2)), ("1234567" + "1" * 57, sha("image", 3))])
    with pytest.raises(GraftError, match=r"several digests begin like this.*write more digits"):
        who_saw(small, "1234567")


def test_patterns_and_lists_are_asked_together_and_every_unknown_name_is_listed(small):
    Path("photos").mkdir()
    for number in (20, 22):
        Path(f"photos/{number}.jpg").write_bytes(f"image/{number}".encode())
    assert said_of_8(small, "photos/*.jpg") == ["scored on 2 of them, did not train on it"]
    Path("erase.txt").write_text(f"photos/20.jpg\n\nclip21/000021.jpg\n{sha('image', 0)[:12]}\n", "utf-8")
    answer = who_saw(small, "erase.txt")
    assert answer.meant == "3 images: 3 images"
    assert said_of_8(small, "erase.txt") == ["scored on 2 of them", "trained on it"]
    assert len(who_saw(small, "clip2?/*").meant.split()) > 2  # files are gone, ids remain
    with pytest.raises(GraftError, match=r"nothing-1, nothing-2: no image, delivery or digest"):
        who_saw(small, "nothing-1", "photos/20.jpg", "nothing-2")
    with pytest.raises(GraftError, match="nothing matches this pattern"):
        who_saw(small, "nowhere/*.png")


def test_a_mask_file_is_found_by_its_path_in_the_raw_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    for number in range(12):
        write_image(Path(f"data/raw/images/{number}.png"), number)
        write_mask(Path(f"data/raw/masks/{number}.png"), stripes(0, 1))
    source = {
        "name": "mask_folder",
        "images": "images/*.png",
        "masks": "masks/{stem}.png",
        "classes": {"a": [0], "b": [1]},
    }
    source |= {"val_fraction": 0.3, "test_fraction": 0.3}
    content = {"task": "segmentation", "ingest": {"source": source, "batch": "first", "split_seed": 7}}
    RECORDS.mkdir(parents=True)
    write_json(RECORDS / "ingest.json", {"stage": "ingest", "params": content, "inputs": {"data/raw": "0" * 64}})
    index = Index(tmp_path / "i.sqlite")
    image = Path("data/raw/images/1.png")
    index.add_samples("r", [("images/1.png", "first", sha256_of(image))])
    thing = find_thing(index, "data/raw/masks/1.png")
    assert (thing.kind, thing.images) == ("mask", tuple(index.images("id", "images/1.png")))
    assert find_thing(index, "data/raw/masks/0.png") is None
    index.close()


@pytest.mark.parametrize("folder", ["", "north/"], ids=["alone", "joined"])
def test_an_image_that_was_cut_into_tiles_is_found_by_its_path_and_by_its_name(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    for number in range(12):
        for kind in ("maps", "masks"):
            place = Path(f"data/raw/{folder}{kind}/{number}.tif")
            place.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(place, np.full((40, 40), number % 2, np.uint8), photometric="minisblack")
    pairs = {
        "name": "mask_folder",
        "images": "maps/*.tif",
        "masks": "masks/{stem}.tif",
        "classes": {"a": [0], "b": [1]},
    }
    source = {"name": "tiles", "size_px": 32, "source": pairs | {"val_fraction": 0.3, "test_fraction": 0.3}}
    if folder:
        source = {"name": "joined", "sources": [{"source": source, "root": "north"}], "classes": ["a", "b"]}
    content = {"task": "segmentation", "ingest": {"source": source, "batch": "first", "split_seed": 7}}
    RECORDS.mkdir(parents=True)
    write_json(RECORDS / "ingest.json", {"stage": "ingest", "params": content, "inputs": {"data/raw": "0" * 64}})
    index = Index(tmp_path / "i.sqlite")
    images = [f"{folder}maps/{number}.tif" for number in (1, 2)]
    ids = [f"{image}/r000{row}-c000{column}" for image in images for row in (0, 1) for column in (0, 1)]
    index.add_samples("r", [(id, "first", sha("tile", number)) for number, id in enumerate(ids)])
    of_first = tuple(sorted(number for id in ids[:4] for number in index.images("id", id)))
    for asked, kind in (
        (f"data/raw/{images[0]}", "image"),
        (f"data/raw/{folder}masks/1.tif", "mask"),
        (images[0], "image"),
    ):
        thing = find_thing(index, asked)
        assert thing.kind == kind
        assert thing.images == of_first
    for asked in (f"data/raw/{folder}maps/3.tif", f"{folder}maps/3.tif", f"{folder}maps", "[0-9]"):
        assert find_thing(index, asked) is None
    index.close()


def test_lineage_without_arguments_is_the_champions_and_its_page_says_when_how_good_and_by_whom(
    small, monkeypatch, capsys
):
    from graft.cli import lineage as command

    (Path("params.yaml")).write_text((REPOSITORY / "params.yaml").read_text("utf-8"), "utf-8")
    assert command._champion(small) == f"models:/{NAME}@champion"
    chain = chain_of(small, f"models:/{NAME}@champion")
    html = page(chain)
    for words in ("2026-01-01 10:00 UTC", "passed the gate 2026-01-01 by Ada: every rule holds"):
        assert words in html
        assert words in tree(chain)
    num_arrows = sum(len(step.links) for step in chain.steps.values())
    assert html.count('marker-end="url(#arrow)"') == num_arrows > 0
    assert '<marker id="arrow"' in html
    small.database.execute("DELETE FROM aliases")
    with pytest.raises(GraftError, match=r"no champion of graft-segmentation yet.*@candidate"):
        command._champion(small)


@pytest.mark.parametrize(
    ("headline", "shown"),
    [
        ("mean_iou", "mean IoU"),
        ("accuracy", "accuracy"),
        ("mean_average_precision", "mean average precision"),
    ],
)
def test_the_score_is_the_headline_of_the_task(headline: str, shown: str) -> None:
    assert set(HEADLINES) == set(HEADLINE.values())
    facts = {"metrics": {"macro_f1": 0.25, headline: 0.5}, "params": {"evaluate": {"split": "val"}}}
    chain = Chain("m", (), {"scores": Step("scores", "evaluate", {}, facts)})
    assert list(summary_of(chain)) == [("score", f"{shown} 0.5000 on val")]
