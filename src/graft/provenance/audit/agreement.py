"""How near a rebuild came to the model: bitwise, numerical or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.provenance.audit.capability import offered
from graft.provenance.audit.link import BROKEN, MISSING, VERIFIED, Checked, few
from graft.provenance.audit.operations import operations
from graft.provenance.audit.record_files import file_of
from graft.provenance.records import Record
from graft.provenance.stages import FINE_TUNING, WEIGHTS, is_within

LARGEST_SCORE_DIFFERENCE = 0.02  # of scores between 0 and 1, where a training came out numerically different
WHAT = "rebuild"
Records = dict[str, Record]  # by stage


def levels(records: Records, again: Records, checkout: Path) -> Iterator[Checked]:
    """For each stage whether its bytes are the same, and the level of the whole.

    Judged is each stage that differs although everything it read is the same; what comes after it differs for that
    alone. Training may differ numerically, as long as the model scores the same; every other stage repeats its bytes.

    Args:
        records: Of the model, by stage, in the order they run in.
        again: Of the rebuild.
        checkout: Where it was rebuilt.
    """
    differing: dict[str, list[str]] = {}
    for stage, record in records.items():
        if files := _differing(record.files, again[stage].files):
            differing[stage] = files
            yield Checked(MISSING, f"rebuilt {stage}", f"other bytes: {few(files)}")
        else:
            yield Checked(VERIFIED, f"rebuilt {stage}", "bitwise")
    if not differing:
        yield Checked(VERIFIED, WHAT, "bitwise: every file of every stage has the same bytes")
    judged = [stage for stage in differing if records[stage].inputs == again[stage].inputs]
    for stage in judged or list(differing)[:1]:
        if stage == "fine-tune":
            yield operations(checkout)
        if stage == "fine-tune" and _is_trained(differing[stage]):
            yield _numerical(records, again, checkout)
        else:
            yield _not(stage, differing[stage], records[stage])


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Files that were changed, lost or gained."""
    return [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]


def _is_trained(files: Sequence[str]) -> bool:
    """Whether the files are weights, and perhaps the curves of their training: all that chance in it can change."""
    weights = [name for name in files if name.endswith(".safetensors")]
    return bool(weights) and all(name in weights or is_within(name, FINE_TUNING) for name in files)


def _not(stage: str, files: Sequence[str], record: Record) -> Checked:
    said = f"not: {stage} gives other bytes of {few(files)}, though all that it read is the same"
    machine = [link.reason for link in offered({stage: record})]
    if machine:
        return Checked(MISSING, WHAT, f"{said}; whether it was the machine cannot be told: {machine[0]}")
    return Checked(BROKEN, WHAT, f"{said}, and so is what is recorded of the machine (that is not the kind of CPU)")


def _numerical(records: Records, again: Records, checkout: Path) -> Checked:
    """The verdict on a training that gave other weights."""
    from safetensors.numpy import load_file

    before, now = records["evaluate"].metrics, again["evaluate"].metrics
    if before.keys() != now.keys():
        other = ", ".join(sorted(before.keys() ^ now.keys()))
        return Checked(BROKEN, WHAT, f"not: fine-tune differs, and other scores are measured ({other})")
    score, name = max(((abs(before[name] - now[name]), name) for name in before), default=(0.0, "none"))
    if score > LARGEST_SCORE_DIFFERENCE:
        moved = f"{name} was {before[name]:.4f} and is {now[name]:.4f}"
        return Checked(BROKEN, WHAT, f"not: fine-tune differs, {moved}; {LARGEST_SCORE_DIFFERENCE:g} is allowed")
    original = file_of(records["fine-tune"], WEIGHTS)
    if original is None:
        lost = "the original weights are neither in the workspace nor in DVC's cache; dvc fetch --run-cache may help"
        return Checked(MISSING, WHAT, f"fine-tune differs, and cannot be compared value by value: {lost}")
    weight = _largest_difference(load_file(original), load_file(checkout / WEIGHTS))
    if weight is None:
        return Checked(BROKEN, WHAT, "not: fine-tune gives tensors of other names or shapes")
    largest = f"the largest difference of a weight is {weight:.2e}, of a score {score:.2e} ({name})"
    return Checked(VERIFIED, WHAT, f"numerical: {largest}; fine-tune differs")


def _largest_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float | None:
    """Of any value, as float64; None where the tensors have other names or shapes."""
    if {name: value.shape for name, value in ours.items()} != {name: value.shape for name, value in theirs.items()}:
        return None
    differences = (abs(ours[name].astype("float64") - theirs[name].astype("float64")).max(initial=0) for name in ours)
    return float(max(differences, default=0.0))
