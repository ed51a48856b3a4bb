"""A copy of a finished project in which one byte is changed, and changed back."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.end_to_end.project import Project

LEAVE = (".venv", ".dvc", "__pycache__", ".resume", "build", ".locks")
NAME = "graft-segmentation"
FILES = {
    "shard": ("data/interim", "*.parquet"),
    "view": ("data/augmented", "*.npy"),
    "weights": ("models", "*.safetensors"),
    "onnx": ("models/exported", "*.onnx"),
    "record": ("reports/records", "*.json"),
    "report": ("reports/evaluation", "*"),
    "ledger": (".", "ledger.jsonl"),
    "model in the artifact store": ("mlruns", "*"),
}


def copied(project: Project, root: Path) -> Path:
    """The project elsewhere, with its MLflow store beside it; the cache of DVC stays behind: the workspace is whole."""
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns(*LEAVE))
    (root / ".dvc").mkdir()
    shutil.copy2(project.root / ".dvc/config", root / ".dvc/config")
    move_store(root, project.root)
    return root


def move_store(root: Path, original: Path) -> None:
    """Points a copied MLflow store to the files beside it."""
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
        ):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(original), str(root)))


def kinds(root: Path) -> dict[str, Callable[[random.Random], contextlib.AbstractContextManager[str]]]:
    """What changes one byte of each kind of artifact while the block lasts; yields which place it was."""
    files = {kind: lambda rng, kind=kind: _in_a_file(root, kind, rng) for kind in FILES}
    return files | {
        "params at the commit": lambda rng: _in_git(root, rng),
        "tag of a version": lambda rng: _in_a_tag(root, rng, "model_version_tags"),
        "page of a version": lambda rng: _in_the_table(root, rng),
        "tag of a run": lambda rng: _in_a_tag(root, rng, "tags"),
        "param of a run": lambda rng: _in_a_row(root, rng, "params", "key", "value", "length(value) > 0"),
        "dvc.lock": lambda rng: _in_the_lock_file(root / "dvc.lock", rng),
        "ledger on the server": lambda rng: _in_a_tag(root, rng, "model_version_tags", f"graft-ledger-{NAME}"),
    }


def another(byte: int, rng: random.Random) -> int:
    return rng.choice([value for value in range(256) if value != byte])


@contextlib.contextmanager
def _in_a_file(root: Path, kind: str, rng: random.Random) -> Iterator[str]:
    folder, pattern = FILES[kind]
    found = sorted(path for path in (root / folder).rglob(pattern) if _counts(path, kind))
    path = rng.choice(found)
    with _restored(path):
        data = bytearray(path.read_bytes())
        place = rng.randrange(len(data))
        data[place] = another(data[place], rng)
        path.write_bytes(bytes(data))
        yield f"{path.relative_to(root)}, byte {place}"


def _counts(path: Path, kind: str) -> bool:
    if kind == "model in the artifact store" and not {"models", "record"} & set(path.parts):
        return False
    return path.is_file() and path.stat().st_size > 0 and "__pycache__" not in path.parts


@contextlib.contextmanager
def _in_the_lock_file(path: Path, rng: random.Random) -> Iterator[str]:
    """A letter or digit in it becomes another, so that it says something else."""
    with _restored(path):
        data = path.read_bytes()
        place = rng.choice([place for place in range(len(data)) if chr(data[place]).isalnum()])
        letter = rng.choice([letter for letter in b"0123456789abcdefghijklmnopqrstuvwxyz" if letter != data[place]])
        path.write_bytes(data[:place] + bytes([letter]) + data[place + 1 :])
        line = data[:place].count(b"\n") + 1
        yield f"dvc.lock, line {line}: {path.read_text('utf-8').splitlines()[line - 1]}"


@contextlib.contextmanager
def _in_git(root: Path, rng: random.Random) -> Iterator[str]:
    """The object of params.yaml at the recorded commit, packed again as git packs it: its name alone gives it away."""
    import subprocess

    name = subprocess.check_output(["git", "rev-parse", "HEAD:params.yaml"], cwd=root, text=True).strip()
    path = root / ".git/objects" / name[:2] / name[2:]
    with _restored(path):
        data = bytearray(zlib.decompress(path.read_bytes()))
        place = rng.randrange(data.index(0) + 1, len(data))
        data[place] = another(data[place], rng)
        path.chmod(0o644)
        path.write_bytes(zlib.compress(bytes(data)))
        yield f"params.yaml, byte {place}"


def _in_a_tag(root: Path, rng: random.Random, table: str, name: str = NAME) -> contextlib.AbstractContextManager[str]:
    condition = "key LIKE 'graft.%' AND length(value) > 0"
    condition += f" AND name = '{name}'" if table == "model_version_tags" else ""
    return _in_a_row(root, rng, table, "key", "value", condition)


def _in_the_table(root: Path, rng: random.Random) -> contextlib.AbstractContextManager[str]:
    """What the page of a version says of its promotion."""
    condition = f"name = '{NAME}' AND description LIKE '%## Promotion%'"
    return _in_a_row(root, rng, "model_versions", "version", "description", condition, after="## Promotion")


@contextlib.contextmanager
def _in_a_row(
    root: Path, rng: random.Random, table: str, key: str, column: str, condition: str, after: str = ""
) -> Iterator[str]:
    """One letter of a value in the store, behind `after` where that is given."""
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        statement = f"SELECT {key}, {column}, rowid FROM {table} WHERE {condition}"
        found, value, row = rng.choice(sorted(database.execute(statement).fetchall()))
        place = rng.randrange(value.index(after) + len(after), len(value))
        letter = rng.choice([letter for letter in "0123456789abcdefghijklmnopqrstuvwxyz" if letter != value[place]])
        changed = value[:place] + letter + value[place + 1 :]
        database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, row))
    try:
        yield f"{found}, letter {place}"
    finally:
        with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as database, database:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))


@contextlib.contextmanager
def _restored(path: Path) -> Iterator[None]:
    data, mode = path.read_bytes(), path.stat().st_mode
    try:
        yield
    finally:
        path.chmod(0o644)
        path.write_bytes(data)
        path.chmod(mode)
