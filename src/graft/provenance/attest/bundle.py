"""`graft attest` and `graft verify`: every statement about a model in one file, and its check from itself alone."""

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
    enveloped,
    opened,
    signer_of,
    statement,
    subject_of,
)
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Checked, compared, compared_files, worst
from graft.provenance.audit.record_files import bytes_of, check_itself
from graft.provenance.lineage.index import Index, produced
from graft.provenance.lineage.walk import EXPORTED, Chain

FORMAT = "graft attestation 1"
Statements = list[tuple[dict[str, Any], dict[str, Any]]]  # envelope, statement


def attested(index: Index, chain: Chain) -> bytes:
    """The bundle of a model: a pure function of its records, the files they name, what people declare and the key.

    Raises:
        GraftError: The lineage has gaps.
    """
    if chain.missing:
        remedy = "dvc pull brings records back, graft lineage --refresh reads the server"
        raise GraftError.of_all("what has gaps is not attested", chain.missing, remedy=remedy)
    records = {step.key: record for step in chain.steps.values() if (record := index.record(step.key))}
    by_stage = {record["stage"]: record for record in reversed(records.values())}
    files = {path: text for path in EVIDENCE if (text := _text_of(index, records, path)) is not None}
    if Path(DECLARATION).is_file():
        files[DECLARATION] = Path(DECLARATION).read_text(encoding="utf-8")
    statements = [statement(RECORD, record["files"], record) for record in records.values()]
    statements.append(statement(CARD, by_stage["export"]["files"], fields(by_stage, files)))
    content = {
        "format": FORMAT,
        "model": chain.model,
        "statements": [enveloped(each) for each in statements],
        "records": list(records),
        "files": files,
    }
    return canonical({**content, "digest": hashlib.sha256(canonical(content)).hexdigest()}) + b"\n"


def verified(data: bytes, signers: Path, model: Path | None = None, must_be_signed: bool = False) -> list[Checked]:
    """Checks a bundle from itself alone, and a folder of exported files against it.

    Args:
        data: The bundle.
        signers: The public keys that are trusted, as in `signers.pub`; the file may be absent.
        model: The folder.
        must_be_signed: A statement without a signature is broken, not missing.

    Raises:
        GraftError: It is no bundle.
    """
    content = _parsed(data)
    links = list(_whole(data, content))
    if worst(links) == BROKEN:  # nothing else in it can be relied on
        return links
    statements, problems = _statements(content)
    links += [*problems, *_complete(content, statements)]
    for envelope, payload in statements:
        links.append(_signature(envelope, payload, signers, must_be_signed))
    records = [each["predicate"] for _, each in statements if each["predicateType"] == RECORD]
    links += [_subject(records, each) for _, each in statements]
    links += [link for key, record in zip(content["records"], records, strict=False) for link in _record(key, record)]
    links += _chain(content, records)
    links += _evidence(content, records)
    links += [_card(content, records, each) for _, each in statements if each["predicateType"] == CARD]
    if model is not None:
        made = (record for record in records if EXPORTED in record["outputs"])
        exported: Mapping[str, Any] = next(made, {"files": {}})
        expected = {posixpath.relpath(name, EXPORTED): sha for name, sha in exported["files"].items()}
        links.append(compared_files(str(model), expected, listing(model), "folder"))
    return links


def _text_of(index: Index, records: Mapping[str, Mapping[str, Any]], path: str) -> str | None:
    """The text of a file that a record names: from the workspace, else from the run of the record."""
    for key, record in records.items():
        sha = record["files"].get(path)
        if sha is None:
            continue
        if Path(path).is_file() and sha256_of(Path(path)) == sha:
            return Path(path).read_text(encoding="utf-8")
        data = _logged(index.run_of(key), posixpath.basename(path))
        return data.decode("utf-8") if data is not None and hashlib.sha256(data).hexdigest() == sha else None
    return None


def _logged(run: str | None, name: str) -> bytes | None:
    import tempfile

    from graft.provenance.tracking import mlflow_store, runs

    if run is None or mlflow_store.is_off():
        return None
    with tempfile.TemporaryDirectory() as folder, mlflow_store.explain_refusals():
        client = mlflow_store.client()
        file = runs.fetch_artifact(client, client.get_run(run), name, Path(folder))
        return None if file is None else file.read_bytes()


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
        lists = isinstance(content["statements"], list) and isinstance(content["records"], list)
        texts = [content["model"], content["digest"], *content["records"], *content["files"].values()]
        if content["format"] == FORMAT and lists and all(isinstance(text, str) for text in texts):
            return content
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise GraftError("not a bundle that graft attest wrote, or damaged beyond reading", remedy="ask for it again")


def _whole(data: bytes, content: Mapping[str, Any]) -> Iterator[Checked]:
    inside = {name: value for name, value in content.items() if name != "digest"}
    yield compared("bundle", content["digest"], hashlib.sha256(canonical(inside)).hexdigest(), "its own digest")
    if canonical(content) + b"\n" != data:
        yield Checked(BROKEN, "bundle", "not written as graft attest writes it")


def _complete(content: Mapping[str, Any], statements: Statements) -> Iterator[Checked]:
    kinds = [each["predicateType"] for _, each in statements]
    if kinds.count(RECORD) != len(content["records"]) or kinds.count(CARD) != 1:
        yield Checked(BROKEN, "bundle", "a statement was added or left out")


def _statements(content: Mapping[str, Any]) -> tuple[Statements, list[Checked]]:
    statements, problems = [], []
    for number, envelope in enumerate(content["statements"], 1):
        try:
            statements.append((envelope, opened(envelope)[1]))
        except ValueError as error:
            problems.append(Checked(BROKEN, f"statement {number}", str(error)))
    return statements, problems


def _signature(envelope: Mapping[str, Any], content: Mapping[str, Any], signers: Path, must_be_signed: bool) -> Checked:
    what = f"signature of {_title(content)}"
    if not envelope["signatures"] and must_be_signed:
        return Checked(BROKEN, what, f"not signed, though only those whom {signers} lists are trusted")
    if not envelope["signatures"]:
        return Checked(MISSING, what, "not signed: this shows that nothing was damaged, not who says it")
    if not signers.is_file():
        return Checked(MISSING, what, f"signed; name the public keys you trust with --signers ({signers} is absent)")
    name = signer_of(envelope, opened(envelope)[0], signers)
    return Checked(VERIFIED, what, name) if name else Checked(BROKEN, what, f"by nobody whom {signers} lists")


def _subject(records: list[dict[str, Any]], content: Mapping[str, Any]) -> Checked:
    """What in-toto tools take a statement to be about, against the files of its record, or of the model's."""
    what, predicate = f"subject of {_title(content)}", content["predicate"]
    if content["predicateType"] == CARD:
        predicate = next((record for record in records if record["stage"] == "export"), {"files": {}})
    if content["subject"] != subject_of(predicate["files"]):
        return Checked(BROKEN, what, "does not name the files that the statement speaks of, with their sha256")
    return Checked(VERIFIED, what, f"{len(predicate['files'])} files as in the record")


def _title(content: Mapping[str, Any]) -> str:
    return "the model card" if content["predicateType"] == CARD else f"record {content['predicate']['stage']}"


def _record(key: str, record: Mapping[str, Any]) -> Iterator[Checked]:
    yield compared(f"record {record['stage']}", key, hashlib.sha256(bytes_of(record)).hexdigest(), "the bundle")
    yield from check_itself(record)


def _chain(content: Mapping[str, Any], records: list[dict[str, Any]]) -> Iterator[Checked]:
    """Every input of every stage is what another statement says was made; the first is the model itself."""
    made = {digest for record in records for digest in produced(record).values()}
    yield compared("model", content["model"], records[0]["outputs"].get(EXPORTED) if records else None, "the bundle")
    for record in records:
        lacking = [path for path, digest in record["inputs"].items() if digest not in made]
        if record["stage"] != "ingest":
            status, reason = (BROKEN, f"nobody made {', '.join(lacking)}") if lacking else (VERIFIED, "each was made")
            yield Checked(status, f"inputs of {record['stage']}", reason)


def _evidence(content: Mapping[str, Any], records: list[dict[str, Any]]) -> Iterator[Checked]:
    known = {path: sha for record in reversed(records) for path, sha in record["files"].items()}
    for path, text in content["files"].items():
        if path == DECLARATION:  # a person's word, which no record holds: the card repeats it, and is signed
            continue
        yield compared(f"evidence {path}", known.get(path), hashlib.sha256(text.encode()).hexdigest(), "the record")


def _card(content: Mapping[str, Any], records: list[dict[str, Any]], card: Mapping[str, Any]) -> Checked:
    by_stage = {record["stage"]: record for record in reversed(records)}
    same = json.loads(canonical(fields(by_stage, content["files"]))) == card["predicate"]
    counts = {
        known: sum(row["known"] == known for row in card["predicate"]) for known in ("measured", "declared", "missing")
    }
    said = ", ".join(f"{count} fields {known}" for known, count in counts.items())
    return Checked(VERIFIED if same else BROKEN, "model card", said if same else "is not what records and evidence say")
