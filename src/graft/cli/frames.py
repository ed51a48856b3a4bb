"""The command `graft frames`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from graft.cli import app


@app.command()
def frames(
    videos: Annotated[list[str], typer.Argument(help="Video files, folders or globs.")],
    out: Annotated[Path, typer.Option(help="Folder for the images and frames.csv: the root of a delivery.")],
    every: Annotated[float, typer.Option(min=0.001, help="Seconds between frames.")] = 1,
) -> None:
    """Sample frames of videos into a folder of images, with a table that ingest reads as a delivery."""
    from graft.commands.frames import sample_frames
    from graft.params.yaml_tree import dump_tree

    sampled = sample_frames(videos, out, Fraction(every).limit_denominator(1000))
    typer.echo(sampled)
    source = dump_tree(sampled.source(), flow=True).strip()
    typer.echo(
        "They have no labels yet. Ingest reads them as a delivery, the clip as group, with (and classes, for masks)\n"
        f"  source: {source}"
    )
