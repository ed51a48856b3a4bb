"""The command `python -m benchmarks [NAME…] [--write]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

# Name -> whether it runs when none is named; those after `continual` take hours, and need data for most of it.
BENCHMARKS = {
    "startup": True,
    "lineage": True,
    "lineage_server": True,
    "export": True,
    "quantisation": True,
    "large_images": True,
    "video": True,
    "metrics": True,
    "training": True,
    "mixed_precision": True,
    "frozen_features": True,
    "distillation": True,
    "ingest": True,
    "overhead": True,
    "drift": False,
    "continual": False,
    "adaptation": False,
    "quality": False,
    "effects": False,
    "transfer": False,
    "rankings": False,
}
PRECISION = "runtime.precision"  # find-runtime writes it, and the figures name it
BEFORE = "1de0ebd"  # the last commit before sizes that grow, averages and weights in packages


def main() -> int:
    """Runs benchmarks one after another; returns 1 if a bound is not kept, else 0."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    options = arguments()
    from benchmarks import page
    from benchmarks.figures import Skipped

    if busy := page.describe_load():
        print(f"benchmarks: warning: {busy}; do not keep the figures below", file=sys.stderr)
    kept = True
    for name in options.names or [name for name, usual in BENCHMARKS.items() if usual]:
        start = time.perf_counter()
        try:
            figures = importlib.import_module(f"benchmarks.{name}").run(options)
        except Skipped as reason:
            print(f"\n{name}: skipped: {reason}")
            continue
        print(f"\n{page.as_text(name, figures)}\n({time.perf_counter() - start:.0f} s)", flush=True)
        kept = kept and all(figure.holds is not False for figure in figures)
        if options.write:
            page.write(name, figures)
    print(f"\n{page.machine()}")
    return 0 if kept else 1


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"benchmarks to run: {', '.join(BENCHMARKS)}")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    parser.add_argument("--rounds", type=int, default=5, help="number of times each pair is measured")
    parser.add_argument("--threads", type=int, default=2, help="number of threads of torch")
    parser.add_argument("--quick", action="store_true", help="do little work, to show that the benchmarks run")
    parser.add_argument("--images", type=int, default=20_000, help="number of images of the benchmark ingest")
    parser.add_argument(
        "--camvid", type=Path, help="folder of CamVid in the layout of SegNet, for those that take hours"
    )
    parser.add_argument("--hymenoptera", type=Path, help="folder of the ants and bees, likewise")
    parser.add_argument(
        "--labels",
        type=lambda text: text.split(","),
        help="rows of the benchmark transfer beside that of 40 labels, which decides: 10,120 leaves out all",
    )
    add_quality(parser)
    options = parser.parse_args()
    options.changes = dict(options.changes)
    if options.quick:
        options.rounds, options.images = min(options.rounds, 2), min(options.images, 1500)
    tries = options.quick or any(key != PRECISION for key in options.changes)
    if options.write and tries:
        parser.error(
            f"what --quick and --changes of other keys than {PRECISION} measure is not kept: leave out --write"
        )
    if unknown := sorted(set(options.names) - set(BENCHMARKS)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    return options


def add_quality(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmarks quality and effects."""
    group = parser.add_argument_group("the benchmarks quality and effects")
    group.add_argument(
        "--goals", type=lambda text: text.split(","), help="goals to train for: 1,3 are 1, 3a and 3b; all if left out"
    )
    group.add_argument("--before", default=BEFORE, metavar="COMMIT", help="build to compare with (%(default)s)")
    group.add_argument("--seeds", type=int, help="number of seeds, in the place of each goal's own")
    group.add_argument(
        "--changes",
        nargs="+",
        default=[],
        type=read_change,
        metavar="KEY=VALUE",
        help="tries values in today's recipes, as in fine_tune.epochs=8",
    )


def read_change(text: str) -> tuple[str, Any]:
    """The key of a value in params.yaml, and the value, which is YAML."""
    from ruamel.yaml import YAML

    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, as in fine_tune.epochs=8")
    return key, YAML(typ="safe").load(value)


if __name__ == "__main__":
    sys.exit(main())
