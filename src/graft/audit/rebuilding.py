"""`graft audit --rebuild`: the pipeline once more, in a clean checkout of the recorded commit, and how near it came."""

from __future__ import annotations

import os
import platform
import posixpath
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graft.audit.commits import LOCK, Damaged, Objects, differences
from graft.audit.files import file_of
from graft.audit.links import BROKEN, MISSING, VERIFIED, Checked
from graft.audit.operations import operations
from graft.digests import digest_of
from graft.errors import GraftError
from graft.lineage.index import Index
from graft.lineage.walking import Chain
from graft.machine import nvidia_driver
from graft.progress import say
from graft.publish import STAGES
from graft.records import RECORDS
from graft.sample import read_json, sha256_of
from graft.workers import num_usable_cores

WEIGHTS = "models/fine_tuned/model.safetensors"
NUM_LINES = 12
Records = dict[str, dict[str, Any]]


def rebuilt(index: Index, chain: Chain) -> Iterator[Checked]:
    """Re-executes every stage without run cache and tracking; says which level was reached, and what stood against it.

    Raises:
        GraftError: The code, the parameters or the raw files of the model are not here, or a stage fails.
    """
    records = own_records(index, chain)
    commit = _commit_of(records)
    yield from offered(records)
    with tempfile.TemporaryDirectory(prefix="graft-rebuild-") as folder:
        checkout = place_for_checkout(Path(folder), records["ingest"])
        _check_out(commit, checkout)
        _bring_raw(records["ingest"], checkout)
        say(f"graft audit: rebuilding commit {commit[:12]} in {checkout}")
        _repro(checkout)
        again = {stage: read_json(checkout / RECORDS / f"{stage}.json") for stage in records}
        yield from levels(records, again, checkout)


def own_records(index: Index, chain: Chain) -> Records:
    """The record of each stage of this model, in the order they run in; not those of a model that it grew from."""
    nearest = [chain.first.key]
    for key in nearest:  # grows on the way: what stands nearer to the model comes first
        nearest += [link.to for link in chain.steps[key].links if link.to not in nearest]
    found: Records = {}
    for record in filter(None, map(index.record, nearest)):
        found.setdefault(record["stage"], record)
    return {stage: found[stage] for stage in STAGES if stage in found}


def place_for_checkout(folder: Path, ingest: Mapping[str, Any]) -> Path:
    """A folder in `folder`, so deep that raw files beside or above the repository get a place inside it as well."""
    above = max((posixpath.normpath(path).split("/").count("..") for path in ingest["inputs"]), default=0)
    place = folder.joinpath(*["above"] * above, "checkout")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _commit_of(records: Records) -> str:
    """The one commit that holds the code and parameters of every stage."""
    objects = Objects()
    problems = []
    try:
        for commit in dict.fromkeys(str(record["git"]["commit"]) for record in records.values()):
            wrong = {stage for stage, record in records.items() if differences(objects, commit, record)}
            if not wrong:
                return commit
            problems.append(f"{commit[:12]} holds other code or params of {', '.join(sorted(wrong))}")
    except Damaged as damage:
        problems.append(str(damage))
    finally:
        objects.close()
    remedy = "commit before training, and fetch the whole history"
    raise GraftError.of_all("no commit holds all of what this model was made with", problems, remedy=remedy)


def offered(records: Records) -> Iterator[Checked]:
    """What this machine has otherwise than the one that made the model."""
    lock = sha256_of(Path(LOCK)) if Path(LOCK).is_file() else None
    for stage, record in records.items():
        then = record["environment"]
        here = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
        other = [
            f"{name} {then[name]} (here {value})" for name, value in here.items() if then.get(name) not in (None, value)
        ]
        other += [] if then.get("lock") in (None, lock) else [f"the packages of lock {then['lock'][:12]}"]
        if then.get("device") not in (None, "cpu", _gpu()):
            other.append(f"device {then['device']} (here {_gpu() or 'no GPU'})")
        if then.get("driver") not in (None, nvidia_driver()):
            other.append(f"driver {then['driver']} (here {nvidia_driver()})")
        if (then.get("num_threads") or 0) > num_usable_cores():
            other.append(f"{then['num_threads']} threads (here {num_usable_cores()} cores)")
        if record["params"].get("runtime", {}).get("deterministic") is False:
            other.append("runtime.deterministic was false: torch was free to choose operations that are not")
        if other:
            yield Checked(MISSING, f"machine of {stage}", f"not offered here: {'; '.join(other)}")


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _check_out(commit: str, checkout: Path) -> None:
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(Path.cwd()), str(checkout)]
    for command in (clone, ["git", "-C", str(checkout), "checkout", "--quiet", "--detach", commit]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            remedy = "git fsck, or git fetch, brings what is lacking"
            raise GraftError(f"git cannot check out {commit[:12]}: {done.stderr.strip()}", remedy=remedy)
    (checkout / "dvc.lock").unlink(missing_ok=True)  # nothing is taken as done


def _bring_raw(ingest: Mapping[str, Any], checkout: Path) -> None:
    """The raw files, where the commit does not hold them: from where they were, if they are still the same."""
    for path, digest in ingest["inputs"].items():
        there = checkout / path
        if there.exists() and digest_of(there) == digest:
            continue
        if not Path(path).exists() or digest_of(Path(path)) != digest:
            raise GraftError(
                "the raw files are not those the model was made from",
                where=path,
                rule=f"their digest is {digest}",
                remedy="bring the delivery back to where ingest.root says",
            )
        if not Path(path).is_absolute():
            shutil.rmtree(there, ignore_errors=True)
            shutil.copytree(path, there)


def _repro(checkout: Path) -> None:
    folder = str(Path(sys.executable).parent)
    hidden = ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"GRAFT_TRACKING": "off", "DVC_NO_ANALYTICS": "1", "PATH": f"{folder}:{environment['PATH']}"}
    command = [f"{folder}/dvc", "repro", "--force", "--no-run-cache"]
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        last = "\n".join(done.stdout.decode(errors="replace").splitlines()[-NUM_LINES:])
        raise GraftError(f"the pipeline of the recorded commit does not run here:\n{last}")


def levels(records: Records, again: Records, checkout: Path) -> Iterator[Checked]:
    """For each stage and in all: bitwise, numerical (with the largest differences) or not."""
    differing = {}
    for stage, record in records.items():
        files = [name for name, sha in record["files"].items() if again[stage]["files"].get(name) != sha]
        gained = sorted(set(again[stage]["files"]) - set(record["files"]))
        if files or gained:
            differing[stage] = files + gained
        reason = f"other bytes: {', '.join((files + gained)[:5])}" if files or gained else "bitwise"
        yield Checked(MISSING if files or gained else VERIFIED, f"rebuilt {stage}", reason)
    if not differing:
        yield Checked(VERIFIED, "rebuild", "bitwise: every file of every stage has the same bytes")
        return
    first = next(iter(differing))
    if first == "fine-tune":
        yield operations(checkout)
    metrics, weights = _largest_metric(records, again), _largest_weight(records["fine-tune"], checkout)
    if metrics is None or weights is None:
        yield Checked(
            BROKEN, "rebuild", f"not: {first} gives something else; the originals cannot be compared value by value"
        )
        return
    said = f"numerical: the largest difference of a weight is {weights:.2e}, of a metric {metrics:.2e}; {first} differs"
    yield Checked(VERIFIED, "rebuild", said)


def _largest_metric(records: Records, again: Records) -> float | None:
    if any(set(record["metrics"]) != set(again[stage]["metrics"]) for stage, record in records.items()):
        return None
    pairs = [
        abs(value - again[stage]["metrics"][name])
        for stage, record in records.items()
        for name, value in record["metrics"].items()
    ]
    return max(pairs, default=0.0)


def _largest_weight(tuned: Mapping[str, Any], checkout: Path) -> float | None:
    """None where the original weights are nowhere to be found, or are of another shape."""
    from safetensors.numpy import load_file

    original = file_of(tuned, WEIGHTS)
    if original is None:
        return None
    ours, theirs = load_file(original), load_file(checkout / WEIGHTS)
    if {name: value.shape for name, value in ours.items()} != {name: value.shape for name, value in theirs.items()}:
        return None
    differences = (abs(ours[name].astype("float64") - theirs[name].astype("float64")).max(initial=0) for name in ours)
    return float(max(differences, default=0.0))
