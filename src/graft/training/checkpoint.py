"""The checkpoint of an interrupted training: written seldom, replaced in one step, never trusted blindly."""

from __future__ import annotations

import hashlib
import io
import time
from pathlib import Path
from typing import Any

import torch

from graft.foundation.content import replace_file
from graft.foundation.progress import say

SECONDS_BETWEEN = 30.0
DIGEST_BYTES = 32


class Checkpoint:
    """One file with the state of a training, after a sha256 of its content by which damage is noticed.

    Args:
        path: Path of the file, or None to keep no checkpoint.
        identity: Identity of the training; a checkpoint of another one is not used.
        seconds_between: Age in seconds at which the last checkpoint is replaced.
    """

    def __init__(self, path: Path | None, identity: str, *, seconds_between: float = SECONDS_BETWEEN) -> None:
        self.path, self.identity, self.seconds_between = path, identity, seconds_between
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough to be replaced."""
        return self.path is not None and time.monotonic() - self._last >= self.seconds_between

    def write(self, state: dict[str, Any]) -> None:
        """Replaces the last checkpoint by `state` (tensors, numbers, text, lists and dicts of them), atomically."""
        if self.path is None:
            return
        content = io.BytesIO()
        torch.save({"identity": self.identity, "state": state}, content)
        with replace_file(self.path) as pending, pending.open("wb") as file:
            file.write(hashlib.sha256(content.getbuffer()).digest())
            file.write(content.getbuffer())
        self._last = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """The state last written, or None if there is none to use; damage is reported on stderr, not raised."""
        if self.path is None or not self.path.is_file():
            return None
        data = self.path.read_bytes()
        if hashlib.sha256(data[DIGEST_BYTES:]).digest() != data[:DIGEST_BYTES]:
            say(f"{self.path}: damaged checkpoint ignored; training starts from the beginning")
            return None
        stored = torch.load(io.BytesIO(data[DIGEST_BYTES:]), map_location="cpu", weights_only=True)
        if stored["identity"] != self.identity:
            say(f"{self.path}: checkpoint of another training ignored; training starts from the beginning")
            return None
        return stored["state"]
