"""in-toto statements (v1) in DSSE envelopes, signed if a key is configured."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.foundation.errors import GraftError
from graft.provenance import signatures
from graft.provenance.records import MAPPINGS, Record

STATEMENT, PAYLOAD = "https://in-toto.io/Statement/v1", "application/vnd.in-toto+json"
RECORD, CARD = "urn:graft:record:1", "urn:graft:model-card:1"


def canonical(content: Any) -> bytes:
    """Sorted JSON without spaces: the same content is the same bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def make_statement(kind: str, files: Mapping[str, str], predicate: Any) -> dict[str, Any]:
    """Makes a statement about files.

    Args:
        kind: Type of the predicate, RECORD or CARD.
        files: sha256 of each file, by path.
        predicate: Content of the statement.
    """
    return {"_type": STATEMENT, "subject": subject_of(files), "predicateType": kind, "predicate": predicate}


def subject_of(files: Mapping[str, str]) -> list[dict[str, Any]]:
    """The subject of a statement, as in-toto tools read it: each file with its sha256."""
    return [{"name": name, "digest": {"sha256": files[name]}} for name in sorted(files)]


def make_envelope(content: Mapping[str, Any]) -> dict[str, Any]:
    """Wraps a statement in a DSSE envelope: the payload in base64, signed if a key is configured."""
    payload = canonical(content)
    signature = signatures.sign(pre_authentication(payload))
    made = [] if signature is None else [{"keyid": "", "sig": signature}]
    return {"payloadType": PAYLOAD, "payload": base64.b64encode(payload).decode(), "signatures": made}


def open_envelope(envelope: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Unwraps an envelope: its payload, and the statement in it.

    Raises:
        ValueError: It is not an envelope of a statement, or Graft writes no such statement.
    """
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        content = json.loads(payload)
        signed = [signature["sig"] for signature in envelope["signatures"]]
        if envelope["payloadType"] != PAYLOAD or content["_type"] != STATEMENT or None in signed:
            raise ValueError("not an in-toto statement")
    except (KeyError, TypeError, binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"not an envelope of a statement ({error})") from None
    if lacking := {"predicateType", "predicate", "subject"} - set(content):
        raise ValueError(f"a statement without {', '.join(sorted(lacking))}")
    if content["predicateType"] not in (RECORD, CARD):
        raise ValueError(f"a statement of another kind, {content['predicateType']}")
    if content["predicateType"] == RECORD and not _is_record(content["predicate"]):
        raise ValueError("its predicate is not a record of a stage")
    return payload, content


def _is_record(predicate: Any) -> bool:
    """Tell whether a predicate is a whole record; only `files` may be lacking, as in records of the first release."""
    needed = {"stage", "fingerprint", "git", *MAPPINGS} - {"files"}
    try:
        return needed <= set(Record.from_content(predicate).content)
    except GraftError:
        return False


def signer_of(envelope: Mapping[str, Any], payload: bytes, signers: Path) -> str | None:
    """The name of the listed person who signed an envelope; None if nobody did."""
    known = signatures.signers(signers)
    found = (
        signatures.signer_of(pre_authentication(payload), signature["sig"], known)
        for signature in envelope["signatures"]
    )
    return next((signer.name for signer in found if signer is not None), None)


def pre_authentication(payload: bytes) -> bytes:
    """The bytes that DSSE signs: type and payload, each with its length (DSSE v1.0, section Protocol)."""
    return b" ".join([b"DSSEv1", *(part for each in (PAYLOAD.encode(), payload) for part in (b"%d" % len(each), each))])
