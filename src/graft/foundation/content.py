"""Content as bytes and keys: files replaced in one step, JSON with one spelling, digests, seeds from content."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graft.foundation.errors import GraftError


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a path to write to; what is written there takes the place of `path` in one step, or not at all.

    When the block ends well, a reader (or a machine whose power failed) finds either the old file or the whole new one;
    when it raises, `path` stays as it was. Missing parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pending = path.with_name(f".tmp-{os.getpid()}-{path.name}")  # two processes may write the same file at once
    try:
        yield pending
        _flush(pending)  # the bytes are on the disk before the name leads to them
        pending.replace(path)
        _flush(path.parent)
    finally:
        pending.unlink(missing_ok=True)


def keep_copy(path: Path) -> Path:
    """Copies a file to the name with `.before` behind it, or `.before-2` and so on where that is taken; returns it."""
    names = itertools.chain([f"{path}.before"], (f"{path}.before-{number}" for number in itertools.count(2)))
    copy = next(free for free in map(Path, names) if not free.exists())
    with replace_file(copy) as pending:
        shutil.copy2(path, pending)
    return copy


def remove_abandoned(path: Path) -> None:
    """Removes what killed writers of `path` left beside it; for callers that know nobody is writing it now."""
    for pending in path.parent.glob(f".tmp-*-{path.name}"):
        pending.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Waits until a file, or the list of names of a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def json_bytes(content: Any) -> bytes:
    """JSON with sorted keys, so that the same content is the same bytes."""
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_json(path: Path, content: Any) -> None:
    """Writes content as JSON, spelled as `json_bytes` spells it."""
    path.write_bytes(json_bytes(content))


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        GraftError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GraftError("file not found", where=path, remedy="run the stage that writes it: dvc repro") from None
    except ValueError as error:
        raise GraftError(f"not valid JSON ({error})", where=path, remedy="remove it and run dvc repro") from None


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_seed(seed: int, *parts: object) -> int:
    """A 63-bit seed that is a pure function of its arguments, the same in every process and on every machine."""
    text = "\x1f".join([str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def content_digest(content: Any) -> str:
    """Hex sha256 of the sorted JSON of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
