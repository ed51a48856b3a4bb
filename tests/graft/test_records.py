"""A record is typed where it is read, the same bytes where it is written, and refused where it is malformed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from graft.foundation.content import digest_of_listing, write_json
from graft.foundation.errors import GraftError
from graft.provenance.records import GitState, Record, fingerprint

CONTENT = {
    "stage": "export",
    "fingerprint": fingerprint("export", {"seed": 7}, {"models/fine_tuned": "a"}, {"src": "b"}, {"lock": "c"}),
    "params": {"seed": 7},
    "inputs": {"models/fine_tuned": "a"},
    "code": {"src": "b"},
    "environment": {"lock": "c", "device": None},
    "outputs": {"models/exported": "d"},
    "files": {"models/exported/model.onnx": "e", "models/exported/größe/x": "f", "models/exported.old/y": "g"},
    "metrics": {"num_images": 3.0},
    "git": {"commit": "0" * 40, "holds_code_and_params": True},
}


def test_a_record_has_typed_fields_that_do_not_change():
    record = Record.from_content(CONTENT)
    assert (record.stage, record.metrics["num_images"], record.lock) == ("export", 3.0, "c")
    assert record.git == GitState("0" * 40, True)
    assert record.expected_fingerprint() == record.fingerprint
    with pytest.raises(FrozenInstanceError):
        record.stage = "ingest"


def test_a_record_is_spelled_as_its_file_is(tmp_path):
    write_json(tmp_path / "export.json", CONTENT)
    data = (tmp_path / "export.json").read_bytes()
    record = Record.read(tmp_path / "export.json")
    assert record.as_bytes() == data
    assert record.sha256 == hashlib.sha256(data).hexdigest()
    assert record.md5 == hashlib.md5(data).hexdigest()


def test_what_a_newer_release_adds_and_what_an_older_one_lacks_stays_in_the_bytes():
    newer = {**CONTENT, "added": [1, {"later": None}]}
    older = {key: value for key, value in CONTENT.items() if key not in ("files", "git")}
    for content in (newer, older):
        assert json.loads(Record.from_content(content).as_bytes()) == content
    assert Record.from_content(older).files == {}
    assert Record.from_content(older).git == GitState(None, False)


def test_files_of_an_output_are_those_in_it():
    record = Record.from_content(CONTENT)
    assert record.names_in("models/exported") == {"model.onnx": "e", "größe/x": "f"}
    assert set(record.files_in("models/exported")) == {"models/exported/model.onnx", "models/exported/größe/x"}
    assert record.digest_of("models/exported/größe") == digest_of_listing({"x": "f"})
    assert record.digest_of("models/exported") == "d"
    assert record.digest_of("models/other") is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "it names no stage"),
        (b"{}", "it names no stage"),
        (b'{"stage": 3}', "it names no stage"),
        (b'{"stage": "export", "files": [], "git": "x"}', "files, git: not a mapping"),
    ],
)
def test_a_malformed_record_is_refused_with_its_place_and_a_remedy(data, problem, tmp_path):
    file = tmp_path / "export.json"
    file.write_bytes(data)
    with pytest.raises(GraftError, match=problem) as refused:
        Record.read(file)
    assert (refused.value.where, "run the stage again" in str(refused.value)) == (file, True)


def test_an_absent_record_is_refused_with_a_remedy():
    with pytest.raises(GraftError, match="dvc repro"):
        Record.read(Path("absent/export.json"))
