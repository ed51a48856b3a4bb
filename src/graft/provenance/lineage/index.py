"""The local index of lineage: the content of records, joined by digest, in one SQLite file that can always be rebuilt.

It is read with the standard library alone, so that a question is answered at once. Which images a model saw is one bit
an image: fifty models and a hundred thousand images take less than a megabyte.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.provenance.deliveries import file_beside
from graft.provenance.records import Record

INDEX = Path("build/lineage.sqlite")
SCHEMA_VERSION = 3
SCHEMA = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE records (digest TEXT PRIMARY KEY, stage TEXT, content TEXT);
CREATE TABLE produced (digest TEXT, record TEXT, path TEXT, PRIMARY KEY (digest, record, path)) WITHOUT ROWID;
CREATE TABLE consumed (digest TEXT, record TEXT, path TEXT, PRIMARY KEY (digest, record, path)) WITHOUT ROWID;
CREATE INDEX consumed_by ON consumed (record);
CREATE TABLE runs (record TEXT PRIMARY KEY, run TEXT);
CREATE TABLE cards (record TEXT PRIMARY KEY, content TEXT, sha256 TEXT);
CREATE TABLE teachers (sha256 TEXT, record TEXT, PRIMARY KEY (sha256, record)) WITHOUT ROWID;
CREATE TABLE versions (name TEXT, number INTEGER, content TEXT, record TEXT, model TEXT, PRIMARY KEY (name, number));
CREATE TABLE aliases (name TEXT, alias TEXT, number INTEGER, PRIMARY KEY (name, alias));
CREATE TABLE images (number INTEGER PRIMARY KEY, digest TEXT UNIQUE);
CREATE TABLE samples (id TEXT, delivery TEXT, number INTEGER, PRIMARY KEY (id, delivery, number)) WITHOUT ROWID;
CREATE INDEX of_delivery ON samples (delivery, number);
CREATE INDEX of_image ON samples (number);
CREATE TABLE seen (record TEXT, role TEXT, bits BLOB, PRIMARY KEY (record, role));
CREATE TABLE masks (digest TEXT, number INTEGER, PRIMARY KEY (digest, number)) WITHOUT ROWID;
CREATE TABLE placed (record TEXT, split TEXT, bits BLOB, PRIMARY KEY (record, split));
CREATE TABLE listed (record TEXT PRIMARY KEY);
"""


class Index:
    """An open index.

    Args:
        path: File of the index; created if absent, created anew if damaged or of another format.
    """

    def __init__(self, path: Path = INDEX) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._numbers: dict[str, int] | None = None
        try:
            self.database = _open_database(path)
        except sqlite3.DatabaseError:
            path.unlink()
            self.database = _open_database(path)

    def close(self) -> None:
        self.database.commit()
        self.database.close()

    def fact(self, key: str) -> str | None:
        """The value noted under a key, such as the time the server was read at."""
        return self._one("SELECT value FROM facts WHERE key = ?", key)

    def note(self, key: str, value: str) -> None:
        self.database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    def add_record(self, data: bytes, run: str | None = None) -> str:
        """Takes a record as it stands in its file; returns the digest of the file.

        Raises:
            GraftError: It is not a record.
        """
        digest = hashlib.sha256(data).hexdigest()
        record = Record.from_bytes(data)
        self.database.execute(
            "INSERT OR IGNORE INTO records VALUES (?, ?, ?)", (digest, record.stage, json.dumps(record.content))
        )
        self._add_paths("produced", digest, record.produced().items())
        self._add_paths("consumed", digest, record.inputs.items())
        taught = [(teacher["sha256"], digest) for teacher in record.teachers]
        self.database.executemany("INSERT OR IGNORE INTO teachers VALUES (?, ?)", taught)
        if run:
            self.database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (digest, run))
        return digest

    def add_card(self, record: str, card: Mapping[str, Any]) -> None:
        """Takes the card that says where the pretrained weights of a record are from."""
        row = (record, json.dumps(card), card.get("sha256"))
        self.database.execute("INSERT OR REPLACE INTO cards VALUES (?, ?, ?)", row)

    def add_samples(self, record: str, samples: Iterable[tuple[str, str, str]]) -> None:
        """Takes the manifest of a record: (id, delivery, sha256 of the image) of each sample."""
        rows = list(samples)
        numbers = self._number_images(digest for _, _, digest in rows)
        numbered = [(name, delivery, numbers[digest]) for name, delivery, digest in rows]
        self.database.executemany("INSERT OR IGNORE INTO samples VALUES (?, ?, ?)", numbered)
        self.database.execute("INSERT OR IGNORE INTO listed VALUES (?)", (record,))

    def add_masks(self, masks: Iterable[tuple[str, str]]) -> None:
        """Takes the (sha256 of the mask in class ids, sha256 of the image) pairs of a manifest."""
        pairs = list(masks)
        numbers = self._number_images(image for _, image in pairs)
        rows = [(mask, numbers[image]) for mask, image in pairs]
        self.database.executemany("INSERT OR IGNORE INTO masks VALUES (?, ?)", rows)

    def add_splits(self, record: str, splits: Mapping[str, Sequence[str]]) -> None:
        """Takes the sha256 of the images that a record of ingest put into each split."""
        self._add_bits("placed", record, splits)

    def add_seen(self, record: str, seen: Mapping[str, Sequence[str]]) -> None:
        """Takes the sha256 of the images that a training saw, by role (train, val)."""
        self._add_bits("seen", record, seen)

    def replace_versions(self, versions: Sequence[Mapping[str, Any]]) -> None:
        """Takes what is registered: `name`, `number`, `record`, `model`, `run`, `tags`, `aliases` of each version."""
        self.database.execute("DELETE FROM versions")
        self.database.execute("DELETE FROM aliases")
        for version in versions:
            row = (version["name"], version["number"], json.dumps(version), version["record"], version["model"])
            self.database.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?)", row)
            for alias in version["aliases"]:
                pointer = (version["name"], alias, version["number"])
                self.database.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", pointer)

    def has_record(self, digest: str) -> bool:
        return self.record(digest) is not None

    def record(self, digest: str) -> Record | None:
        """The record of a digest; None if it is not known."""
        content = self._one("SELECT content FROM records WHERE digest = ?", digest)
        return None if content is None else Record.from_content(json.loads(content))

    def records(self, stage: str) -> list[str]:
        """The digests of all records of a stage."""
        return [row[0] for row in self.database.execute("SELECT digest FROM records WHERE stage = ?", (stage,))]

    def run_of(self, record: str) -> str | None:
        return self._one("SELECT run FROM runs WHERE record = ?", record)

    def card_of(self, record: str) -> dict[str, Any] | None:
        content = self._one("SELECT content FROM cards WHERE record = ?", record)
        return None if content is None else json.loads(content)

    def is_listed(self, record: str) -> bool:
        """Tell whether the index has the manifest of a record."""
        return self._one("SELECT record FROM listed WHERE record = ?", record) is not None

    def has_beside(self, record: str) -> bool:
        """Tell whether the index has the file beside a record that says more than it; True if the stage writes none."""
        known = self.record(record)
        stage = known.stage if known else None
        if stage == "pretrain-load":
            return self.card_of(record) is not None
        if stage == "fine-tune":
            return bool(self.num_seen(record))
        return known is None or file_beside(known) is None or self.is_listed(record)

    def num_seen(self, record: str) -> dict[str, int]:
        """Counts the images that a training saw, by role."""
        rows = self.database.execute("SELECT role, bits FROM seen WHERE record = ?", (record,))
        return {role: int.from_bytes(bits, "little").bit_count() for role, bits in rows}

    def producers(self, digest: str) -> list[tuple[str, str]]:
        """The (record, path) pairs of every output with these bytes."""
        statement = "SELECT record, path FROM produced WHERE digest = ? ORDER BY record, path"
        return list(self.database.execute(statement, (digest,)))

    def consumers(self, digest: str) -> list[str]:
        """The records that read these bytes."""
        return [row[0] for row in self.database.execute("SELECT record FROM consumed WHERE digest = ?", (digest,))]

    def grown_from(self, sha256: str) -> list[str]:
        """The records of pretrained weights that came from a file of this digest."""
        return [row[0] for row in self.database.execute("SELECT record FROM cards WHERE sha256 = ?", (sha256,))]

    def taught_by(self, sha256: str) -> list[str]:
        """The records of trainings whose teacher was a file of this digest."""
        return [row[0] for row in self.database.execute("SELECT record FROM teachers WHERE sha256 = ?", (sha256,))]

    def versions(self) -> list[dict[str, Any]]:
        """All registered versions, ordered by name and number."""
        rows = self.database.execute("SELECT content FROM versions ORDER BY name, number")
        return [json.loads(row[0]) for row in rows]

    def version(self, name: str, number: int) -> dict[str, Any] | None:
        content = self._one("SELECT content FROM versions WHERE name = ? AND number = ?", name, number)
        return None if content is None else json.loads(content)

    def number_behind(self, name: str, alias: str) -> int | None:
        return self._one("SELECT number FROM aliases WHERE name = ? AND alias = ?", name, alias)

    def images(self, column: str, value: str) -> list[int]:
        """The numbers of the images with this `digest`, digest of their `mask`, sample `id` or `delivery`."""
        table = {"digest": "images", "mask": "masks"}.get(column, "samples")
        column = "digest" if column == "mask" else column
        statement = f"SELECT DISTINCT number FROM {table} WHERE {column} = ?"
        return [row[0] for row in self.database.execute(statement, (value,))]

    def names(self, image: int) -> list[tuple[str, str]]:
        """The (id, delivery) pairs under which an image was ingested."""
        return list(self.database.execute("SELECT id, delivery FROM samples WHERE number = ?", (image,)))

    def ids_like(self, pattern: str) -> list[str]:
        """The sample ids that match a pattern with `*`, `?` and `[…]`."""
        rows = self.database.execute("SELECT DISTINCT id FROM samples WHERE id GLOB ? ORDER BY id", (pattern,))
        return [row[0] for row in rows]

    def digests_like(self, beginning: str) -> set[str]:
        """Every digest that begins with these digits: of images, masks, other bytes, records and models."""
        columns = {"images": "digest", "masks": "digest", "produced": "digest", "consumed": "digest"}
        columns |= {"records": "digest", "cards": "sha256", "teachers": "sha256", "versions": "model"}
        found: set[str] = set()
        for table, column in columns.items():
            statement = f"SELECT DISTINCT {column} FROM {table} WHERE {column} >= ? AND {column} < ?"
            found |= {row[0] for row in self.database.execute(statement, (beginning, f"{beginning}g"))}
        return found

    def records_named(self, beginning: str) -> dict[str, list[str]]:
        """The records whose `run` or `commit` begins with these digits."""
        commit = "json_extract(content, '$.git.commit')"
        begins = "substr({}, 1, length(:it)) = :it"
        of_commit = f"SELECT digest FROM records WHERE {begins.format(commit)}"
        statements = {"run": f"SELECT record FROM runs WHERE {begins.format('run')}", "commit": of_commit}
        return {
            kind: [row[0] for row in self.database.execute(statement, {"it": beginning})]
            for kind, statement in statements.items()
        }

    def is_known(self, digest: str) -> bool:
        """Tell whether some record read or wrote these bytes, or weights came from them, or a teacher's are these."""
        used = (self.producers, self.consumers, self.grown_from, self.taught_by)
        return any(find(digest) for find in used)

    def seen_by(self, images: Sequence[int]) -> dict[str, dict[str, int]]:
        """Counts the images among these that each training saw, by record and role; one that saw none is absent."""
        return self._count_bits("SELECT record, role, bits FROM seen ORDER BY record, role", images)

    def placed_by(self, images: Sequence[int]) -> dict[str, dict[str, int]]:
        """Counts the images among these that each ingest put into a split, by record and split."""
        return self._count_bits("SELECT record, split, bits FROM placed ORDER BY record, split", images)

    def _count_bits(self, statement: str, images: Sequence[int]) -> dict[str, dict[str, int]]:
        wanted = int.from_bytes(_bits(images), "little")
        found: dict[str, dict[str, int]] = {}
        for record, part, bits in self.database.execute(statement):
            if count := (int.from_bytes(bits, "little") & wanted).bit_count():
                found.setdefault(record, {})[part] = count
        return found

    def _add_bits(self, table: str, record: str, parts: Mapping[str, Sequence[str]]) -> None:
        for part, digests in parts.items():
            numbers = self._number_images(digests)
            bits = _bits(numbers[digest] for digest in digests)
            self.database.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", (record, part, bits))

    def _one(self, statement: str, *values: object) -> Any:
        row = self.database.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def _add_paths(self, table: str, record: str, paths: Iterable[tuple[str, str]]) -> None:
        rows = [(digest, record, path) for path, digest in paths]
        self.database.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?)", rows)

    def _number_images(self, digests: Iterable[str]) -> dict[str, int]:
        """Numbers images that have no number yet; returns the number of every image."""
        if self._numbers is None:
            self._numbers = dict(self.database.execute("SELECT digest, number FROM images"))
        new = {digest: None for digest in digests if digest not in self._numbers}
        first = max(self._numbers.values(), default=0) + 1 if new else 0
        added = {digest: number for number, digest in enumerate(new, first)}
        self.database.executemany("INSERT INTO images VALUES (?, ?)", [(n, digest) for digest, n in added.items()])
        self._numbers |= added
        return self._numbers


def _bits(numbers: Iterable[int]) -> bytes:
    numbers = list(numbers)
    bits = bytearray(max(numbers, default=0) // 8 + 1)
    for number in numbers:
        bits[number >> 3] |= 1 << (number & 7)
    return bytes(bits)


def _open_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60)
    found = database.execute("PRAGMA user_version").fetchone()[0]
    if found != SCHEMA_VERSION:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (table,) in tables.fetchall():
            database.execute(f"DROP TABLE {table}")
        database.executescript(SCHEMA + f"PRAGMA user_version = {SCHEMA_VERSION};")
    return database
