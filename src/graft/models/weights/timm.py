"""Weights that timm publishes on its hub: safetensors, pinned by revision and digest."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from pydantic import Field

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError, suggest
from graft.models.saved_model import load_state
from graft.models.weights.download import SECONDS_TO_CONNECT, cache_folder, fetch
from graft.models.weights.file import Sha256
from graft.models.weights.source import Downloader, Source

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

FILE = "model.safetensors"
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


def timm(
    task: str,
    model: Choice,
    download: Downloader,
    *,
    weights: str,
    revision: Revision | None = None,
    sha256: Sha256 | None = None,
) -> Source:
    """Weights of timm by name, for the model of that architecture or for the backbone of a segmenter that has it.

    More than a thousand models pretrained on ImageNet and beyond, each with its licence in the card. A hub's files can
    change, so a name is used only together with the revision and the digest that `graft pin` writes. What lies in the
    hub's own cache is used from there; offline the answer is at once which file belongs where. Source: Wightman 2019,
    "PyTorch Image Models".

    Args:
        task: Not used: whatever fits is taken.
        model: Not used: whatever fits is taken.
        download: Not used.
        weights: For example `resnet18.a1_in1k`.
        revision: Commit of the weights' repository on the hub, 40 hex digits.
        sha256: Of the file, 64 hex digits.

    Raises:
        GraftError: No such weights, not pinned, a digest differs, or the file is neither cached nor to be had.
    """
    known = published(weights)
    revision, sha256 = pinned(weights, revision, sha256)
    path, digest = fetched(cast(str, known.hf_hub_id), revision, sha256)
    state, _ = load_state(path)
    return Source(
        state,
        description=f"{weights} of timm",
        origin=f"{known.hf_hub_id} at {revision}",
        licence=known.license or "unknown",
        sha256=digest,
        mean=tuple(known.mean),
        std=tuple(known.std),
    )


def pinned(weights: str, revision: str | None, sha256: str | None) -> tuple[str, str]:
    """Revision and digest of weights, both of which must be there.

    Raises:
        GraftError: One is missing.
    """
    if revision is None or sha256 is None:
        raise GraftError(
            f"timm's {weights} is not pinned",
            where="pretrain_load.source",
            rule="params.yaml names revision and sha256 of weights from a hub, whose files can change",
            remedy="run graft pin, which asks the hub once and writes both",
        )
    return revision, sha256


def fetched(repository: str, revision: str, sha256: str | None) -> tuple[Path, str]:
    """The file of a revision, from the hub's cache, from ours, or downloaded into ours; and its sha256.

    Raises:
        GraftError: The digest differs, or the file is neither cached nor to be had.
    """
    from huggingface_hub import hf_hub_url

    path, address = place_of(repository, revision), hf_hub_url(repository, FILE, revision=revision)
    if not path.is_file() and os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        raise GraftError(
            f"{address} is not here, and HF_HUB_OFFLINE forbids to download it",
            where=path,
            remedy=f"download it elsewhere and put it at {path}{f' (sha256 {sha256})' if sha256 else ''}",
        )
    return path, fetch(address, path, sha256)


def place_of(repository: str, revision: str) -> Path:
    """Where the file of a revision lies: in the hub's own cache, or else in ours, where it may be missing."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, FILE, revision=revision)
    ours = cache_folder() / f"{repository.replace('/', '--')}--{revision}.safetensors"
    return Path(cached) if isinstance(cached, str) else ours


def newest_revision(repository: str) -> str:
    """The commit a repository of the hub is at now.

    Raises:
        GraftError: The hub does not answer.
    """
    address = f"https://huggingface.co/api/models/{repository}"
    try:
        with urllib.request.urlopen(address, timeout=SECONDS_TO_CONNECT) as answer:
            return json.load(answer)["sha"]
    except (OSError, ValueError, KeyError) as error:
        raise GraftError(
            f"the hub does not answer ({error})",
            where=address,
            remedy="run graft pin where there is a network, or write revision and sha256 by hand",
        ) from None


def published(weights: str) -> PretrainedCfg:
    """What timm says of weights it publishes, without asking the hub.

    Raises:
        GraftError: It publishes none of this name.
    """
    import timm as library

    known = library.get_pretrained_cfg(weights) if library.is_model_pretrained(weights) else None
    if known is not None and known.hf_hub_id:
        return known
    raise GraftError(
        f"timm publishes no weights {weights!r}",
        where="pretrain_load.source.weights",
        remedy=suggest(weights, library.list_pretrained(), otherwise="graft models lists what there is"),
    )
