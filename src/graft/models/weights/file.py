"""Weights in a file of yours: safetensors, or a PyTorch checkpoint that holds plain tensors."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError
from graft.models.pins import Downloader, Sha256, verify_sha256
from graft.models.saved_model import load_state
from graft.models.weights.source import IMAGENET_MEAN, IMAGENET_STD, Source

PYTORCH_SUFFIXES = (".pth", ".pt")
WRAPPERS = ("state_dict", "model", "model_state", "model_state_dict")


def file(
    task: str,
    model: Choice,
    download: Downloader,
    *,
    path: Annotated[str, Field(min_length=1)],
    sha256: Sha256 | None = None,
    licence: str = "unknown",
) -> Source:
    """Weights from a file; class names and normalisation come along if Graft wrote it.

    For what a colleague trained, or what you fetched where there is a network. Names are mapped from the spellings of
    torchvision, segmentation-models-pytorch and timm; the card lists what became of each tensor.

    Args:
        task: Unused: every tensor that fits is taken.
        model: Unused, for the same reason.
        download: Unused.
        path: Path of a `.safetensors`, `.pth` or `.pt` file, relative to the repository.
        sha256: Digest of the file, 64 hex digits. Without it the stage would not notice that the file changed; whoever
            leaves it out is told the digest to pin.
        licence: Licence of the weights, for the card.

    Raises:
        GraftError: The file is missing, damaged, of another kind or digest, or holds more than plain tensors.
    """
    location = Path(path)
    digest = check_digest(location, sha256)
    state, metadata = load_state(location) if location.suffix == ".safetensors" else (read_checkpoint(location), {})
    names = metadata.get("class_names")
    return Source(
        state,
        description=f"weights of {location.name}",
        origin=path,
        licence=licence,
        sha256=digest,
        class_names=tuple(names) if names else None,
        mean=tuple(metadata.get("mean", IMAGENET_MEAN)),
        std=tuple(metadata.get("std", IMAGENET_STD)),
        architecture=metadata.get("model"),
        widths=metadata.get("widths", {}),
    )


def check_digest(location: Path, sha256: str | None) -> str:
    """Returns the digest of a weights file once it is known to be the pinned one.

    Raises:
        GraftError: The file is missing, of an unknown kind or of another digest; or nothing is pinned, and the error
            holds the digest to pin.
    """
    if not location.is_file():
        raise GraftError(
            "weights file not found",
            where=location,
            remedy="correct pretrain_load.source.path, relative to the repository",
        )
    if location.suffix not in (".safetensors", *PYTORCH_SUFFIXES):
        raise GraftError(
            f"weights file of an unknown kind {location.suffix!r}",
            where=location,
            rule="it ends in .safetensors, .pth or .pt",
        )
    digest = verify_sha256(location, sha256)
    if sha256 is None:
        raise GraftError(
            "the weights file is not pinned",
            where=location,
            rule="params.yaml names the digest of every foreign file, so that the stage notices when it changes",
            remedy=f"if you trust the file, add to pretrain_load.source: sha256: {digest}",
        )
    return digest


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch checkpoint, out of whatever usually wraps them; nothing in the file is executed.

    Raises:
        GraftError: The file is damaged, holds objects that only unpickling could build, or holds no named tensors.
    """
    import torch

    try:
        with warnings.catch_warnings(
            action="ignore", category=UserWarning
        ):  # an unusual pickle protocol, refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise GraftError(
            f"not a checkpoint of plain tensors ({str(error).splitlines()[0]})",
            where=path,
            rule="Graft never unpickles: a pickle can run any program",
            remedy="ask its author for safetensors, or save only the state dict again where you trust the file",
        ) from None
    except Exception as error:  # of 800 files with changed bytes, torch answered with ten kinds of exception
        raise GraftError(
            f"damaged checkpoint ({type(error).__name__})", where=path, remedy="fetch the file again"
        ) from None
    state = {name: tensor for name, tensor in _unwrap(content).items() if isinstance(tensor, Tensor)}
    if not state:
        raise GraftError("no named tensors in it", where=path, rule=f"a state dict, or one under {', '.join(WRAPPERS)}")
    return state


def _unwrap(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        return {}
    for key in WRAPPERS:
        if isinstance(content.get(key), dict):
            return content[key]
    return content
