"""A key to sign with, as a person configures it."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.provenance import signatures


def make_key(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes a private key and configures it; returns its line for `signers.pub`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv(signatures.KEY_VARIABLE, str(path))
    return f"{signatures.public_line(key)} {name}\n"
