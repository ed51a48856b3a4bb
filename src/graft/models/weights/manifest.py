"""The manifest of a package of weights: what its one safetensors file holds, as `graft package-weights` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from graft.foundation.errors import GraftError

FILE = "manifest.json"


class Manifest(BaseModel):
    """The content of `manifest.json`.

    It names the digest of the weights, and `params.yaml` the digest of the manifest: so classes and normalisation are
    pinned along with the weights.

    Attributes:
        format: Version of this list of keys.
        model: Architecture that the weights fit, with every option, as `model` in `params.yaml`.
        file: Name of the safetensors file, in the folder of the manifest.
        sha256: Digest of that file, in hex.
        class_names: Names of the classes in the class layers, in order of channel; None where there are none.
        mean: Mean of each channel in the normalisation that the weights expect, in 0..1.
        std: Standard deviation of each channel, in the same unit.
        licence: Licence of the weights.
        description: One sentence for a person: what was trained on what.
        origin: Where the weights come from, for example `models:/NAME/VERSION`.
        metrics: Scores that their makers measured, name to fraction.
        widths: Widths of the layers that pruning narrowed, as in a spec; manifests without it are of whole models.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    model: dict[str, Any]
    file: Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    class_names: tuple[str, ...] | None
    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    licence: str
    description: str
    origin: str
    metrics: dict[str, float]
    widths: dict[str, dict[str, Annotated[int, Field(ge=1)]]] = {}

    @model_validator(mode="after")
    def mean_and_std_are_of_the_same_channels(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std have one value for each channel")
        return self

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest in a file.

        Raises:
            GraftError: It is not JSON, or breaks a rule; all broken rules are named.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors())
            raise GraftError(
                f"not the manifest of a package of weights ({wrong})",
                where=path,
                rule=f"it has exactly the keys {', '.join(cls.model_fields)}",
                remedy="install the package again, or build it again with graft package-weights",
            ) from None
