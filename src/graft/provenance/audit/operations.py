"""The reason why a training does not repeat: its first step, run in the rebuild with every operation repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from graft.provenance.audit.link import MISSING, VERIFIED, Check

WHAT = "operations of fine-tune"
WATCHING = ("graft.provenance.audit.operations", "graft.audit.operations")  # this module, and where it was before 0.2


def watch_operations(checkout: Path) -> Check:
    """Names the operations of the first training step that do not repeat on this machine, with the checkout's code."""
    able = [module for module in WATCHING if (checkout / "src" / f"{module.replace('.', '/')}.py").is_file()]
    if not able:
        return Check(MISSING, WHAT, "were not watched: the code of the recorded commit cannot do that yet")
    command = [sys.executable, "-m", able[0]]
    code = os.environ | {"PYTHONPATH": os.pathsep.join([str(checkout / "src"), str(checkout)])}
    done = subprocess.run(command, cwd=checkout, env=code, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return Check(MISSING, WHAT, f"a step could not be repeated: {(done.stderr.splitlines() or ['killed'])[-1]}")
    return describe_repetition(**json.loads(done.stdout.splitlines()[-1]))


def describe_repetition(num_calls: int, differing: dict[str, int], declared: list[str]) -> Check:
    """Puts a repetition into words; the arguments are the fields of `audit.repeatability.Repetition`."""
    if not differing and not declared:
        same = f"all {num_calls:,} operations of a training step gave the same bits three times here"
        return Check(VERIFIED, WHAT, same)
    said = [f"{name} gave other bits for the same values ({calls} calls)" for name, calls in differing.items()]
    said += [f"torch has no deterministic {name}" for name in declared]
    return Check(MISSING, WHAT, f"not deterministic: {'; '.join(said)} (of {num_calls:,} calls in a training step)")


def main() -> None:
    """Takes the first step of the training that the folder's params.yaml asks for; prints the repetition as JSON."""
    from graft.params.params_file import load_params
    from graft.provenance.audit.repeatability import repeat
    from graft.provenance.rehearsal import begin_here
    from graft.training.loop import epoch_steps

    params = load_params()
    seen_alone = params.runtime.model_copy(update={"compile": False})  # a compiled model has no operations to watch
    start = begin_here(params.model_copy(update={"runtime": seen_alone}))
    trainings = iter([start.training(params.fine_tune.learning_rate) for _ in range(2)])

    def first_step() -> None:
        with closing(epoch_steps(next(trainings))) as steps:
            next(steps)

    print(json.dumps(asdict(repeat(first_step))))


if __name__ == "__main__":
    main()
