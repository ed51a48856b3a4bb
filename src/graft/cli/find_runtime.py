"""The command `graft find-runtime`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import app, check_project

if TYPE_CHECKING:
    from graft.commands.find_runtime import Timing
    from graft.params.sections import Runtime


@app.command("find-runtime")
def find_runtime(
    seconds: Annotated[float, typer.Option(help="Time to measure in, without building the models.")] = 60.0,
    keep_precision: Annotated[bool, typer.Option("--keep-precision", help="Try no other precision.")] = False,
    with_compile: Annotated[
        bool, typer.Option("--compile", help="Try torch.compile too, which takes a minute or more to start.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the fastest into params.yaml.")] = False,
) -> None:
    """Suggest a section runtime: time training steps with other threads, precision and layout, on what is here."""
    check_project()
    from graft.commands.find_runtime import best_of, changes, find_runtime, write_runtime
    from graft.params.params_file import load_params
    from graft.params.yaml_tree import dump_tree
    from graft.provenance.rehearsal import begin_here

    params = load_params()
    present = params.runtime
    precisions = (present.precision,) if keep_precision else None
    found = find_runtime(begin_here(params), seconds=seconds, precisions=precisions, with_compile=with_compile)
    for line in _table(found, present):
        typer.echo(line)
    changed = changes(present, best_of(found).runtime)
    if not changed:
        typer.echo("the present section runtime is as fast as any other, to within the noise")
        return
    if write:
        write_runtime(changed)
    done = "written into params.yaml" if write else "write this into params.yaml, or run graft find-runtime --write"
    typer.echo(f"{done}:\n{dump_tree({'runtime': changed})}", nl=False)


def _table(found: Sequence[Timing], present: Runtime) -> Iterator[str]:
    yield "threads  precision  channels last  compile     a step  speed  changes results by"
    for timing in found:
        runtime = timing.runtime
        layout, compiled = ("yes" if value else "no" for value in (runtime.channels_last, runtime.compile))
        arithmetic = f"{runtime.num_threads:>7}  {runtime.precision:9}  {layout:13}  {compiled:7}"
        yield f"{arithmetic}  {1000 * timing.seconds:6.0f} ms  {timing.speed:4.2f}x  {timing.change(present)}"
