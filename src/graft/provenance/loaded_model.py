"""A model for a program of one's own: `graft.load("models:/NAME@champion").predict("photo.jpg")`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graft.data.images.stacks import decode
from graft.deployment.export.exported_model import ExportedModel, open_exported
from graft.deployment.serving.predictor import MAX_IMAGE_PIXELS
from graft.deployment.serving.source_classes import probabilities
from graft.foundation.errors import GraftError
from graft.foundation.progress import warn
from graft.inference.image_to_logits import predict_confidence, predict_logits
from graft.models.address import is_address
from graft.provenance.audit.exported_folder import refuse_changed

Image = str | Path | bytes | np.ndarray


@dataclass(frozen=True)
class ImageAnswer:
    """The answer for one image.

    Attributes:
        class_ids: Segmentation: the class of each pixel, uint8 [H, W], positions in `class_names`. None else.
        confidence: The probability of that class by softmax: float32 [H, W], or one number for classification;
            for multilabel the mean over the classes of the probability of what was decided.
        label: Classification: the name of the most likely class. None else.
        probabilities: Classification and multilabel: name to probability of every class. Empty else.
        class_names: Names of the classes, in order of id.
        version: Address of the registered version, which never moves; None for a model of a folder.
        labels: Multilabel: the names of the classes whose probability reaches their threshold. None else.
    """

    class_ids: np.ndarray | None
    confidence: np.ndarray | float
    label: str | None
    probabilities: dict[str, float]
    class_names: tuple[str, ...]
    version: str | None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, compared with what was registered.

    Attributes:
        exported: The opened files.
        version: Address of the registered version, `models:/NAME/3`; None for a model of a folder.
    """

    exported: ExportedModel
    version: str | None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order of id."""
        return self.exported.class_map.names

    def predict(self, images: Image | Iterable[Image]) -> list[ImageAnswer]:
        """One answer for each image, in order.

        Args:
            images: One image or several, each the path of a file, the bytes of an encoded file, or uint8 [H, W, C]
                with the channels of the model (red, green, blue for pictures).

        Raises:
            GraftError: Lists every image that cannot be read; nothing is predicted then.
        """
        several = [images] if isinstance(images, (str, Path, bytes, np.ndarray)) else [*images]
        arrays, problems = [], []
        for number, image in enumerate(several):
            try:
                arrays.append(self._array(image, number))
            except GraftError as error:
                problems.append(str(error))
        if problems:
            raise GraftError.of_all("images that cannot be read", problems)
        return [self._answer(array) for array in arrays]

    def _array(self, image: object, number: int) -> np.ndarray:
        spec = self.exported.spec
        where = str(image) if isinstance(image, (str, Path)) else f"image {number}"
        if isinstance(image, (str, Path)):
            try:
                image = Path(image).read_bytes()
            except OSError as error:
                raise GraftError(error.strerror or str(error), where=where) from None
        if isinstance(image, (bytes, bytearray, memoryview)):
            return decode(bytes(image), spec, where=where, max_pixels=MAX_IMAGE_PIXELS)
        channels = len(spec.channels)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (channels,):
            found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
            rule = f"an image is a path, the bytes of a file, or an array of uint8 [H, W, {channels}]"
            raise GraftError(f"this is {found}", where=where, rule=f"{rule} ({', '.join(spec.channels)})")
        return image

    def _answer(self, image: np.ndarray) -> ImageAnswer:
        runner, spec, tiling = self.exported.runner, self.exported.spec, self.exported.tiling
        if spec.task == "segmentation":
            ids, confidence = predict_confidence(runner, image, spec, tiling)
            return ImageAnswer(ids, confidence, None, {}, self.class_names, self.version)
        if spec.task == "multilabel":
            found = self.exported.predict_labels(image)
            by_name = dict(zip(self.class_names, found.probabilities.tolist(), strict=True))
            labels = tuple(name for name, one in zip(self.class_names, found.decided, strict=True) if one)
            return ImageAnswer(None, found.confidence, None, by_name, self.class_names, self.version, labels)
        shares = probabilities(predict_logits(runner, image, spec, tiling)).tolist()
        best = max(range(len(shares)), key=shares.__getitem__)
        by_name = dict(zip(self.class_names, shares, strict=True))
        return ImageAnswer(None, shares[best], self.class_names[best], by_name, self.class_names, self.version)


def load(model: str | Path, *, target: str = "onnx") -> LoadedModel:
    """Opens a model: a registered one, whose files are compared with their digest, or a folder that export wrote.

    Args:
        model: `models:/NAME@ALIAS` or `models:/NAME/VERSION`, in the store of `MLFLOW_TRACKING_URI`; or a folder.
        target: Exported file that predicts, by its name in `export.targets`.

    Raises:
        GraftError: There is no such model or target, its files were changed, or the store does not answer.
    """
    if not is_address(str(model)):
        if doubt := refuse_changed(Path(model)):
            warn(doubt)
        return LoadedModel(open_exported(Path(model), target=target), None)
    from graft.provenance.tracking import model_versions

    address, _ = model_versions.find_numbered(str(model))
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        files = model_versions.download_model(str(address), Path(folder))
        return LoadedModel(open_exported(files, target=target), str(address))
