"""`graft attest` and `graft verify`: all statements about a model in one file that can be checked on its own."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graft.foundation.content import listing, sha256_of
from graft.foundation.errors import GraftError
from graft.provenance.attest.card import DECLARATION, EVIDENCE, fields
from graft.provenance.attest.statements import (
    CARD,
    RECORD,
    canonical,
    make_envelope,
    make_statement,
    open_envelope,
    signer_of,
    subject_of,
)
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check, compare, compare_files, worst
from graft.provenance.audit.record_files import check_itself
from graft.provenance.lineage.index import Index
from graft.provenance.lineage.walk import Chain
from graft.provenance.records import Record
from graft.provenance.stages import EXPORTED, NO_MODEL, is_ingest

FORMAT = "graft attestation 1"
Statements = list[tuple[dict[str, Any], dict[str, Any]]]  # envelope, statement


def attest_model(index: Index, chain: Chain) -> bytes:
    """Writes the bundle of a model: a pure function of its records, the files they name, the declaration and the key.

    Raises:
        GraftError: The lineage has gaps.
    """
    if chain.missing:
        remedy = "dvc pull brings records back, graft lineage --refresh reads the server"
        raise GraftError.of_all("a lineage with gaps is not attested", chain.missing, remedy=remedy)
    its_own_first = dict.fromkeys([*(step.key for step in chain.own), *chain.steps])
    records = {key: record for key in its_own_first if (record := index.record(key))}
    by_stage = {record.stage: record for record in reversed(records.values())}
    files = {path: text for path in EVIDENCE if (text := _text_of(index, records, path)) is not None}
    if Path(DECLARATION).is_file():
        files[DECLARATION] = Path(DECLARATION).read_text(encoding="utf-8")
    statements = [make_statement(RECORD, record.files, record.content) for record in records.values()]
    statements.append(make_statement(CARD, by_stage["export"].files, fields(by_stage, files)))
    content = {
        "format": FORMAT,
        "model": chain.model,
        "statements": [make_envelope(each) for each in statements],
        "records": list(records),
        "files": files,
    }
    return canonical({**content, "digest": hashlib.sha256(canonical(content)).hexdigest()}) + b"\n"


def is_signed(data: bytes) -> bool:
    """Tell whether every statement of a bundle carries a signature."""
    return all(envelope["signatures"] for envelope in json.loads(data)["statements"])


def verify_bundle(data: bytes, signers: Path, model: Path | None = None, must_be_signed: bool = False) -> list[Check]:
    """Checks a bundle on its own, and a folder of exported files against it.

    Args:
        data: Bytes of the bundle.
        signers: File of the trusted public keys, as `signers.pub`; it may be absent.
        model: Folder of exported files.
        must_be_signed: Whether a statement without a signature is broken instead of missing.

    Raises:
        GraftError: It is not a bundle.
    """
    content = _parse(data)
    links = list(_check_digest(data, content))
    if worst(links) == BROKEN:  # nothing else in it can be relied on
        return links
    statements, problems = _statements(content)
    links += [*problems, *_check_complete(content, statements)]
    for envelope, payload in statements:
        links.append(_signature(envelope, payload, signers, must_be_signed))
    records = [Record.from_content(each["predicate"]) for _, each in statements if each["predicateType"] == RECORD]
    links += [_subject(records, each) for _, each in statements]
    links += [link for key, record in zip(content["records"], records, strict=False) for link in _record(key, record)]
    links += _chain(content, records)
    links += _evidence(content, records)
    links += [_card(content, records, each) for _, each in statements if each["predicateType"] == CARD]
    if model is not None:
        expected = next((record.names_in(EXPORTED) for record in records if EXPORTED in record.outputs), {})
        links.append(compare_files(str(model), expected, listing(model), "folder"))
    return links


def _text_of(index: Index, records: Mapping[str, Record], path: str) -> str | None:
    """The text of a file that a record names, from the workspace, else from the run of the record."""
    for key, record in records.items():
        sha = record.files.get(path)
        if sha is None:
            continue
        if Path(path).is_file() and sha256_of(Path(path)) == sha:
            return Path(path).read_text(encoding="utf-8")
        data = _download(index.run_of(key), posixpath.basename(path))
        return data.decode("utf-8") if data is not None and hashlib.sha256(data).hexdigest() == sha else None
    return None


def _download(run: str | None, name: str) -> bytes | None:
    import tempfile

    from graft.provenance.tracking import mlflow_store, runs

    if run is None or mlflow_store.is_off():
        return None
    with tempfile.TemporaryDirectory() as folder, mlflow_store.explain_refusals():
        client = mlflow_store.client()
        file = runs.fetch_artifact(client, client.get_run(run), name, Path(folder))
        return None if file is None else file.read_bytes()


def _parse(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
        lists = isinstance(content["statements"], list) and isinstance(content["records"], list)
        texts = [content["model"], content["digest"], *content["records"], *content["files"].values()]
        if content["format"] == FORMAT and lists and all(isinstance(text, str) for text in texts):
            return content
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise GraftError("not a bundle that graft attest wrote, or too damaged to read", remedy="ask for it again")


def _check_digest(data: bytes, content: Mapping[str, Any]) -> Iterator[Check]:
    inside = {name: value for name, value in content.items() if name != "digest"}
    yield compare("bundle", content["digest"], hashlib.sha256(canonical(inside)).hexdigest(), "its own digest")
    if canonical(content) + b"\n" != data:
        yield Check(BROKEN, "bundle", "not written as graft attest writes it")


def _check_complete(content: Mapping[str, Any], statements: Statements) -> Iterator[Check]:
    kinds = [each["predicateType"] for _, each in statements]
    if kinds.count(RECORD) != len(content["records"]) or kinds.count(CARD) != 1:
        yield Check(BROKEN, "bundle", "a statement was added or left out")


def _statements(content: Mapping[str, Any]) -> tuple[Statements, list[Check]]:
    statements, problems = [], []
    for number, envelope in enumerate(content["statements"], 1):
        try:
            statements.append((envelope, open_envelope(envelope)[1]))
        except ValueError as error:
            problems.append(Check(BROKEN, f"statement {number}", str(error)))
    return statements, problems


def _signature(envelope: Mapping[str, Any], content: Mapping[str, Any], signers: Path, must_be_signed: bool) -> Check:
    what = f"signature of {_title(content)}"
    if not envelope["signatures"] and must_be_signed:
        return Check(BROKEN, what, f"not signed, though only people listed in {signers} are trusted")
    if not envelope["signatures"]:
        return Check(MISSING, what, "not signed: this shows that nothing was damaged, not who made the statement")
    if not signers.is_file():
        return Check(MISSING, what, f"signed; name the public keys you trust with --signers ({signers} is absent)")
    name = signer_of(envelope, open_envelope(envelope)[0], signers)
    return Check(VERIFIED, what, name) if name else Check(BROKEN, what, f"not by anybody listed in {signers}")


def _subject(records: list[Record], content: Mapping[str, Any]) -> Check:
    """Compares the files a statement is about with those of its record; for the card, with those of export."""
    what = f"subject of {_title(content)}"
    if content["predicateType"] == CARD:
        files = next((record.files for record in records if record.stage == "export"), {})
    else:
        files = Record.from_content(content["predicate"]).files
    if content["subject"] != subject_of(files):
        return Check(BROKEN, what, "does not name the files of the statement with their sha256")
    return Check(VERIFIED, what, f"{len(files)} files as in the record")


def _title(content: Mapping[str, Any]) -> str:
    return "the model card" if content["predicateType"] == CARD else f"record {content['predicate']['stage']}"


def _record(key: str, record: Record) -> Iterator[Check]:
    yield compare(f"record {record.stage}", key, record.sha256, "the bundle")
    yield from check_itself(record)


def _chain(content: Mapping[str, Any], records: list[Record]) -> Iterator[Check]:
    """Checks that every input of a stage was made according to another statement, and the model itself."""
    made = {digest for record in records for digest in record.produced().values()}
    yield compare("model", content["model"], records[0].outputs.get(EXPORTED) if records else None, "the bundle")
    for record in records:
        lacking = [path for path, digest in record.inputs.items() if digest not in made and path != NO_MODEL]
        if not is_ingest(record.stage):
            status, reason = (BROKEN, f"nobody made {', '.join(lacking)}") if lacking else (VERIFIED, "each was made")
            yield Check(status, f"inputs of {record.stage}", reason)


def _evidence(content: Mapping[str, Any], records: list[Record]) -> Iterator[Check]:
    known = {path: sha for record in reversed(records) for path, sha in record.files.items()}
    for path, text in content["files"].items():
        if path == DECLARATION:  # no record holds a declaration; the signed card repeats it
            continue
        yield compare(f"evidence {path}", known.get(path), hashlib.sha256(text.encode()).hexdigest(), "the record")


def _card(content: Mapping[str, Any], records: list[Record], card: Mapping[str, Any]) -> Check:
    by_stage = {record.stage: record for record in reversed(records)}
    same = json.loads(canonical(fields(by_stage, content["files"]))) == card["predicate"]
    counts = {
        known: sum(row["known"] == known for row in card["predicate"]) for known in ("measured", "declared", "missing")
    }
    said = ", ".join(f"{count} fields {known}" for known, count in counts.items())
    return Check(VERIFIED if same else BROKEN, "model card", said if same else "is not what records and evidence say")
