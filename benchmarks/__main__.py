"""The command `python -m benchmarks [NAME…] [--write]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

# Name -> whether it runs when none is named; the last two take an hour each and need CamVid for part of it.
BENCHMARKS = {
    "startup": True,
    "lineage": True,
    "lineage_server": True,
    "export": True,
    "metrics": True,
    "training": True,
    "frozen_features": True,
    "ingest": True,
    "overhead": True,
    "camvid": False,
    "transfer": False,
}


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
    parser.add_argument("--camvid", type=Path, help="folder of CamVid in the layout of SegNet, for camvid, transfer")
    parser.add_argument(
        "--labels", type=lambda text: text.split(","), help="rows of the benchmark transfer: 10,40 runs only these two"
    )
    parser.add_argument("--epochs", type=int, default=24, help="number of epochs of the benchmark camvid")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.images, options.epochs = min(options.rounds, 2), min(options.images, 1500), 1
        if options.write:
            parser.error("what --quick measures is not worth keeping: leave out --write")
    if unknown := sorted(set(options.names) - set(BENCHMARKS)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
