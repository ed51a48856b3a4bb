"""The places of Graft's own files, in a checkout as well as in an installed wheel."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

CODE = Path(__file__).resolve().parents[1]  # the package graft
PIPELINE = Path(str(files("pipeline")))
