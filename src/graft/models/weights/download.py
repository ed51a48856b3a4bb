"""Files that torchvision publishes: downloaded once, verified and cached, or a message that says what to put where."""

from __future__ import annotations

import http.client
import re
import urllib.request
from pathlib import Path

from graft.foundation.content import replace_file
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress
from graft.models.pins import verify_sha256

SECONDS_TO_CONNECT = 10
CHUNK_BYTES = 1 << 20


def cache_folder() -> Path:
    """Folder in which torch keeps downloaded weights: `$TORCH_HOME/hub/checkpoints`."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(url: str, path: Path, sha256: str | None) -> str:
    """Ensures that `path` holds the file of `url`, and returns its sha256.

    Without a digest, the digits that torchvision writes into the names of its files are checked. So is a file that is
    cached already: torch itself would use whatever lies there. A download becomes visible only once it is complete and
    verified.

    Raises:
        GraftError: The digest differs, or the download failed.
    """
    in_name = re.search(r"-([0-9a-f]{8,})\.", Path(url).name)
    expected = sha256 or (in_name[1] if in_name else None)
    if path.is_file():
        return verify_sha256(path, expected)
    try:
        with replace_file(path) as pending:
            _download(url, pending)
            return verify_sha256(pending, expected)
    except (OSError, http.client.HTTPException) as error:
        raise GraftError(
            f"cannot download {url} ({error})", where=path, remedy=f"download it elsewhere and put it at {path}"
        ) from None


def _download(url: str, path: Path) -> None:
    with urllib.request.urlopen(url, timeout=SECONDS_TO_CONNECT) as response, path.open("wb") as file:
        num_bytes = int(response.headers.get("Content-Length") or 0)
        chunks = iter(lambda: response.read(CHUNK_BYTES), b"")
        total = -(-num_bytes // CHUNK_BYTES) or None
        for chunk in progress(chunks, f"Downloading {Path(url).name}", total=total, unit="MB"):
            file.write(chunk)
        if num_bytes and file.tell() != num_bytes:
            raise OSError(f"{file.tell()} of {num_bytes} bytes arrived")
