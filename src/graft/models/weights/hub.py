"""Files of the Hugging Face hub, fetched by its own library into its own cache."""

from __future__ import annotations

from pathlib import Path

from graft.foundation.errors import GraftError
from graft.models.pins import verify_sha256
from graft.models.weights.download import SECONDS_TO_CONNECT

FILE = "model.safetensors"


def fetch_from_hub(repository: str, revision: str, sha256: str | None) -> tuple[Path, str]:
    """Returns the weights of a revision, out of the hub's cache or downloaded into it, and their sha256.

    Raises:
        GraftError: The digest differs, or the file is neither cached nor can it be downloaded.
    """
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(repository, FILE, revision=revision, etag_timeout=SECONDS_TO_CONNECT))
    except Exception as error:  # the library raises its own exceptions and those of httpx
        place = cache_path(repository, revision)
        raise GraftError(
            f"{FILE} of {repository} at revision {revision} is not here and cannot be downloaded {_reason(error)}",
            where=place,
            remedy=f"download it elsewhere and put it at {place}{f' (sha256 {sha256})' if sha256 else ''}",
        ) from None
    return path, verify_sha256(path, sha256)


def cache_path(repository: str, revision: str) -> Path:
    """Place of the weights of a revision in the hub's cache, where they may be missing."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repository, repo_type="model")
    return Path(constants.HF_HUB_CACHE, folder, "snapshots", revision, FILE)


def newest_revision(repository: str) -> str:
    """Commit that a repository of the hub is at now.

    Raises:
        GraftError: The hub does not answer.
    """
    from huggingface_hub import model_info

    try:
        revision = model_info(repository, timeout=SECONDS_TO_CONNECT).sha
    except Exception as error:  # as above
        raise GraftError(
            f"the hub does not answer {_reason(error)}",
            where=repository,
            remedy="run graft pin where there is a network, or write revision and sha256 by hand",
        ) from None
    assert revision is not None, "the hub names the commit of every repository"
    return revision


def _reason(error: Exception) -> str:
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return "(HF_HUB_OFFLINE is set)"
    return f"({next(iter(str(error).splitlines()), type(error).__name__)})"
