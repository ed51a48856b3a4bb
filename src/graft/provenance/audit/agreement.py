"""The agreement of a rebuild with the model: bitwise, numerical or none; and the machines of the two."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.foundation.content import digest_of
from graft.foundation.machine import nvidia_driver
from graft.foundation.workers import num_usable_cores
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Check, join_first
from graft.provenance.audit.operations import watch_operations
from graft.provenance.audit.record_files import file_of
from graft.provenance.records import Record
from graft.provenance.stages import FINE_TUNING, WEIGHTS, is_within

LARGEST_SCORE_DIFFERENCE = 0.02  # of scores between 0 and 1, where a training came out numerically different
WHAT = "rebuild"
Records = dict[str, Record]  # by stage


def compare_rebuild(records: Records, again: Records, checkout: Path) -> Iterator[Check]:
    """Compares a rebuild with the model, stage by stage, and judges the whole.

    A stage counts if it differs although everything it read is the same; later stages then differ for that reason
    alone. Training may differ numerically as long as the model scores the same; all others must repeat their bytes.

    Args:
        records: Records of the model, by stage, in the order the stages run in.
        again: Records of the rebuild.
        checkout: Folder of the rebuild.
    """
    differing: dict[str, list[str]] = {}
    for stage, record in records.items():
        if files := _differences(record.files, again[stage].files):
            differing[stage] = files
            yield Check(MISSING, f"rebuilt {stage}", f"other bytes: {join_first(files)}")
        else:
            yield Check(VERIFIED, f"rebuilt {stage}", "bitwise")
    if not differing:
        yield Check(VERIFIED, WHAT, "bitwise: every file of every stage has the same bytes")
    judged = [stage for stage in differing if records[stage].inputs == again[stage].inputs]
    for stage in judged or list(differing)[:1]:
        if stage == "fine-tune":
            yield watch_operations(checkout)
        if stage == "fine-tune" and _is_trained(differing[stage]):
            yield _judge_training(records, again, checkout)
        else:
            yield _judge_other(stage, differing[stage], records[stage])


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of the files that were changed, lost or added."""
    return [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]


def _is_trained(files: Sequence[str]) -> bool:
    """Tell whether the files are weights and perhaps their curves, which is all that chance in training can change."""
    weights = [name for name in files if name.endswith(".safetensors")]
    return bool(weights) and all(name in weights or is_within(name, FINE_TUNING) for name in files)


def _judge_other(stage: str, files: Sequence[str], record: Record) -> Check:
    said = f"not: {stage} gives other bytes of {join_first(files)}, though everything it read is the same"
    machine = [link.reason for link in compare_machines({stage: record})]
    if machine:
        return Check(MISSING, WHAT, f"{said}; the machine may be the reason: {machine[0]}")
    return Check(
        BROKEN, WHAT, f"{said}, as is everything recorded about the machine (which does not include the CPU model)"
    )


def _judge_training(records: Records, again: Records, checkout: Path) -> Check:
    """The verdict on a training that gave other weights."""
    from safetensors.numpy import load_file

    before, now = records["evaluate"].metrics, again["evaluate"].metrics
    if before.keys() != now.keys():
        other = ", ".join(sorted(before.keys() ^ now.keys()))
        return Check(BROKEN, WHAT, f"not: fine-tune differs, and other scores are measured ({other})")
    score, name = max(((abs(before[name] - now[name]), name) for name in before), default=(0.0, "none"))
    if score > LARGEST_SCORE_DIFFERENCE:
        moved = f"{name} was {before[name]:.4f} and is {now[name]:.4f}"
        return Check(BROKEN, WHAT, f"not: fine-tune differs, {moved}; {LARGEST_SCORE_DIFFERENCE:g} is allowed")
    original = file_of(records["fine-tune"], WEIGHTS)
    if original is None:
        lost = "the original weights are neither in the workspace nor in DVC's cache; try dvc fetch --run-cache"
        return Check(MISSING, WHAT, f"fine-tune differs, and cannot be compared value by value: {lost}")
    weight = _largest_difference(load_file(original), load_file(checkout / WEIGHTS))
    if weight is None:
        return Check(BROKEN, WHAT, "not: fine-tune gives tensors of other names or shapes")
    largest = f"the largest difference of a weight is {weight:.2e}, of a score {score:.2e} ({name})"
    return Check(VERIFIED, WHAT, f"numerical: {largest}; fine-tune differs")


def _largest_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float | None:
    """The largest difference of any value, as float64; None if the tensors have other names or shapes."""
    if {name: value.shape for name, value in ours.items()} != {name: value.shape for name, value in theirs.items()}:
        return None
    differences = (abs(ours[name].astype("float64") - theirs[name].astype("float64")).max(initial=0) for name in ours)
    return float(max(differences, default=0.0))


def compare_machines(records: Mapping[str, Record]) -> Iterator[Check]:
    """Names what each stage had on the machine of the model and this machine does not offer."""
    for stage, record in records.items():
        then = record.environment
        here = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
        other = [
            f"{name} {then[name]} (here {value})" for name, value in here.items() if then.get(name) not in (None, value)
        ]
        other += [
            f"the packages of {path} {digest[:12]}"
            for path, digest in record.locks.items()
            if not Path(path).is_file() or digest_of(Path(path)) != digest
        ]
        if then.get("device") not in (None, "cpu", _device()):
            other.append(f"device {then['device']} (here {_device() or 'no GPU'})")
        if then.get("driver") not in (None, nvidia_driver()):
            other.append(f"driver {then['driver']} (here {nvidia_driver()})")
        if (then.get("num_threads") or 0) > num_usable_cores():
            other.append(f"{then['num_threads']} threads (here {num_usable_cores()} cores)")
        if record.params.get("runtime", {}).get("deterministic") is False:
            other.append("runtime.deterministic was false: torch was free to choose operations that are not")
        if other:
            yield Check(MISSING, f"machine of {stage}", f"not offered here: {'; '.join(other)}")


def _device() -> str | None:
    """The accelerator here, as a record names it; None if there is none."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "mps" if torch.backends.mps.is_available() else None
