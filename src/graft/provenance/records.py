"""What a stage leaves behind so that its result stays provable: digests of all it read, ran and wrote."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.foundation.content import digest_of, digest_of_listing, sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.foundation.git import git_text
from graft.foundation.machine import nvidia_driver
from graft.foundation.workers import num_usable_cores
from graft.provenance.stages import RECORDS, record_path

CODE_FOLDERS = ("pipeline/", "src/")


@dataclass(frozen=True)
class Declared:
    """What `dvc.yaml` declares of a stage: data it reads, code it runs, params sections, paths it writes."""

    stage: str
    inputs: tuple[str, ...]
    code: tuple[str, ...]
    params: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def record(self) -> Path:
        return record_path(self.stage)


def declared(stage: str, params: Any, file: Path = Path("dvc.yaml")) -> Declared:
    """Reads one stage of `dvc.yaml`, with `${section.key}` filled in from params."""
    try:
        entry = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"][stage]
    except FileNotFoundError:
        raise GraftError("file not found", where=file, remedy="run graft in the root of a Graft project") from None
    paths = [_interpolated(path, params) for path in entry["deps"]]
    outputs = [_interpolated(path, params) for path in entry["outs"]]
    return Declared(
        stage,
        inputs=tuple(path for path in paths if not path.startswith(CODE_FOLDERS)),
        code=tuple(path for path in paths if path.startswith(CODE_FOLDERS)),
        params=tuple(entry["params"]),
        outputs=tuple(path for path in outputs if Path(path).parent != RECORDS),
    )


def digests(paths: tuple[str, ...]) -> dict[str, str]:
    """The content digest of each path: of a file its sha256, of a folder the sha256 of its sorted listing.

    Raises:
        GraftError: A path does not exist.
    """
    missing = [path for path in paths if not Path(path).exists()]
    if missing:
        remedy = "run the stages before this one: dvc repro (your own images are where ingest.root in params.yaml says)"
        raise GraftError(f"not found: {', '.join(missing)}", remedy=remedy)
    with ThreadPoolExecutor(num_usable_cores()) as pool:
        return {path: digest_of(Path(path), pool) for path in paths}


def environment(runtime: Any | None) -> dict[str, Any]:
    """What the result may depend on besides code and data; no host names, no times.

    What a stage does not use is None: without `runtime` it computes on no device and in no threads of torch's.
    """
    lock = Path("requirements.lock")
    facts: dict[str, Any] = {
        "lock": sha256_of(lock) if lock.is_file() else None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": None,
        "driver": None,
        "num_threads": None,
    }
    if runtime is not None:
        facts |= {"device": _device_name(runtime.device), "num_threads": runtime.num_threads}
        facts["driver"] = nvidia_driver() if runtime.device == "cuda" else None
    return facts


def fingerprint(
    stage: str, params: Mapping[str, Any], inputs: Mapping[str, str], code: Mapping[str, str], env: Any
) -> str:
    """The digest of everything a result is a function of. The commit is left out: a README changes no model."""
    used = {fact: value for fact, value in env.items() if value is not None}
    return content_digest({"stage": stage, "params": params, "inputs": inputs, "code": code, "environment": used})


def content_digest(content: Any) -> str:
    """sha256 of the sorted JSON of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Seal:
    """The digests of all a stage is about to use, taken before it starts and compared when it has ended."""

    stage: Declared
    params: dict[str, Any]
    inputs: dict[str, str]
    code: dict[str, str]
    environment: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.stage.stage, self.params, self.inputs, self.code, self.environment)

    def verify(self) -> None:
        """Hashes everything again.

        Raises:
            GraftError: Something changed while the stage was at work.
        """
        now = digests(self.stage.inputs) | digests(self.stage.code)
        changed = [path for path, digest in (self.inputs | self.code).items() if now[path] != digest]
        if changed:
            raise GraftError(
                f"changed while {self.stage.stage} was reading it: {', '.join(changed)}",
                rule="what a record says was read is what was read",
                remedy="leave these files alone and run dvc repro again",
            )

    def write_record(self, path: Path, outputs: Mapping[str, Mapping[str, str]], metrics: Mapping[str, float]) -> None:
        """Writes the record; `outputs` maps each declared output to the listing of what will stand there."""
        content = {
            "stage": self.stage.stage,
            "fingerprint": self.fingerprint,
            "params": self.params,
            "inputs": self.inputs,
            "code": self.code,
            "environment": self.environment,
            "outputs": {folder: digest_of_listing(files) for folder, files in outputs.items()},
            "files": {f"{folder}/{name}": files[name] for folder, files in outputs.items() for name in files},
            "metrics": dict(metrics),
            "git": git_state((*self.stage.code, "params.yaml")),
        }
        write_json(path, content)


def seal(stage: Declared, params: dict[str, Any], runtime: Any | None) -> Seal:
    """Hashes all a stage is about to use."""
    return Seal(stage, params, digests(stage.inputs), digests(stage.code), environment(runtime))


def git_state(paths: tuple[str, ...]) -> dict[str, Any]:
    """The commit checked out, and whether it holds the same bytes of these paths as the working tree."""
    commit = git_text("rev-parse", "HEAD")
    dirty = git_text("status", "--porcelain", "--", *paths)
    return {"commit": commit, "holds_code_and_params": commit is not None and dirty == ""}


def _interpolated(text: str, params: Any) -> str:
    def value(match: re.Match[str]) -> str:
        section, field = match[1].split(".")
        return str(getattr(params.section(section), field))

    return re.sub(r"\$\{([a-z_.]+)\}", value, text)


def _device_name(device: str) -> str:
    if device != "cuda":
        return device
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cuda (absent)"
