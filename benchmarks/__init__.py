"""Speed and memory of Graft against bare code and named peers, every ratio taken in one run.

`python -m benchmarks` runs all but the long ones, `python -m benchmarks NAME…` some, `--write` puts the figures into
docs/benchmarks.md. One file a benchmark: `run(options) -> list[Figure]`, or `Skipped` with the reason.
"""
