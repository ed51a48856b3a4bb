"""The record of a stage: digests of all it read, ran and wrote, so that its result stays provable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from graft.foundation.content import content_digest, digest_of_listing, json_bytes
from graft.foundation.errors import GraftError
from graft.foundation.packages import LOCK
from graft.provenance.stages import is_within

MAPPINGS = ("params", "inputs", "code", "environment", "outputs", "files", "metrics")


@dataclass(frozen=True)
class GitState:
    """The state of git when a stage ran.

    Attributes:
        commit: Name of the commit that was checked out; None outside a repository.
        holds_code_and_params: Whether that commit holds the code and params the stage ran with.
    """

    commit: str | None = None
    holds_code_and_params: bool = False


@dataclass(frozen=True)
class Record:
    """A record, read or about to be written. What a record of an older release lacks is empty.

    Attributes:
        stage: Name of the stage.
        fingerprint: Digest of everything the result is a function of.
        params: Parameters with all options resolved, by section.
        inputs: Content digest of each path it read.
        code: Content digest of each file or folder of code it ran.
        environment: Facts the result may depend on besides code and data: lock, python, system, device …
        outputs: Content digest of each folder it wrote.
        files: sha256 of each file in these folders, by path.
        metrics: Numbers it returned, by name.
        git: Commit it ran at.
        content: Plain data that all of this was read from; its spelling in JSON is the record's file.
    """

    stage: str
    fingerprint: str
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    code: Mapping[str, str]
    environment: Mapping[str, Any]
    outputs: Mapping[str, str]
    files: Mapping[str, str]
    metrics: Mapping[str, float]
    git: GitState
    content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_content(cls, content: Any, where: object = None) -> Record:
        """Takes plain data, such as parsed JSON.

        Args:
            content: The data.
            where: Place to name if it is malformed.

        Raises:
            GraftError: It is not the content of a record.
        """
        if not isinstance(content, Mapping) or not isinstance(content.get("stage"), str):
            raise _malformed_error("it names no stage", where)
        parts = {name: content.get(name, {}) for name in (*MAPPINGS, "git")}
        if wrong := [name for name, value in parts.items() if not isinstance(value, Mapping)]:
            raise _malformed_error(f"{', '.join(wrong)}: not a mapping", where)
        git = parts.pop("git")
        state = GitState(git.get("commit"), git.get("holds_code_and_params") is True)
        return cls(content["stage"], str(content.get("fingerprint", "")), **parts, git=state, content=content)

    @classmethod
    def from_bytes(cls, data: bytes, where: object = None) -> Record:
        """Parses the bytes of a record's file.

        Raises:
            GraftError: They are not a record.
        """
        try:
            content = json.loads(data)
        except ValueError as error:  # UnicodeDecodeError is one
            raise _malformed_error(f"not valid JSON ({error})", where) from None
        return cls.from_content(content, where)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Reads the file of a record.

        Raises:
            GraftError: The file is missing or is not a record.
        """
        try:
            return cls.from_bytes(path.read_bytes(), path)
        except FileNotFoundError:
            raise GraftError("file not found", where=path, remedy="run the stage that writes it: dvc repro") from None

    @classmethod
    def empty(cls, stage: str) -> Record:
        """An empty record, for a stage without one."""
        return cls.from_content({"stage": stage})

    def as_bytes(self) -> bytes:
        """The record as its file spells it: the same content is the same bytes."""
        return json_bytes(self.content)

    @cached_property
    def sha256(self) -> str:
        """Digest of the file of the record, which is its key everywhere."""
        return hashlib.sha256(self.as_bytes()).hexdigest()

    @cached_property
    def md5(self) -> str:
        """Digest by which DVC knows the file of the record."""
        return hashlib.md5(self.as_bytes(), usedforsecurity=False).hexdigest()

    @property
    def lock(self) -> str | None:
        """Digest of the lock file of the environment; None if there was none."""
        return self.environment.get("lock")

    @property
    def locks(self) -> dict[str, str]:
        """Digest of each lock file of the environment, by path: of the main one, and of those of extras it used."""
        found = {LOCK.as_posix(): self.lock, **(self.environment.get("extra_locks") or {})}
        return {path: digest for path, digest in found.items() if digest is not None}

    def expected_fingerprint(self) -> str:
        """The fingerprint that follows from params, inputs, code and environment."""
        return fingerprint(self.stage, self.params, self.inputs, self.code, self.environment)

    @property
    def teachers(self) -> list[Mapping[str, str]]:
        """The finished models that a training learnt from: `model`, the address or folder, and `sha256` of each."""
        strategy = self.params.get("fine_tune", {}).get("strategy", {})
        return list(strategy.get("teacher", ())) if self.stage == "fine-tune" and isinstance(strategy, Mapping) else []

    def produced(self) -> dict[str, str]:
        """The digest of every output, file and folder in an output, by path: a stage may read a part of one."""
        inside: dict[str, dict[str, str]] = {}
        for file, digest in self.files.items():
            for folder in self._folders_around(file):
                inside.setdefault(folder, {})[PurePosixPath(file).relative_to(folder).as_posix()] = digest
        folders = {folder: digest_of_listing(files) for folder, files in inside.items()}
        return {**self.outputs, **self.files, **folders}

    def files_in(self, output: str) -> dict[str, str]:
        """The sha256 of each file in an output, by path; of the output itself where it is a file."""
        return {path: sha for path, sha in self.files.items() if is_within(path, output)}

    def names_in(self, output: str) -> dict[str, str]:
        """The sha256 of each file in an output, by its path relative to the output."""
        return {path.removeprefix(f"{output}/"): sha for path, sha in self.files_in(output).items()}

    def digest_of(self, path: str) -> str | None:
        """The digest of an output, of a file in one or of a folder in one; None if the stage did not write it."""
        inside = self.names_in(path)
        return self.outputs.get(path) or self.files.get(path) or (digest_of_listing(inside) if inside else None)

    def _folders_around(self, file: str) -> Iterator[str]:
        """The folders between a file and the output it lies in."""
        for folder in PurePosixPath(file).parents:
            if folder.as_posix() in self.outputs:
                return
            yield folder.as_posix()


def fingerprint(
    stage: str, params: Mapping[str, Any], inputs: Mapping[str, str], code: Mapping[str, str], env: Mapping[str, Any]
) -> str:
    """The digest of everything a result is a function of. The commit is left out: a README changes no model."""
    used = {fact: value for fact, value in env.items() if value is not None}
    return content_digest({"stage": stage, "params": params, "inputs": inputs, "code": code, "environment": used})


def _malformed_error(problem: str, where: object) -> GraftError:
    remedy = "bring the file back with dvc checkout, or run the stage again"
    return GraftError(f"not the record of a stage: {problem}", where=where, remedy=remedy)
