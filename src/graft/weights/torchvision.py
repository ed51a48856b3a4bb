"""The weights enums of torchvision: whole segmenters (COCO) and ImageNet backbones, downloaded once and verified."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from graft.choices import Choice, resembling
from graft.errors import GraftError
from graft.progress import progress
from graft.weights.file import Sha256, read_checkpoint
from graft.weights.source import Source, verified_sha256

SECONDS_TO_CONNECT = 10
CHUNK_BYTES = 1 << 20


def torchvision(task: str, model: Choice, *, weights: str, sha256: Sha256 | None = None) -> Source:
    """Weights that torchvision publishes for this model, or for its backbone.

    Args:
        task: Not used: the model says it.
        model: Its options name the enums, for example `deeplabv3_resnet50` and `resnet50`.
        weights: A member of one of them, for example `COCO_WITH_VOC_LABELS_V1` or `IMAGENET1K_V1`.
        sha256: Of the file, 64 hex digits; without it the 8 digits in the file's name are checked.

    Raises:
        GraftError: No such weights, a digest differs, or the file is neither cached nor to be had.
    """
    published = published_weights(model)
    if weights not in published:
        raise GraftError(
            f"torchvision has no weights {weights!r} for {model.name}",
            where="pretrain_load.source.weights",
            remedy=resembling(weights, published),
        )
    entry = published[weights]
    path = cache_folder() / Path(entry.url).name
    digest = fetch(entry.url, path, sha256)
    transforms = entry.transforms()
    measured = next(iter(entry.meta["_metrics"].items()))
    return Source(
        read_checkpoint(path),
        description=f"{type(entry).__name__}.{weights} of torchvision, scored on {measured[0]}",
        origin=entry.url,
        licence="BSD-3-Clause (torchvision); the terms of its training images apply too",
        sha256=digest,
        class_names=tuple(entry.meta["categories"]),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        metrics={name: value / 100 for name, value in measured[1].items()},
    )


def published_weights(model: Choice) -> dict[str, Any]:
    """Name to enum member: the model's own weights first, then those of its backbone."""
    from torchvision import models

    values = [value for value in model.options.values() if isinstance(value, str)]
    architectures = [f"{model.name}_{value}" for value in values] + values
    known = set(models.list_models())
    members: dict[str, Any] = {}
    for architecture in architectures:
        if architecture in known:
            for member in models.get_model_weights(architecture):
                members.setdefault(member.name, member)
    return members


def cache_folder() -> Path:
    """Where torch keeps downloaded weights: `$TORCH_HOME/hub/checkpoints`."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(url: str, path: Path, sha256: str | None) -> str:
    """Makes sure that `path` holds the file of `url`, and returns its sha256.

    The cached file is checked as well: torch itself uses whatever lies there. A download becomes visible only when it
    is complete and verified.

    Raises:
        GraftError: The digest differs, or the download failed.
    """
    in_name = re.search(r"-([0-9a-f]{8,})\.", path.name)
    expected = sha256 or (in_name[1] if in_name else None)
    if path.is_file():
        return verified_sha256(path, expected)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, partial)
        digest = verified_sha256(partial, expected)
        partial.replace(path)
    except (OSError, urllib.error.URLError) as error:
        raise GraftError(
            f"cannot download {url} ({error})", where=path, remedy=f"download it elsewhere and put it at {path}"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return digest


def _download(url: str, path: Path) -> None:
    with urllib.request.urlopen(url, timeout=SECONDS_TO_CONNECT) as response, path.open("wb") as file:
        num_bytes = int(response.headers.get("Content-Length") or 0)
        chunks = iter(lambda: response.read(CHUNK_BYTES), b"")
        total = -(-num_bytes // CHUNK_BYTES) or None
        for chunk in progress(chunks, f"Downloading {Path(url).name}", total=total, unit="MB"):
            file.write(chunk)
        if num_bytes and file.tell() != num_bytes:
            raise OSError(f"{file.tell()} of {num_bytes} bytes arrived")
