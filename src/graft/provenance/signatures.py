"""Ed25519 signatures: made with the key a person configured, checked with the public keys the project lists."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_VARIABLE = "GRAFT_SIGNING_KEY"
SIGNERS = Path("signers.pub")  # one line a person, as `ssh-keygen -t ed25519` writes it: ssh-ed25519 AAAA… name


@dataclass(frozen=True)
class Signer:
    """A person whose public key the project lists."""

    name: str
    key: Ed25519PublicKey


def signers(file: Path = SIGNERS) -> list[Signer]:
    """Reads the people whose signatures count; none if the project has no such file.

    Raises:
        GraftError: A line is not an Ed25519 public key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    if not file.is_file():
        return []
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            key = load_ssh_public_key(line.encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            remedy = "a line is the content of a .pub file of: ssh-keygen -t ed25519"
            raise GraftError("not an Ed25519 public key", where=f"{file}:{number}", remedy=remedy)
        found.append(Signer(" ".join(line.split()[2:]) or f"line {number}", key))
    return found


def configured_key() -> Ed25519PrivateKey | None:
    """The private key that `GRAFT_SIGNING_KEY` names (PEM or OpenSSH, without passphrase); None if it is unset.

    Raises:
        GraftError: The file is missing or is no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    path = os.environ.get(KEY_VARIABLE)
    if not path:
        return None
    remedy = "make one with: openssl genpkey -algorithm ed25519 -out key.pem, or ssh-keygen -t ed25519; keep it secret"
    try:
        content = Path(path).read_bytes()
        load = load_ssh_private_key if b"OPENSSH" in content else load_pem_private_key
        key = load(content, password=None)
    except OSError as error:
        raise GraftError(f"{KEY_VARIABLE}: {error.strerror}", where=path, remedy=remedy) from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise GraftError(f"{KEY_VARIABLE}: not a usable key ({error})", where=path, remedy=remedy) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise GraftError(f"{KEY_VARIABLE}: not an Ed25519 key", where=path, remedy=remedy)
    return key


def sign(data: bytes, file: Path = SIGNERS) -> str | None:
    """The signature of `data` in base64 with the configured key; None if none is configured.

    Raises:
        GraftError: The key cannot be used, or the project lists signers and this one is not among them.
    """
    key = configured_key()
    if key is None:
        return None
    signature = base64.b64encode(key.sign(data)).decode()
    known = signers(file)
    if known and signer_of(data, signature, known) is None:
        public = public_line(key)
        remedy = f"have this line reviewed and added: {public} YOUR NAME"
        raise GraftError(f"the key of {KEY_VARIABLE} is not listed", where=file, remedy=remedy)
    return signature


def signer_of(data: bytes, signature: str, known: Sequence[Signer]) -> Signer | None:
    """The first of these signers whose signature of `data` this is; None if it is nobody's."""
    from cryptography.exceptions import InvalidSignature

    for signer in known:
        try:
            signer.key.verify(base64.b64decode(signature, validate=True), data)
        except (InvalidSignature, ValueError, TypeError):  # TypeError: what stands there is no text
            continue
        return signer
    return None


def public_line(key: Ed25519PrivateKey) -> str:
    """The public half of a key as a line of `signers.pub`, without a name."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
