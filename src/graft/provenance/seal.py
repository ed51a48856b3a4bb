"""The seal of a stage: digests of all it is about to use, taken before it starts and compared when it has ended."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.foundation.content import digest_of, digest_of_listing, sha256_of
from graft.foundation.errors import GraftError
from graft.foundation.git import git_text
from graft.foundation.machine import nvidia_driver
from graft.foundation.packages import LOCK, find_pin
from graft.foundation.workers import num_usable_cores
from graft.provenance.records import GitState, Record, fingerprint
from graft.provenance.stages import INGESTED, LATER, RECORDS, delivery_of, record_path, weights_source

CODE_FOLDERS = ("pipeline/", "src/")


@dataclass(frozen=True)
class DeclaredStage:
    """A stage as `dvc.yaml` declares it.

    Attributes:
        stage: Name of the stage.
        inputs: Paths of the data it reads.
        code: Paths of the code it runs.
        params: Names of the params sections it uses.
        outputs: Paths it writes, the record left out.
    """

    stage: str
    inputs: tuple[str, ...]
    code: tuple[str, ...]
    params: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def record(self) -> Path:
        return record_path(self.stage)


def read_declaration(stage: str, params: Any, file: Path = Path("dvc.yaml")) -> DeclaredStage:
    """Reads one stage of `dvc.yaml`, or an instance of ingest, with `${section.key}` filled in from params.

    A dependency on the folder of all deliveries is one on each that params list: what DVC has left there of one that
    was taken out is not read.
    """
    try:
        stages = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        raise GraftError("file not found", where=file, remedy="run graft in the root of a Graft project") from None
    entry = declared_entry(stages, stage)
    paths, outputs, names = (
        [interpolate(text, stage, params.section) for text in entry[key]] for key in ("deps", "outs", "params")
    )
    listed = [f"{INGESTED}/{name}" for name in params.ingest.names]
    paths = [path for each in paths for path in (listed if each == INGESTED else [each])]
    return DeclaredStage(
        stage,
        inputs=tuple(path for path in paths if not path.startswith(CODE_FOLDERS)),
        code=tuple(path for path in paths if path.startswith(CODE_FOLDERS)),
        params=tuple(names),
        outputs=tuple(path for path in outputs if Path(path).parent != RECORDS),
    )


def declared_entry(stages: Mapping[str, Any], stage: str) -> Any:
    """The entry of a stage among those of `dvc.yaml`; of an instance, what `foreach` does for each item.

    Raises:
        KeyError: There is none.
    """
    return stages[stage] if delivery_of(stage) is None else stages[LATER]["do"]


def interpolate(text: str, stage: str, value_of: Callable[[str], Any]) -> str:
    """Fills in `${section.key}`, and in an instance `${key}` and `${item.root}`, as DVC does.

    Args:
        text: Text out of `dvc.yaml`.
        stage: Name of the stage, or of an instance.
        value_of: Function that gives the value of a dotted key of params.
    """
    delivery = delivery_of(stage)

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name == "key":
            return str(delivery)
        if name == "item.root":
            item = value_of(f"ingest.deliveries.{delivery}")
            return str(item["root"] if isinstance(item, Mapping) else item.root)
        return str(value_of(name))

    return re.sub(r"\$\{([a-z_.]+)\}", value, text)


def compute_digests(paths: tuple[str, ...]) -> dict[str, str]:
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


def describe_environment(runtime: Any | None, package: str | None = None) -> dict[str, Any]:
    """Facts the result may depend on besides code and data; no host names, no times.

    A fact that a stage does not use is None: without `runtime` it computes on no device and in no threads of torch,
    without a `package` of weights out of an extra it needs that extra's lock as little as any other.
    """
    pin = None if package is None else find_pin(package)
    extra = None if pin is None or pin[0] == LOCK else pin[0]
    facts: dict[str, Any] = {
        "lock": sha256_of(LOCK) if LOCK.is_file() else None,
        "extra_locks": None if extra is None else {extra.as_posix(): sha256_of(extra)},
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


@dataclass(frozen=True)
class Seal:
    """The digests of all a stage is about to use."""

    stage: DeclaredStage
    params: dict[str, Any]
    inputs: dict[str, str]
    code: dict[str, str]
    environment: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.stage.stage, self.params, self.inputs, self.code, self.environment)

    def verify(self) -> None:
        """Hashes everything again and compares.

        Raises:
            GraftError: Something changed while the stage was running.
        """
        now = compute_digests(self.stage.inputs) | compute_digests(self.stage.code)
        changed = [path for path, digest in (self.inputs | self.code).items() if now[path] != digest]
        if changed:
            raise GraftError(
                f"changed while {self.stage.stage} was reading it: {', '.join(changed)}",
                rule="a record names the very bytes that the stage read",
                remedy="leave these files alone and run dvc repro again",
            )

    def record(self, outputs: Mapping[str, Mapping[str, str]], metrics: Mapping[str, float]) -> Record:
        """The record of the stage that has ended.

        Args:
            outputs: Listing of each declared output, by path: the sha256 of each file by its name in there.
            metrics: Numbers the stage returned.
        """
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
            "git": asdict(git_state((*self.stage.code, "params.yaml"))),
        }
        return Record.from_content(content)


def seal(stage: DeclaredStage, params: dict[str, Any], runtime: Any | None) -> Seal:
    """Hashes all a stage is about to use."""
    inputs, code = compute_digests(stage.inputs), compute_digests(stage.code)
    package = weights_source(params).get("package")
    return Seal(stage, params, inputs, code, describe_environment(runtime, package))


def git_state(paths: tuple[str, ...]) -> GitState:
    """The commit checked out, and whether it holds the same bytes of these paths as the working tree."""
    commit = git_text("rev-parse", "HEAD")
    dirty = git_text("status", "--porcelain", "--", *paths)
    return GitState(commit, commit is not None and dirty == "")


def _device_name(device: str) -> str:
    if device != "cuda":
        return device
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cuda (absent)"
