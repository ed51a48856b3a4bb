"""`graft drift`: its cost beside embedding the same images once, its false alarms, and what it sees of other weather.

The model is the bundled one if it is installed, else an untrained LR-ASPP MobileNetV3-Large, which is as fast. Cost is
measured on files of 256×192 px, alarms on drawn streets of 192×144 px, none of which the model was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.export import build_untrained, load_bundled
from benchmarks.figures import Figure, Options, interleave, median, rate, ratio
from benchmarks.small_images import write_images
from graft.commands.drift.comparison import compare
from graft.commands.drift.drift import find_drift, observe
from graft.commands.drift.drift_page import write_page
from graft.commands.drift.verdict import UPDATE_EFFECTS
from graft.data.images.stacks import decode
from graft.deployment.export.exported_model import PREDICT_FILE
from graft.evaluation.observations import Observation, Observations
from graft.evaluation.reference import MOST_IMAGES, REFERENCE_FILE
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json
from graft.foundation.progress import progress
from graft.inference.embedding import FeaturePredictor
from graft.inference.tiles import Tiling
from graft.models.saved_model import save_state
from graft.models.weights.bundled import FOLDER
from graft.scenes import CLASS_COLOURS, CLASSES, render

MOST_TIMES_EMBEDDING = 1.2
TILING = Tiling(2_000_000, 64)
FALSE_ALARMS = 0.05
IMAGES_A_SCENE = 30
NUM_DAY, NUM_OTHER, NUM_DRAWS = 400, 60, 200
NUM_NEW = (5, 20, 60, 100)  # the sizes of the new samples, in turn
# A rate of exactly 5% gives more than 18 alarms in 200 independent draws with a chance of 0.6%.
MOST_ALARMS = 18 / 200


def run(options: Options) -> list[Figure]:
    """Measures the cost on as many images as `--images` says, at most 10,000; then alarms and effects."""
    torch.set_num_threads(options.threads)
    predictor, classes = build()
    return [*cost(predictor, classes, min(options.images, 10_000), options.rounds), *alarms(predictor, options.quick)]


def build() -> tuple[FeaturePredictor, ClassMap]:
    """Builds the model, ready to see images, and its classes."""
    model, spec = load_bundled() if FOLDER.is_dir() else build_untrained()
    classes = ClassMap("segmentation", CLASSES, CLASS_COLOURS, tuple(range(len(CLASSES))), True, True, "scenes")
    return FeaturePredictor(model, spec, TILING), classes


def cost(predictor: FeaturePredictor, classes: ClassMap, num_images: int, num_rounds: int) -> list[Figure]:
    """Runs drift and plain embedding in turn on the same files; the first images are the reference."""
    with TemporaryDirectory(prefix="graft-bench-") as folder:
        root = Path(folder)
        write_images(root / "new", num_images, -(-num_images // IMAGES_A_SCENE))
        files = sorted(path for path in (root / "new").rglob("*") if path.is_file() and ".mask" not in path.name)
        write_model(root / "model", predictor, classes, files)

        def embed() -> None:
            for file in files:
                predictor.predict(decode(file.read_bytes(), classes, where=file))

        def drift() -> None:
            found = find_drift([*map(str, files)], root / "model", root / "out", FALSE_ALARMS)
            write_page(found, "model", root / "out")

        seconds = interleave({"embed": embed, "drift": drift}, num_rounds, "Looking at images", num_warm_ups=0)
    what = f"drift of {num_images:,} images / embedding them once"
    return [
        ratio(what, seconds["drift"], seconds["embed"], at_most=MOST_TIMES_EMBEDDING),
        median("graft drift, tests and page included", seconds["drift"], "s"),
        rate("embedding, with the prediction", seconds["embed"], num_images),
    ]


def write_model(folder: Path, predictor: FeaturePredictor, classes: ClassMap, files: list[Path]) -> None:
    """Writes what of an exported model drift reads, with a reference of the first files."""
    model, spec = load_bundled() if FOLDER.is_dir() else build_untrained()
    save_state(folder / "weights.safetensors", model.state_dict(), spec.as_dict())
    spec.write(folder / "spec.json")
    write_json(folder / PREDICT_FILE, {"max_pixels": TILING.max_pixels, "overlap_px": TILING.overlap_px})
    classes.write(folder / "class_map.json")
    Observations.of([*observe(files[:MOST_IMAGES], predictor, classes, [], [])]).write(folder / REFERENCE_FILE)


def alarms(predictor: FeaturePredictor, quick: bool) -> list[Figure]:
    """The share of draws of day against day with an alarm, and the effects that decide on an update, by domain."""
    day = [*look(predictor, "day", 40 if quick else NUM_DAY)]
    half, num_draws = len(day) // 2, 4 if quick else NUM_DRAWS
    generator, num_alarms = np.random.default_rng(0), 0
    for draw in progress(range(num_draws), "Drawing day against day", unit="draw"):
        order, num_new = generator.permutation(len(day)), min(NUM_NEW[draw % len(NUM_NEW)], half)
        sides = (order[:half], order[half : half + num_new])
        reference, new = (Observations.of([day[place] for place in side]) for side in sides)
        num_alarms += any(one.moved for one in compare(reference, new, CLASSES, "pixels", FALSE_ALARMS, draw))
    what = f"day against day: alarms in {num_draws} draws of {', '.join(map(str, NUM_NEW))} images"
    figures = [Figure(what, num_alarms / num_draws, "%", at_most=MOST_ALARMS)]
    for domain in ("dusk", "rain", "night_rain"):
        other = Observations.of([*look(predictor, domain, 10 if quick else NUM_OTHER)])
        found = compare(Observations.of(day), other, CLASSES, "pixels", FALSE_ALARMS, 0)
        figures += [
            Figure(f"{domain} against day: {one.name}, {'moved' if one.moved else 'not moved'}", one.effect, "%")
            for one in found
            if one.name in UPDATE_EFFECTS
        ]
    return figures


def look(predictor: FeaturePredictor, domain: str, num_images: int) -> Iterator[Observation]:
    """Streets of a domain as the model sees them."""
    for index in progress(range(num_images), f"Looking at {domain}", unit="image"):
        image = render(991, domain, index, width=192, height=144).image
        prediction, digest = predictor.predict(image), hashlib.sha256(image.tobytes()).hexdigest()
        confidence = float(prediction.confidence.mean())
        yield Observation.of(digest, image, prediction.class_ids, confidence, prediction.features, len(CLASSES))
