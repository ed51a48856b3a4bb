"""Registered models, brought here for as long as a command runs."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def downloaded(model_uri: str) -> Path:
    """The files of a registered model, in a folder that goes when the command ends.

    Raises:
        GraftError: There is no such model, or the store does not answer.
    """
    from graft.provenance.tracking import model_versions

    folder = Path(tempfile.mkdtemp(prefix="graft-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return model_versions.download_model(model_uri, folder)
