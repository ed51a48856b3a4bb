"""An index as large as a team's: many models over many images, through the real writer, without any training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from graft.foundation.content import digest_of_listing
from graft.provenance.lineage.index import Index

NAME = "graft-segmentation"


def sha(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def fill(path: Path, num_images: int, num_versions: int, num_deliveries: int = 10) -> Index:
    """Version v was trained on all images of deliveries 0 … v mod deliveries, but those of number v mod 7."""
    index = Index(path)
    samples = [
        (f"clip{n % 97}/{n:06d}.jpg", f"delivery{n % num_deliveries}", sha("image", n)) for n in range(num_images)
    ]
    versions = []
    for number in range(1, num_versions + 1):
        ingest = add(index, "ingest", number, {"data/raw": sha("raw", number)}, "data/interim/train/a.parquet")
        interim = {"data/interim/train": digest_of_listing({"a.parquet": sha("ingest", number)})}
        index.add_samples(ingest, samples if number == 1 else [])
        augment = add(index, "augment", number, interim, "data/augmented/images.npy")
        assert index.record(augment)
        views = {"data/augmented": digest_of_listing({"images.npy": sha("augment", number)})}
        tuned = add(index, "fine-tune", number, views, "models/fine_tuned/model.safetensors")
        index.add_seen(tuned, {"train": [digest for n, (*_, digest) in enumerate(samples) if seen(number, n)]})
        weights = {"models/fine_tuned": digest_of_listing({"model.safetensors": sha("fine-tune", number)})}
        export = add(index, "export", number, weights, "models/exported/model.onnx")
        model = digest_of_listing({"model.onnx": sha("export", number)})
        about = {"name": NAME, "number": number, "record": export, "model": model, "run": f"r{number}"}
        versions.append(about | {"aliases": ["champion"] if number == num_versions else []})
    index.replace_versions(versions)
    index.database.commit()
    return index


def seen(version: int, image: int, num_deliveries: int = 10) -> bool:
    """Whether a version was trained on an image, straight from the rule."""
    return image % num_deliveries <= version % num_deliveries and image % 7 != version % 7


def add(index: Index, stage: str, number: int, inputs: dict[str, str], file: str, **params: Any) -> str:
    """A record that made one file of these inputs."""
    output = "/".join(file.split("/")[:2])
    files = {file: sha(stage, number)}
    record: dict[str, Any] = {
        "stage": stage,
        "fingerprint": sha(stage, number, "fingerprint"),
        "params": {"ingest": {"batch": "delivery0"}, "pretrain_load": {"source": {"name": "file"}}} | params,
        "inputs": inputs,
        "code": {},
        "environment": {"lock": sha("lock"), "python": "3.11", "system": "Linux"},
        "outputs": {output: digest_of_listing({file.removeprefix(f"{output}/"): files[file]})},
        "files": files,
        "metrics": {},
        "git": {"commit": "0" * 40, "holds_code_and_params": True},
    }
    return index.add_record(json.dumps(record).encode(), f"run-{stage}-{number}")
