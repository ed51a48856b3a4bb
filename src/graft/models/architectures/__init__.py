"""Architectures. Each entry is `(num_classes, num_channels, *, options) -> Model`, freshly initialised, offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from graft.foundation.choices import Choice, resolve
from graft.models.architectures.alexnet import alexnet
from graft.models.architectures.convnext import convnext
from graft.models.architectures.deeplabv3 import deeplabv3
from graft.models.architectures.deeplabv3plus import deeplabv3plus
from graft.models.architectures.densenet import densenet
from graft.models.architectures.dpt import dpt
from graft.models.architectures.efficientnet import efficientnet
from graft.models.architectures.fcn import fcn
from graft.models.architectures.fpn import fpn
from graft.models.architectures.googlenet import googlenet
from graft.models.architectures.inception_v3 import inception_v3
from graft.models.architectures.lraspp import lraspp
from graft.models.architectures.maxvit import maxvit
from graft.models.architectures.mnasnet import mnasnet
from graft.models.architectures.mobilenet_v2 import mobilenet_v2
from graft.models.architectures.mobilenet_v3 import mobilenet_v3
from graft.models.architectures.plain_cnn import plain_cnn
from graft.models.architectures.plain_fcn import plain_fcn
from graft.models.architectures.pspnet import pspnet
from graft.models.architectures.regnet import regnet
from graft.models.architectures.resnet import resnet
from graft.models.architectures.segformer import segformer
from graft.models.architectures.shufflenet_v2 import shufflenet_v2
from graft.models.architectures.squeezenet import squeezenet
from graft.models.architectures.swin import swin
from graft.models.architectures.timm import timm
from graft.models.architectures.unet import unet
from graft.models.architectures.unetplusplus import unetplusplus
from graft.models.architectures.upernet import upernet
from graft.models.architectures.vgg import vgg
from graft.models.architectures.vit import vit
from graft.models.model import Model, WithAuxiliary

__all__ = ["MODELS", "Model", "WithAuxiliary", "build", "build_fresh", "family_of", "models_for", "resolve_model"]

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


def family_of(task: str) -> str:
    """The key of MODELS of a task: of one label an image or several, a classifier has a logit for each class."""
    return "segmentation" if task == "segmentation" else "classification"


def models_for(task: str) -> dict[str, Callable[..., Model]]:
    """The architectures of a task, by name."""
    return MODELS[family_of(task)]


def resolve_model(task: str, spec: str | Mapping[str, Any]) -> Choice:
    """The `model` of `params.yaml` (or of a spec beside weights) with every option resolved.

    Raises:
        GraftError: The name, an option or a value is unknown for this task.
    """
    return resolve(models_for(task), spec, where="model")


def build(task: str, spec: str | Mapping[str, Any] | Choice, num_classes: int, num_channels: int = 3) -> Model:
    """The model with arbitrary initial weights, for a state that is about to be loaded."""
    choice = spec if isinstance(spec, Choice) else resolve_model(task, spec)
    return choice(num_classes, num_channels)


def build_fresh(
    task: str, spec: str | Mapping[str, Any] | Choice, num_classes: int, seed: int, num_channels: int = 3
) -> Model:
    """A model from scratch: the architecture's own initialisation as a pure function of `seed`.

    Convolutions of the backbones follow He et al. 2015 (fan out), as their libraries do. The global generator is left
    as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build(task, spec, num_classes, num_channels)
