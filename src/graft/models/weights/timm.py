"""Weights that timm publishes on the Hugging Face hub: safetensors, pinned by revision and digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

from pydantic import Field

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError, suggest
from graft.models.parts.timm_library import outline
from graft.models.pins import Downloader, Sha256
from graft.models.saved_model import load_state
from graft.models.weights.hub import fetch_from_hub
from graft.models.weights.source import Source

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

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
    change, so a name is used only together with the revision and the digest that `graft pin` writes. Downloads go into
    the cache of the hub's own library; offline, the error names the file and the place in that cache where it belongs.
    Source: Wightman 2019, "PyTorch Image Models".

    Args:
        task: Unused: every tensor that fits is taken.
        model: Unused, for the same reason.
        download: Unused.
        weights: Name of weights in `timm.list_pretrained()`, for example `resnet18.a1_in1k`.
        revision: Commit of the weights' repository on the hub, 40 hex digits.
        sha256: Digest of the file, 64 hex digits.

    Raises:
        GraftError: No such weights, not pinned, a digest differs, or the file is neither here nor can it be had.
    """
    known = published_config(weights)
    revision, sha256 = require_pin(weights, revision, sha256)
    path, digest = fetch_from_hub(cast(str, known.hf_hub_id), revision, sha256)
    state, _ = load_state(path)
    return Source(
        state,
        description=f"{weights} of timm",
        origin=f"{known.hf_hub_id} at {revision}",
        licence=known.license or "unknown",
        sha256=digest,
        mean=tuple(known.mean),
        std=tuple(known.std),
        timm_name=weights,
    )


def require_pin(weights: str, revision: str | None, sha256: str | None) -> tuple[str, str]:
    """Returns revision and digest of weights, both of which must be given.

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


def published_config(weights: str) -> PretrainedCfg:
    """Returns what timm itself knows of weights it publishes, without asking the hub.

    Raises:
        GraftError: It publishes none of this name.
    """
    import timm as library

    if is_published(weights):
        return cast("PretrainedCfg", library.get_pretrained_cfg(weights))
    raise GraftError(
        f"timm publishes no weights {weights!r}",
        where="pretrain_load.source.weights",
        remedy=suggest(weights, library.list_pretrained(), otherwise="graft models lists what there is"),
    )


def is_published(weights: str) -> bool:
    """Whether timm publishes weights of this name on the hub."""
    import timm as library

    known = library.get_pretrained_cfg(weights) if library.is_model_pretrained(weights) else None
    return known is not None and bool(known.hf_hub_id)


def outline_of(weights: str) -> Source:
    """The names and shapes of published weights, on the meta device, from the model that they belong to."""
    state = outline(weights).state_dict()
    return Source(state, description=f"{weights} of timm", origin=weights, licence="", timm_name=weights)
