"""Architectures. Each entry is `(num_classes, num_channels, *, options) -> Model`, freshly initialised, offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from graft.choices import Choice, resolve
from graft.models.alexnet import alexnet
from graft.models.convnext import convnext
from graft.models.deeplabv3 import deeplabv3
from graft.models.deeplabv3plus import deeplabv3plus
from graft.models.densenet import densenet
from graft.models.dpt import dpt
from graft.models.efficientnet import efficientnet
from graft.models.fcn import fcn
from graft.models.fpn import fpn
from graft.models.googlenet import googlenet
from graft.models.inception_v3 import inception_v3
from graft.models.lraspp import lraspp
from graft.models.maxvit import maxvit
from graft.models.mnasnet import mnasnet
from graft.models.mobilenet_v2 import mobilenet_v2
from graft.models.mobilenet_v3 import mobilenet_v3
from graft.models.model import Model, WithAuxiliary
from graft.models.plain_cnn import plain_cnn
from graft.models.plain_fcn import plain_fcn
from graft.models.pspnet import pspnet
from graft.models.regnet import regnet
from graft.models.resnet import resnet
from graft.models.segformer import segformer
from graft.models.shufflenet_v2 import shufflenet_v2
from graft.models.squeezenet import squeezenet
from graft.models.swin import swin
from graft.models.timm import timm
from graft.models.unet import unet
from graft.models.unetplusplus import unetplusplus
from graft.models.upernet import upernet
from graft.models.vgg import vgg
from graft.models.vit import vit

__all__ = ["MODELS", "Model", "WithAuxiliary", "build", "fresh", "resolve_model"]

MODELS: dict[str, dict[str, Callable[..., Model]]] = {
    "segmentation": {
        "lraspp": lraspp,
        "deeplabv3": deeplabv3,
        "fcn": fcn,
        "unet": unet,
        "unetplusplus": unetplusplus,
        "fpn": fpn,
        "pspnet": pspnet,
        "deeplabv3plus": deeplabv3plus,
        "upernet": upernet,
        "segformer": segformer,
        "dpt": dpt,
        "plain_fcn": plain_fcn,
    },
    "classification": {
        "resnet": resnet,
        "mobilenet_v3": mobilenet_v3,
        "mobilenet_v2": mobilenet_v2,
        "vgg": vgg,
        "inception_v3": inception_v3,
        "efficientnet": efficientnet,
        "convnext": convnext,
        "vit": vit,
        "swin": swin,
        "densenet": densenet,
        "regnet": regnet,
        "shufflenet_v2": shufflenet_v2,
        "mnasnet": mnasnet,
        "squeezenet": squeezenet,
        "googlenet": googlenet,
        "alexnet": alexnet,
        "maxvit": maxvit,
        "timm": timm,
        "plain_cnn": plain_cnn,
    },
}


def resolve_model(task: str, spec: str | Mapping[str, Any]) -> Choice:
    """The `model` of `params.yaml` (or of a spec beside weights) with every option resolved.

    Raises:
        GraftError: The name, an option or a value is unknown for this task.
    """
    return resolve(MODELS[task], spec, where="model")


def build(task: str, spec: str | Mapping[str, Any] | Choice, num_classes: int, num_channels: int = 3) -> Model:
    """The model with arbitrary initial weights, for a state that is about to be loaded."""
    choice = spec if isinstance(spec, Choice) else resolve_model(task, spec)
    return choice(num_classes, num_channels)


def fresh(
    task: str, spec: str | Mapping[str, Any] | Choice, num_classes: int, seed: int, num_channels: int = 3
) -> Model:
    """A model from scratch: the architecture's own initialisation as a pure function of `seed`.

    Convolutions of the backbones follow He et al. 2015 (fan out), as their libraries do. The global generator is left
    as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build(task, spec, num_classes, num_channels)
