"""Reads `dvc status --json`. In a clone without data what is merely absent is fine; what differs is stale."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ABSENT = frozenset({"deleted", "not in cache"})  # what a clone without data may say
OF_OWN_IMAGES = {"deleted", "modified"}


def stale(status: dict[str, list[Any]], own_images: str, absent: frozenset[str] = ABSENT) -> list[str]:
    """One line for each stage and path that changed since the lock file was written.

    Args:
        status: As `dvc status --json` prints it.
        own_images: `ingest.root`. A clone holds this folder without the images: it differs, and says nothing.
        absent: States that are no change.
    """
    lines = []
    for stage, changes in status.items():
        for change in changes:
            if not isinstance(change, dict):
                lines.append(f"{stage}: {change}")  # "changed command"
                continue
            for kind, paths in change.items():
                lines += [
                    f"{stage}: {kind}: {path}: {state}"
                    for path, state in paths.items()
                    if isinstance(state, dict)  # of params.yaml: the values that changed
                    or not (state in absent or (path == own_images and state in OF_OWN_IMAGES))
                ]
    return lines


def main() -> int:
    """Prints every stale stage; exit status 1 where there is one."""
    root = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))["ingest"]["root"]
    complete = "--complete" in sys.argv[1:]  # after a pull nothing may be absent but the images themselves
    found = stale(json.load(sys.stdin), root, frozenset() if complete else ABSENT)
    for line in found:
        print(line)
    if found:
        print("stale: run dvc repro and commit dvc.lock, or let the workflow gpu-train do it", file=sys.stderr)
        return 1
    print("dvc.lock speaks of this code and these params")
    return 0


if __name__ == "__main__":
    sys.exit(main())
