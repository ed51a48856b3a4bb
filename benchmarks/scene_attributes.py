"""Drawn streets as images with several labels: light, weather and what is there, in a table beside the images.

`python -m benchmarks.scene_attributes FOLDER` writes 240 images and `attributes.csv`, with a column of 0 and 1 for each
attribute, all of them in one cell as well (`labels`), and the split; `task: multilabel` reads either.
"""

from __future__ import annotations

import csv
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import typer

from graft.data.images.codec import encode_png
from graft.foundation.progress import progress
from graft.scenes import CLASSES, DOMAINS, Scene, render

TABLE = "attributes.csv"
OF_AIR = ("dusk", "night", "rain", "fog", "snow")
THINGS = ("tree", "sign_symbol", "fence", "car", "pedestrian", "bicyclist")
ATTRIBUTES = (*OF_AIR, *THINGS)
LEAST_SHARE = 0.005  # of the pixels, for a thing to be there
SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}


def attributes_of(domain: str, scene: Scene) -> list[str]:
    """The attributes of a scene: its light and weather, by its domain, and the things of half a percent or more."""
    shares = {name: float((scene.mask == CLASSES.index(name)).mean()) for name in THINGS}
    return [*(name for name in OF_AIR if name in DOMAINS[domain]), *(n for n in THINGS if shares[n] >= LEAST_SHARE)]


def write_scenes(folder: Path, num_images: int, width_px: int, height_px: int, seed: int) -> None:
    """Writes the images, the domains in turn, and the table; the first half of the images trains."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    splits = [split for split, share in SHARES.items() for _ in range(round(share * num_images))]
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "split", "domain", "labels", *ATTRIBUTES])
        numbered = list(enumerate(zip(splits, islice(cycle(DOMAINS), len(splits)), strict=True)))
        for number, (split, domain) in progress(numbered, "Drawing", unit="image"):
            scene = render(seed, domain, number, width=width_px, height=height_px)
            name = f"images/{number:05d}.png"
            (folder / name).write_bytes(encode_png(scene.image))
            found = attributes_of(domain, scene)
            writer.writerow([name, split, domain, "|".join(found), *(int(name in found) for name in ATTRIBUTES)])


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    images: Annotated[int, typer.Option(min=12, help="Number of images.")] = 240,
    width: Annotated[int, typer.Option(min=64, help="Width in pixels.")] = 192,
    height: Annotated[int, typer.Option(min=48, help="Height in pixels.")] = 144,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world.")] = 7,
) -> None:
    """Write drawn streets and the table of their attributes."""
    write_scenes(folder, images, width, height, seed)
    typer.echo(f"{folder / TABLE}: {images} images, attributes {', '.join(ATTRIBUTES)}")


if __name__ == "__main__":
    typer.run(main)
