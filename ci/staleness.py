"""Reads `dvc status --json` and lists stale stages. In a clone without data, absent files do not make a stage stale."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ABSENT = frozenset({"deleted", "not in cache"})  # states that a clone without data may report
OF_OWN_IMAGES = {"deleted", "modified"}


def list_stale(status: dict[str, list[Any]], own_images: Collection[str], absent: frozenset[str] = ABSENT) -> list[str]:
    """Lists each stage and path that changed since the lock file was written, a line each.

    Args:
        status: Output of `dvc status --json`.
        own_images: Roots of the deliveries. A clone has no images, or an empty folder, so the difference means nothing.
        absent: States that do not count as a change.
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
                    if isinstance(state, dict)  # the changed values of params.yaml
                    or not (state in absent or (path in own_images and state in OF_OWN_IMAGES))
                ]
    return lines


def main() -> int:
    """Prints every stale stage; returns 1 if there is one."""
    ingest = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))["ingest"]
    roots = [delivery["root"] for delivery in (ingest, *ingest.get("deliveries", {}).values())]
    complete = "--complete" in sys.argv[1:]  # after a pull only the images may be absent
    found = list_stale(json.load(sys.stdin), roots, frozenset() if complete else ABSENT)
    for line in found:
        print(line)
    if found:
        print("stale: run dvc repro and commit dvc.lock, or let the workflow gpu-train do it", file=sys.stderr)
        return 1
    print("dvc.lock speaks of this code and these params")
    return 0


if __name__ == "__main__":
    sys.exit(main())
