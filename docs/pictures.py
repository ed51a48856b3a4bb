"""Makes the pictures of the README, by hand from a finished default job: `python -m docs.pictures [SCREENSHOT]`.

`overlay.png` needs nothing but the job's files. `report.png` needs a browser, which Graft does not install:

    chromium --headless --hide-scrollbars --force-device-scale-factor=1.6 --window-size=1000,1000 \\
        --screenshot=top.png reports/evaluation/report.html
    python -m docs.pictures top.png
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from graft.data.images.codec import decode_image, decode_mask, overlay
from graft.foundation.class_map import ClassMap

PICTURES = Path(__file__).with_name("pictures")
REPORT_WIDTH_PX = 1200
GAP_PX, CAPTION_PX, SWATCH_PX = 8, 22, 10
INK = (60, 60, 60)
# A good and a poor image by their own mean IoU, so that the picture promises no more than the job gave.
QUANTILES = (0.85, 0.15)


def main() -> None:
    """Writes the pictures the command line asks for."""
    save(comparison(), "overlay.png", Image.Quantize.MAXCOVERAGE)  # keeps the colours of rare classes
    if len(sys.argv) > 1:
        screenshot = Image.open(sys.argv[1]).convert("RGB")
        height = round(screenshot.height * REPORT_WIDTH_PX / screenshot.width)
        smaller = screenshot.resize((REPORT_WIDTH_PX, height), Image.Resampling.LANCZOS)
        save(smaller, "report.png", Image.Quantize.MEDIANCUT)


def save(picture: Image.Image, name: str, method: Image.Quantize) -> None:
    """Writes a picture with a palette of 256 colours, which makes it small enough for a clone to carry."""
    picture.quantize(256, method, dither=Image.Dither.NONE).save(PICTURES / name, optimize=True)


def comparison() -> Image.Image:
    """Two test images, a row each: the image, the truth over it and the prediction over it; below, the classes."""
    classes = ClassMap.read(Path("data/interim/class_map.json"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        samples = test_samples()
        for number, (image, _) in enumerate(samples):
            Image.fromarray(image).save(Path(folder, f"{number}.png"))
        predict = ["graft", "predict", folder, "--model", "models/exported", "--out", f"{folder}/predictions"]
        subprocess.run(predict, check=True)
        for number, (image, truth) in enumerate(samples):
            predicted = np.array(Image.open(Path(folder, "predictions/masks", f"{number}.png")))
            rows.append([image, *(overlay(image, mask, classes.colors, 0.6) for mask in (truth, predicted))])
    return sheet(rows, ("image", "truth", "prediction"), dict(zip(classes.names, classes.colors, strict=True)))


def test_samples() -> list[tuple[np.ndarray, np.ndarray]]:
    """Image and mask at each quantile of the per-image scores."""
    scores = pq.read_table("reports/evaluation/per_image.parquet", columns=["id", "score"]).to_pandas()
    ordered = scores.dropna().sort_values(["score", "id"])["id"].tolist()
    table = pq.read_table("data/interim/test", columns=["id", "image", "mask"])
    stored = {row["id"]: row for row in table.to_pylist()}
    chosen = [stored[ordered[round(quantile * (len(ordered) - 1))]] for quantile in QUANTILES]
    return [(decode_image(row["image"]), decode_mask(row["mask"])) for row in chosen]


def sheet(
    rows: list[list[np.ndarray]], captions: tuple[str, ...], legend: dict[str, tuple[int, int, int]]
) -> Image.Image:
    """Lays rows of equal pictures out, a caption over each column and the colours of the classes below."""
    height, width = rows[0][0].shape[:2]
    across, down = width + GAP_PX, height + GAP_PX
    bottom = CAPTION_PX + down * len(rows)
    page = Image.new("RGB", (across * len(captions) - GAP_PX, bottom + CAPTION_PX), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for column, caption in enumerate(captions):
        draw.text((across * column, 3), caption, fill=INK, font=font)
        for row, pictures in enumerate(rows):
            page.paste(Image.fromarray(pictures[column]), (across * column, CAPTION_PX + down * row))
    left = 0.0
    for name, colour in legend.items():
        draw.rectangle((left, bottom + 3, left + SWATCH_PX, bottom + 3 + SWATCH_PX), fill=colour)
        draw.text((left + SWATCH_PX + 4, bottom), name, fill=INK, font=font)
        left += SWATCH_PX + 4 + draw.textlength(name, font=font) + GAP_PX
    return page


if __name__ == "__main__":
    main()
