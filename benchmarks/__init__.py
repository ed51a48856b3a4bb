"""Speed, memory and quality of Graft compared with bare code and named peers; both sides are measured in one run.

`python -m benchmarks` runs all benchmarks but the long ones, `python -m benchmarks NAME…` runs those named, and
`--write` puts the figures into docs/benchmarks.md. Each benchmark is a file with `run(options) -> list[Figure]`, which
raises `Skipped` with the reason where it cannot run.
"""
