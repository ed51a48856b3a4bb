"""Digests of files and folders: the keys that join records, versions and files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from graft.sample import sha256_of


def digest_of(path: Path, pool: ThreadPoolExecutor | None = None) -> str:
    """The content digest of a file or folder; names count relative to the folder, so it is the same anywhere."""
    return sha256_of(path) if path.is_file() else digest_of_listing(listing(path, pool))


def listing(folder: Path, pool: ThreadPoolExecutor | None = None) -> dict[str, str]:
    """The sha256 of every file below a folder, by its path relative to the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not is_bytecode(file))
    hashes = pool.map(sha256_of, files) if pool else map(sha256_of, files)
    return {file.relative_to(folder).as_posix(): digest for file, digest in zip(files, hashes, strict=True)}


def digest_of_listing(files: Mapping[str, str]) -> str:
    """The digest of a folder from the digests of its files."""
    return hashlib.sha256("".join(f"{name}\0{files[name]}\n" for name in sorted(files)).encode()).hexdigest()


def is_bytecode(path: Path) -> bool:
    """Whether Python wrote a file beside the code that it ran; DVC leaves these out too (`.dvcignore`)."""
    return path.suffix == ".pyc" or "__pycache__" in path.parts
