"""Recomputes every digest in the records of this workspace, and compares the records of successive stages."""

from __future__ import annotations

import sys
from pathlib import Path

from graft.foundation.content import digest_of
from graft.foundation.progress import progress
from graft.provenance.records import Record
from graft.provenance.stages import STAGES, record_path


def problems(records: dict[str, Record]) -> list[str]:
    """Lists files that differ from a record, and inputs that differ from what an earlier stage wrote."""
    written = {path: digest for record in records.values() for path, digest in record.produced().items()}
    lines = [f"no record of {stage}" for stage in STAGES if stage not in records]
    for stage, record in progress(records.items(), "Verifying", total=len(records), unit="stage"):
        stated = {**record.outputs, **record.files, **record.code}
        for path, digest in stated.items():
            if not Path(path).exists():
                lines.append(f"{stage}: {path}: missing")
            elif digest_of(Path(path)) != digest:
                lines.append(f"{stage}: {path}: is not what the record says")
        for path, digest in record.inputs.items():
            if written.get(path, digest) != digest:
                lines.append(f"{stage}: {path}: read something else than was written")
    return lines


def main() -> int:
    """Prints every problem; returns 1 if there is one."""
    records = {stage: Record.read(path) for stage in STAGES if (path := record_path(stage)).is_file()}
    found = problems(records)
    for line in found:
        print(line)
    if not found:
        print(f"{len(records)} records: every digest holds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
