"""Lineage, audit and attestation of a finished project: in its workspace, from the server alone, from one file."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from graft.cli.verify import verify
from graft.foundation.errors import GraftError
from graft.provenance.attest.bundle import attest_model, is_signed, verify_bundle
from graft.provenance.attest.statements import canonical
from graft.provenance.audit.audit import audit
from graft.provenance.audit.exported_folder import refuse_changed
from graft.provenance.audit.link import BROKEN, worst
from graft.provenance.audit.operations import watch_operations
from graft.provenance.audit.rebuild import rebuild_model
from graft.provenance.dvc_cache import stages_in
from graft.provenance.lineage.fill import open_index
from graft.provenance.lineage.recall import who_saw
from graft.provenance.lineage.walk import Chain, chain_of
from graft.provenance.promotion import move
from graft.provenance.tracking import mlflow_store
from tests.end_to_end.tampering import NAME, another, copied

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and what it imports warn of their own affairs
STAGES = ["export", "fine-tune", "augment", "validate", "ingest", "raw", "pretrain-load", "source", "evaluate"]


@pytest.fixture
def workspace(finished, tmp_path, monkeypatch) -> Path:
    root = copied(finished, tmp_path / "project")
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    monkeypatch.delenv("GRAFT_TRACKING", raising=False)
    return root


def chain(model: str) -> Chain:
    return chain_of(open_index(), model)


def verdict(bundle: bytes) -> str:
    try:
        return worst(verify_bundle(bundle, Path("none")))
    except GraftError:  # damaged beyond reading
        return BROKEN


def test_the_chain_is_whole_in_the_workspace_and_from_the_server_alone(workspace) -> None:
    whole = chain(f"models:/{NAME}@candidate")
    assert [step.stage for step in whole.steps.values()] == STAGES
    assert whole.missing == []
    assert whole.of_stage("fine-tune")[0].facts["seen"] == {"train": 16, "val": 6}
    assert whole.of_stage("source")[0].facts["licence"] == "Apache-2.0"
    assert chain("models/exported") == whole
    ids = json.loads((workspace / "models/fine_tuned/seen.json").read_text())
    for folder in ("build", "data", "models", "reports"):
        shutil.rmtree(folder)
    assert chain(f"models:/{NAME}@candidate") == whole
    answer = who_saw(open_index(), ids["train"][0])
    assert [(saw.version["number"], saw.how) for saw in answer.saw] == [(1, "trained on")]
    assert {saw.how: saw.num_images for saw in who_saw(open_index(), "first").saw} == {
        "trained on": 16,
        "best epoch chosen on": 6,
        "scored on": 6,
    }


def test_without_a_server_the_workspace_is_enough(workspace, monkeypatch) -> None:
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    alone = chain("models/exported")
    assert [step.stage for step in alone.steps.values()] == STAGES
    assert (alone.missing, alone.versions) == ([], ())
    assert worst(audit("models/exported")) == "missing"


def test_where_the_workspace_has_moved_on_the_cache_of_dvc_is_audited(workspace, finished) -> None:
    shutil.copytree(finished.root / ".dvc/cache", workspace / ".dvc/cache")
    for folder in ("data/deliveries", "data/interim", "data/augmented", "models", "reports"):
        shutil.rmtree(folder)
    Path("dvc.lock").unlink()
    links = audit(f"models:/{NAME}/1")
    assert {link.reason.rpartition("(")[2] for link in links if link.what in ("models/exported", "data/interim")} == {
        "DVC cache)"
    }
    assert [link for link in links if link.status == BROKEN] == []
    largest = max(Path(".dvc/cache/files").rglob("*"), key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[1000] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(bytes(data))
    kept = next(Path(".dvc/cache/files").rglob("*.dir"))
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[:-1])
    reasons = " ".join(link.reason for link in audit(f"models:/{NAME}/1") if link.status == BROKEN)
    assert "was changed (DVC cache)" in reasons
    assert f"the list of its files, {kept.parent.name}{kept.name}, was changed" in reasons


@pytest.mark.slow
def test_the_lock_file_is_compared_where_the_workspace_has_moved_on(workspace, finished, monkeypatch) -> None:
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    shutil.copytree(finished.root / ".dvc/cache", workspace / ".dvc/cache")
    Path("src/graft/foundation/progress.py").write_text("# edited\n")
    Path("data/raw/new.txt").write_text("a delivery")
    for folder in ("data/deliveries", "data/interim", "data/augmented"):
        shutil.rmtree(folder)
    lock, pipeline = Path("dvc.lock").read_text(), Path("dvc.yaml").read_text()

    def told(status: str) -> list[str]:
        links = audit("models/exported")
        return [f"{link.what}: {link.reason}" for link in links if link.status == status and "dvc.lock" in link.what]

    assert told(BROKEN) == []
    size = stages_in(lock)["ingest"]["outs"][0]["size"]
    Path("dvc.lock").write_text(lock.replace(f"size: {size}", f"size: {size + 1}"))
    assert "dvc.lock, ingest: not what was recorded: size of data/deliveries/first" in told(BROKEN)
    changed = lock.replace("cmd: graft ingest", "cmd: graft ingesu")
    Path("dvc.lock").write_text(changed)
    assert told(BROKEN) == ["dvc.lock, ingest, cmd: is not the command of dvc.yaml, here and at the recorded commit"]
    Path("dvc.yaml").write_text(pipeline.replace("cmd: graft ingest", "cmd: graft ingest --new"))
    assert (told(BROKEN), len(told("missing"))) == ([], 1)
    Path("dvc.lock").write_text(lock)
    assert told("missing") == []


def test_a_changed_model_is_not_loaded(workspace) -> None:
    import mlflow

    from graft.provenance.tracking import mlflow_store, model_versions

    refuse_changed(Path("models/exported"))
    with Path("models/exported/model.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\x55\xaa")
    with pytest.raises(GraftError, match="these files are not what export wrote"):
        refuse_changed(Path("models/exported"))
    (workspace / "downloads").mkdir()
    assert model_versions.download_model(f"models:/{NAME}@candidate", workspace / "downloads").is_dir()
    for kept in (workspace / "mlruns").rglob("artifacts/exported/model.onnx"):
        with kept.open("r+b") as file:
            file.seek(1000)
            file.write(b"\x55\xaa")
    with pytest.raises(GraftError, match="are not those that were registered"):
        model_versions.download_model(f"models:/{NAME}@candidate", workspace / "downloads")
    mlflow_store.client()  # points MLflow's own functions at the store of this folder
    with pytest.raises(Exception, match="not the files that were registered"):
        mlflow.pyfunc.load_model(f"models:/{NAME}/1")


def test_what_was_changed_in_the_exported_folder_is_named(workspace, monkeypatch) -> None:
    onnx = Path("models/exported/model.onnx")
    kept = onnx.read_bytes()
    onnx.write_bytes(kept[:1000] + bytes([kept[1000] ^ 1]) + kept[1001:])
    found = {link.what: link.reason for link in audit("models/exported") if link.status == BROKEN}
    assert found["models/exported"] == "models/exported/model.onnx was changed (workspace)"
    onnx.write_bytes(kept)
    record = Path("reports/records/export.json")
    record.write_text(record.read_text("utf-8")[:-5])
    assert record.as_posix() in {link.what for link in audit("models/exported") if link.status == BROKEN}
    shutil.rmtree("build")
    monkeypatch.setenv("GRAFT_TRACKING", "off")
    assert record.as_posix() in {link.what for link in audit("models/exported") if link.status == BROKEN}


@pytest.mark.slow
def test_a_model_that_the_ledger_knows_is_looked_for_by_the_ledger(workspace) -> None:
    client, name = mlflow_store.client(), f"models:/{NAME}"
    digest = client.get_model_version(NAME, "1").tags[mlflow_store.MODEL_DIGEST]
    move.move(client, move.intent_to("promote", (1, digest), [], name=NAME, reason="the first"))

    def broken(model: str) -> str:
        return " ".join(f"{link.what}: {link.reason}" for link in audit(model) if link.status == BROKEN)

    assert broken("models/exported") == ""
    client.set_model_version_tag(NAME, "1", mlflow_store.MODEL_DIGEST, "0" * 64)
    assert f"{name}/1, tag graft.model_digest: is 000000000000" in broken("models/exported")
    client.delete_model_version_tag(NAME, "1", mlflow_store.MODEL_DIGEST)
    assert f"{name}/1, tag graft.model_digest: is nothing" in broken("models/exported")
    client.delete_model_version(NAME, "1")
    for model in ("models/exported", f"{name}@champion", f"{name}/1"):
        assert f"{name}@champion: version 1 is the champion of the ledger, and was deleted" in broken(model)
        assert f"{name}/1: was deleted, though the ledger says that it was promoted" in broken(model)
    client.delete_registered_model(f"graft-ledger-{NAME}")  # the copy in git still knows
    assert "ledger.jsonl" in broken(f"{name}@champion")
    for model in (f"{name}/2", f"{name}@candidate", f"{name}/x"):
        with pytest.raises(GraftError, match="no such model"):
            audit(model)


def test_a_version_whose_digest_was_deleted_is_not_loaded(workspace, tmp_path) -> None:
    from graft.provenance.tracking import mlflow_store, model_versions

    mlflow_store.client().delete_model_version_tag(NAME, "1", mlflow_store.MODEL_DIGEST)
    with pytest.raises(GraftError, match="the digest of this version is gone from the registry"):
        model_versions.download_model(f"models:/{NAME}@candidate", tmp_path)
    ids = json.loads(Path("models/fine_tuned/seen.json").read_text())
    assert [saw.version["number"] for saw in who_saw(open_index(), ids["train"][0]).saw] == [1]


def test_a_folder_that_no_record_speaks_of_is_said_to_be_unverified(workspace, tmp_path) -> None:
    deployed = shutil.copytree("models/exported", tmp_path / "deployed")
    assert refuse_changed(deployed) is None
    (deployed / "note.txt").write_text("mine")
    assert f"{deployed} was not verified: no record here says what its files are" in refuse_changed(deployed)
    Path("reports/records/export.json").unlink()
    assert "models/exported was not verified" in refuse_changed(Path("models/exported"))


def test_a_bundle_is_checked_from_itself_alone(workspace, monkeypatch, tmp_path) -> None:
    data = attest_model(open_index(), chain("models/exported"))
    assert data == attest_model(open_index(), chain(f"models:/{NAME}/1"))
    assert not is_signed(data)
    exported = workspace / "models/exported"
    monkeypatch.chdir(tmp_path)
    assert [link for link in verify_bundle(data, Path("none"), exported) if link.status == BROKEN] == []
    card = next(link for link in verify_bundle(data, Path("none")) if link.what == "model card")
    assert "measured" in card.reason
    assert "4 fields missing" in card.reason
    rng = random.Random(5)
    for _ in range(50):
        changed = bytearray(data)
        place = rng.randrange(len(changed))
        changed[place] = another(changed[place], rng)
        assert verdict(bytes(changed)) == BROKEN, place
    (exported / "model.onnx").write_bytes(b"another")
    assert worst(verify_bundle(data, Path("none"), exported)) == BROKEN


def test_what_people_declare_is_on_the_card_and_cannot_be_forged(workspace) -> None:
    Path("model_card.yaml").write_text("owner: Ada <ada@example.org>\nintended_use: Streets at night\n", "utf-8")
    bundle = json.loads(attest_model(open_index(), chain("models/exported")))
    card = next(link for link in verify_bundle(repacked(bundle), Path("none")) if link.what == "model card")
    assert "2 fields missing" in card.reason
    bundle["files"]["model_card.yaml"] = "owner: Eve\nintended_use: Streets at night\n"
    broken = [link.what for link in verify_bundle(repacked(bundle), Path("none")) if link.status == BROKEN]
    assert broken == ["model card"]


@pytest.mark.parametrize(
    ("key", "value", "what", "reason"),
    [
        ("subject", [], "subject of record ", "does not name the files"),
        ("predicateType", None, "statement 1", "a statement without predicateType"),
        ("predicateType", "urn:other", "statement 1", "a statement of another kind, urn:other"),
        ("predicate", {"stage": "export"}, "statement 1", "its predicate is not a record of a stage"),
    ],
)
def test_a_forged_statement_is_named(key, value, what, reason, workspace) -> None:
    for number in (0, -1) if key == "subject" else (0,):
        bundle = json.loads(attest_model(open_index(), chain("models/exported")))
        content = json.loads(base64.b64decode(bundle["statements"][number]["payload"]))
        content = {name: kept for name, kept in {**content, key: value}.items() if kept is not None}
        bundle["statements"][number]["payload"] = base64.b64encode(canonical(content)).decode()
        links = verify_bundle(repacked(bundle), Path("none"))
        broken = [link for link in links if link.status == BROKEN]
        assert broken[0].what.startswith(what if number == 0 else "subject of the model card")
        assert reason in broken[0].reason


def repacked(bundle: dict[str, Any]) -> bytes:
    """As a forger would write it: the bundle's own digest is right."""
    content = {name: value for name, value in bundle.items() if name != "digest"}
    return canonical({**content, "digest": hashlib.sha256(canonical(content)).hexdigest()}) + b"\n"


def test_a_signed_bundle_names_its_signer(workspace, monkeypatch) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from graft.provenance.signatures import public_line

    keys = [Ed25519PrivateKey.generate() for _ in range(2)]
    pem = keys[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    Path("key.pem").write_bytes(pem)
    for number, key in enumerate(keys):
        Path(f"signer{number}.pub").write_text(f"{public_line(key)} person{number}\n")
    monkeypatch.setenv("GRAFT_SIGNING_KEY", "key.pem")
    data = attest_model(open_index(), chain("models/exported"))
    assert is_signed(data)
    links = verify_bundle(data, Path("signer0.pub"))
    assert {link.reason for link in links if link.what.startswith("signature")} == {"person0"}
    assert worst(links) == "verified"
    strangers = [link for link in verify_bundle(data, Path("signer1.pub")) if link.what.startswith("signature")]
    assert {link.status for link in strangers} == {BROKEN}
    monkeypatch.delenv("GRAFT_SIGNING_KEY")
    forged = attest_model(open_index(), chain("models/exported"))
    assert worst(verify_bundle(forged, Path("signer0.pub"))) == "missing"
    links = verify_bundle(forged, Path("signer0.pub"), must_be_signed=True)
    assert {link.what.partition(" ")[0] for link in links if link.status == BROKEN} == {"signature"}
    Path("forged.json").write_bytes(forged)
    verify(Path("forged.json"), None, None)
    with pytest.raises(typer.Exit):
        verify(Path("forged.json"), None, Path("signer0.pub"))
    with pytest.raises(GraftError, match="no public key in it"):
        verify(Path("forged.json"), None, Path("signer.pub"))


def test_what_was_edited_and_never_committed_is_not_rebuilt(workspace) -> None:
    seed = json.loads(Path("reports/records/export.json").read_text())["params"]["seed"]
    index = open_index()
    whole = chain("models/exported")
    index.database.execute(
        "UPDATE records SET content = replace(content, ?, ?)", (f'"seed": {seed}', f'"seed": {seed + 1}')
    )
    found = list(rebuild_model(index, whole))[-1]
    assert (found.status, found.what) == ("missing", "rebuild")
    assert "no commit holds all of what this model was made with" in found.reason


@pytest.mark.slow
def test_the_operations_of_a_training_step_repeat_where_it_was_trained(workspace) -> None:
    found = watch_operations(workspace)
    assert found.status == "verified", found.reason
    assert re.search(r"all \d,\d{3} operations of a training step gave the same bits", found.reason)


def test_what_only_the_remote_of_dvc_holds_is_audited_from_there(workspace, finished, tmp_path) -> None:
    dvc = Path(sys.executable).with_name("dvc")
    shutil.copytree(finished.root / ".dvc/cache", workspace / ".dvc/cache")
    for command in (["remote", "add", "-d", "team", str(tmp_path / "remote")], ["push", "--run-cache"]):
        subprocess.run([dvc, *command], check=True, capture_output=True)
    for folder in (".dvc/cache", "data/deliveries", "data/interim", "data/augmented", "models", "reports"):
        shutil.rmtree(folder)
    Path("dvc.lock").unlink()

    def found() -> dict[str, str]:
        return {link.what: f"{link.status} {link.reason}" for link in audit(f"models:/{NAME}/1")}

    assert found()["models/exported"].startswith("verified")
    shutil.rmtree(".dvc/cache")
    largest = max((tmp_path / "remote").rglob("*"), key=lambda file: file.stat().st_size)
    changed = bytearray(largest.read_bytes())
    changed[1000] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(bytes(changed))
    assert [reason for reason in found().values() if reason.startswith("broken")]
    shutil.rmtree(".dvc/cache")
    shutil.rmtree(tmp_path / "remote")
    assert "neither DVC's cache nor its remote has it" in found()["models/exported"]


@pytest.mark.slow
def test_the_pipeline_of_the_recorded_commit_gives_the_same_bytes_again(workspace) -> None:
    whole = list(rebuild_model(open_index(), chain(f"models:/{NAME}/1")))
    assert whole[-1].reason == "bitwise: every file of every stage has the same bytes"
    assert worst(whole) == "verified"
