"""Pins: the digest that `params.yaml` names of a foreign file, and the way a registered model gets here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
# The weights of a finished model as export names them, and fine-tune; either file carries the spec of the model.
WEIGHTS_FILES = ("weights.safetensors", "model.safetensors")
# Given the address of a registered model, `models:/NAME/VERSION`, brings its files here and says where they are.
Downloader = Callable[[str], Path]


def no_download(model_uri: str) -> Path:
    """Stands in for a download where there is no registry to ask.

    Raises:
        GraftError: Always.
    """
    raise GraftError(
        "a registered model is fetched by the command, not by the stage alone",
        where=model_uri,
        remedy="run the command graft of this stage, or dvc repro",
    )


def verify_sha256(path: Path, expected: str | None) -> str:
    """Returns the hex sha256 of a file, which must begin with the expected digits.

    Raises:
        GraftError: It begins with other digits. Where None is expected, any digest will do.
    """
    found = sha256_of(path)
    if expected is not None and not found.startswith(expected.lower()):
        raise GraftError(
            f"sha256 is {found}, not {expected}",
            where=path,
            rule="weights are used only when their digest is the pinned one",
            remedy="fetch the file again, or pin the new digest if you meant to change it",
        )
    return found


def weights_file(folder: Path, name: str) -> Path:
    """The file of a model's weights, in a folder that export or fine-tune wrote.

    Raises:
        GraftError: There is none.
    """
    found = next((folder / file for file in WEIGHTS_FILES if (folder / file).is_file()), None)
    if found is None:
        raise GraftError(
            f"no model in it: neither {' nor '.join(WEIGHTS_FILES)}",
            where=name,
            rule="a teacher is a registered model, or a folder that export or fine-tune wrote",
            remedy="correct fine_tune.strategy.teacher",
        )
    return found
