"""What every architecture says of its input is true: channels, sizes, batches; and its stages cover it."""

from __future__ import annotations

import inspect
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from graft.foundation.choices import Choice
from graft.foundation.errors import GraftError
from graft.inference.image_to_logits import padding
from graft.models.architectures import MODELS, Model, WithAuxiliary, build, build_fresh
from graft.models.parts.pooling import resample_bicubic
from graft.models.saved_model import ModelSpec, load_model, save_model, tensor_digest
from graft.models.weights.match import load_into
from graft.models.weights.source import Source
from graft.models.weights.torchvision import published_weights
from graft.training import freezing
from tests.registries.test_models import NUM_CLASSES, ROWS, SPECS, TINY

NUM_CHANNELS = 4


@pytest.fixture(scope="module", params=list(SPECS.values()), ids=list(SPECS))
def outline(request: pytest.FixtureRequest) -> tuple[str, Model]:
    """A model for four channels; without values, on the meta device, where the library can build it so."""
    task, spec = request.param
    if not spec.get("encoder", "tu-").startswith("tu-"):  # reads values while it is built
        return task, build(task, spec, NUM_CLASSES, NUM_CHANNELS).to("meta")
    with torch.device("meta"):
        return task, build(task, spec, NUM_CLASSES, NUM_CHANNELS)


def test_odd_sizes_of_four_channels_pass_once_they_are_padded(outline) -> None:
    task, model = outline
    height, width = (side + padding(side, model.padding_multiple, model.min_side_px) for side in (67, 101))
    logits = model.eval()(torch.empty(2, NUM_CHANNELS, height, width, device="meta"))
    assert logits.shape == ((2, NUM_CLASSES, height, width) if task == "segmentation" else (2, NUM_CLASSES))


def test_the_smallest_side_is_one_it_trains_on_with_a_single_image(outline) -> None:
    _, model = outline
    outputs = model.train()(torch.empty(1, NUM_CHANNELS, model.min_side_px, model.min_side_px, device="meta"))
    assert isinstance(outputs, WithAuxiliary) == (model.auxiliary is not None)


def test_stages_hold_every_parameter_once_and_end_with_the_head(outline) -> None:
    _, model = outline
    stages = model.stages()
    names = [name for name, _ in stages]
    assert names == ["stem", *(f"stage {number}" for number in range(1, len(names) - 1)), "head"]
    assert all(parameters for _, parameters in stages)
    found = [id(parameter) for _, parameters in stages for parameter in parameters]
    assert sorted(found) == sorted(map(id, model.parameters()))
    assert {id(p) for p in model.head.parameters()} <= {id(p) for p in stages[-1][1]}
    stem = next(p for p in model.backbone.parameters() if p.ndim == 4)
    assert stem.shape[1] == NUM_CHANNELS
    assert any(stem is parameter for parameter in stages[0][1])


@pytest.mark.parametrize(
    ("task", "spec", "sizes"),
    [
        ("segmentation", {"name": "lraspp"}, [1072 - 144, 7880, 52312, 2910832]),
        ("classification", {"name": "resnet"}, [9536, 147968, 525568, 2099712, 8393728]),
        ("segmentation", {"name": "segformer"}, [164096, 255296, 930080, 1969920]),
        ("segmentation", {"name": "unet", "encoder": "efficientnet-b0"}, [2376, 16714, 46640, 786078, 2743580]),
    ],
)
def test_stages_are_those_of_the_papers(task: str, spec: dict, sizes: list[int]) -> None:
    stages = build(task, spec, NUM_CLASSES).stages()
    assert [sum(p.numel() for p in parameters) for _, parameters in stages[:-1]] == sizes


def test_each_block_of_a_vision_transformer_is_a_stage() -> None:
    with torch.device("meta"):
        model = build("classification", {"name": "timm", "variant": "vit_tiny_patch16_224"}, 2)
    assert len(model.stages()) == 1 + 12 + 1


@pytest.mark.parametrize("size", [64, 224])
def test_position_embeddings_are_those_of_torchvision_where_the_grid_is_theirs(size: int) -> None:
    from torchvision.models import VisionTransformer

    from graft.models.architectures.vit import VitBackbone

    network = VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=3).eval()
    ours = VitBackbone(network).eval()
    images = torch.randn(1, 3, size, size)
    if size == 64:
        expected = network.encoder(torch.cat([network.class_token, network._process_input(images)], 1))[:, 0]
        torch.testing.assert_close(ours(images), expected)
    else:
        assert ours(images).shape == (1, 32)


@pytest.mark.parametrize("size", [(14, 14), (7, 20), (31, 3)])
def test_bicubic_resampling_is_that_of_torch(size: tuple[int, int]) -> None:
    maps = torch.randn(1, 2, 14, 14)
    expected = nn.functional.interpolate(maps, size, mode="bicubic", align_corners=False)
    torch.testing.assert_close(resample_bicubic(maps, *size), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("version", ["", "V2"])
@pytest.mark.parametrize("size", [(64, 96), (128, 32), (16, 100)])
def test_windows_attend_as_those_of_torchvision(version: str, size: tuple[int, int]) -> None:
    from torchvision.models import swin_transformer

    from graft.models.parts.swin_windows import use_exportable_windows

    block = getattr(swin_transformer, f"SwinTransformerBlock{version}")
    merging = getattr(swin_transformer, f"PatchMerging{version}")
    facts = {"window_size": [4, 4], "num_classes": 2, "block": block, "downsample_layer": merging}
    network = swin_transformer.SwinTransformer([4, 4], 8, [2, 2], [2, 4], **facts).eval()
    images = torch.randn(2, 3, *size)
    expected = network(images)
    use_exportable_windows(network)
    torch.testing.assert_close(network(images), expected)


def test_an_auxiliary_head_answers_only_in_training() -> None:
    model = build_fresh(
        "segmentation", {"name": "fcn", "backbone": "mobilenet_v3_large", "auxiliary_weight": 0.3}, 3, 0
    )
    images = torch.randn(2, 3, 64, 80)
    outputs = model.train()(images)
    assert isinstance(outputs, WithAuxiliary)
    assert outputs.logits.shape == outputs.auxiliary.shape == (2, 3, 64, 80)
    assert outputs.weight == 0.3
    assert isinstance(model.eval()(images), torch.Tensor)
    assert build("segmentation", {"name": "fcn", "backbone": "mobilenet_v3_large"}, 3).auxiliary is None


def test_inception_is_as_small_as_it_says() -> None:
    with torch.device("meta"):
        model = build("classification", "inception_v3", 2)
        with_auxiliary = build("classification", {"name": "inception_v3", "auxiliary_weight": 0.4}, 2)
    image = torch.empty(1, 3, model.min_side_px - 1, 200, device="meta")
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model.train()(image[:, :, :, : model.min_side_px - 1])
    assert model.eval()(torch.empty(1, 3, 75, 75, device="meta")).shape == (1, 2)
    with pytest.raises(RuntimeError):
        model.eval()(torch.empty(1, 3, 74, 74, device="meta"))
    assert with_auxiliary.min_side_px == 299
    assert with_auxiliary.needs_two(299, 299)
    with pytest.raises(RuntimeError):
        with_auxiliary.train()(torch.empty(2, 3, 298, 298, device="meta"))


@pytest.mark.parametrize(
    ("name", "encoder", "needs_two"),
    [
        ("deeplabv3", None, True),
        ("deeplabv3plus", TINY, True),
        ("upernet", TINY, True),
        ("pspnet", TINY, False),
        ("unet", "timm-skresnet18", True),
        ("unet", "tu-resnest14d", True),
        ("unet", "tu-resnet18", False),
        ("unet", "mit_b0", False),
    ],
)
def test_who_pools_to_one_value_and_normalises_it_needs_two_images(name: str, encoder: str, needs_two: bool) -> None:
    model = build("segmentation", {"name": name, **({"encoder": encoder} if encoder else {})}, 2, NUM_CHANNELS)
    before = tensor_digest(model.state_dict())
    assert model.needs_two(64, 96, NUM_CHANNELS) == needs_two
    assert tensor_digest(model.state_dict()) == before
    if needs_two:
        freezing.apply(model, "head")
        assert not model.needs_two(64, 96, NUM_CHANNELS)


@pytest.mark.parametrize(
    ("variant", "fixed", "multiple"),
    [
        ("vit_tiny_patch16_224", None, 16),
        ("swin_tiny_patch4_window7_224", None, 32),
        ("mixer_s16_224", 224, 224),
        ("mobilenetv3_small_100", None, 1),
    ],
)
def test_timm_says_which_sizes_a_model_takes(variant: str, fixed: int | None, multiple: int) -> None:
    with torch.device("meta"):
        model = build("classification", {"name": "timm", "variant": variant}, 2)
    assert (model.fixed_size_px, model.padding_multiple) == (fixed, multiple)
    side = multiple * 7 if fixed is None and multiple > 1 else max(model.min_side_px, multiple)
    assert model.eval()(torch.empty(1, 3, side, side, device="meta")).shape == (1, 2)
    if multiple > 1:
        with pytest.raises(AssertionError):
            model(torch.empty(1, 3, side + 3, side + 3, device="meta"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "deeplabv3plus", "encoder": "vgg11"}, "DeepLabV3Plus cannot be built on the encoder vgg11"),
        ({"name": "unetplusplus", "encoder": "mit_b0"}, "UnetPlusPlus cannot be built on the encoder mit_b0"),
        ({"name": "dpt", "encoder": "resnet18"}, r"it needs a vision transformer of timm, tu-vit_"),
        ({"name": "dpt", "encoder": "tu-resnet18"}, "it is no vision transformer"),
        (
            {"name": "dpt", "encoder": "tu-vit_small_patch14_dinov2"},
            "patches of 14 px; the decoder enlarges those of 8",
        ),
    ],
)
def test_an_encoder_that_does_not_fit_its_decoder_is_refused(spec: dict, message: str) -> None:
    with pytest.raises(GraftError, match=message):
        build("segmentation", spec, 2)


def test_what_no_decoder_reads_is_left_out() -> None:
    model = build("segmentation", {"name": "pspnet", "encoder": "mobilenet_v2"}, 2)
    whole = build("segmentation", {"name": "fpn", "encoder": "mobilenet_v2"}, 2).state_dict()
    kept = {name: tensor.shape for name, tensor in model.state_dict().items() if name.startswith("backbone")}
    assert 0 < len(kept) < len([name for name in whole if name.startswith("backbone")])
    assert all(whole[name].shape == shape for name, shape in kept.items())


@pytest.mark.parametrize("head", ["original", "linear", "mlp"])
@pytest.mark.parametrize("flatten", [False, True])
def test_a_head_by_name(head: str, flatten: bool) -> None:
    spec = {"name": "mobilenet_v3", "variant": "small", "head": head, "flatten": flatten, "dropout": 0.25}
    model = build_fresh("classification", spec, 3, 0)
    assert {module.p for module in model.head.modules() if isinstance(module, nn.Dropout)} == {0.25}
    linear = [module for module in model.head.modules() if isinstance(module, nn.Linear)]
    inputs = 576 * (49 if flatten and head != "original" else 1)
    assert [(layer.in_features, layer.out_features) for layer in linear] == {
        "original": [(576, 1024), (1024, 3)],
        "linear": [(inputs, 3)],
        "mlp": [(inputs, 1024), (1024, 3)],
    }[head]
    assert model.get_submodule(model.class_layers[0]) is linear[-1]
    assert model.eval()(torch.randn(1, 3, 70, 90)).shape == (1, 3)


def test_a_stem_for_more_channels_has_the_spread_of_the_one_it_replaces() -> None:
    model = build_fresh("classification", "resnet", 2, 1, NUM_CHANNELS)
    deviations = [
        build_fresh("classification", "resnet", 2, 1).backbone.conv1.weight.std(),
        model.backbone.conv1.weight.std(),
    ]
    assert model.backbone.conv1.weight.shape[1] == NUM_CHANNELS
    torch.testing.assert_close(deviations[0], deviations[1], rtol=0.05, atol=0)
    assert tensor_digest(model.state_dict()) == tensor_digest(
        build_fresh("classification", "resnet", 2, 1, NUM_CHANNELS).state_dict()
    )


@pytest.mark.parametrize(
    "row",
    [
        ("segmentation", "segformer"),
        ("classification", "timm"),
        ("segmentation", "plain_fcn"),
        ("classification", "squeezenet"),
    ],
)
def test_what_is_saved_is_what_is_loaded(tmp_path, row: tuple[str, str]) -> None:
    task, name = row
    choice = {"name": name, **ROWS[row]}
    model = build_fresh(task, choice, 2, 3)
    resize = {"name": "none"}
    spec = ModelSpec(task, choice, 2, ("a", "b"), (0.5,) * 3, (0.2,) * 3, resize, model.padding_multiple, False)
    save_model(tmp_path, model, spec)
    again, _ = load_model(tmp_path)
    assert tensor_digest(again.state_dict()) == tensor_digest(model.state_dict())


@pytest.mark.parametrize(
    ("theirs", "spec"),
    [
        ("mobilenet_v2", "mobilenet_v2"),
        pytest.param("efficientnet_b0", "efficientnet", marks=pytest.mark.slow),
        pytest.param("convnext_tiny", "convnext", marks=pytest.mark.slow),
        pytest.param("swin_t", "swin", marks=pytest.mark.slow),
        pytest.param("vit_b_32", {"name": "vit", "variant": "vit_b_32"}, marks=pytest.mark.slow),
        pytest.param("inception_v3", "inception_v3", marks=pytest.mark.slow),
        pytest.param("vgg11", {"name": "vgg", "variant": "vgg11", "hidden_channels": 8}, marks=pytest.mark.slow),
    ],
)
def test_checkpoints_of_torchvision_fit_the_whole_backbone(theirs: str, spec) -> None:
    from torchvision import models

    with torch.device("meta"):
        network = models.get_model(theirs, weights=None, **({"init_weights": False} if "inception" in theirs else {}))
    state = {name: torch.ones(tensor.shape, dtype=tensor.dtype) for name, tensor in network.state_dict().items()}
    match = load_into(build("classification", spec, 3), Source(state, "theirs", "here", "unknown"), ("a", "b", "c"))
    assert match.backbone_fraction == 1.0
    assert not [name for name in match.reinitialised if name.startswith("backbone.")]


@pytest.mark.parametrize(
    "variant",
    [
        "densenet121",
        "regnet_x_400mf",
        "shufflenet_v2_x0_5",
        "mnasnet0_5",
        "squeezenet1_1",
        "googlenet",
        pytest.param("alexnet", marks=pytest.mark.slow),
        pytest.param("maxvit_t", marks=pytest.mark.slow),
    ],
)
def test_with_torchvisions_weights_it_answers_as_torchvision_does(variant: str) -> None:
    from torchvision import models

    spec = next(spec for name, (_, spec) in SPECS.items() if variant.startswith(name.removeprefix("classification-")))
    classes, init_weights = tuple("abcde"), {"init_weights": True} if variant == "googlenet" else {}
    theirs = models.get_model(variant, weights=None, num_classes=len(classes), **init_weights).eval()
    ours = build("classification", spec, len(classes)).eval()
    match = load_into(ours, Source(theirs.state_dict(), "theirs", "here", "unknown", class_names=classes), classes)
    assert match.reinitialised == []
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-4)


def test_every_classifier_of_torchvision_is_within_reach() -> None:
    from torchvision import models

    reached = set()
    for name, entry in MODELS["classification"].items():
        for variant in get_args(get_type_hints(entry).get("variant")) or [name]:
            reached |= set(map(str, published_weights(Choice(name, entry, {"variant": variant})).values()))
    known = {str(member) for name in models.list_models(module=models) for member in models.get_model_weights(name)}
    assert reached == known


def test_every_option_of_every_entry_is_explained() -> None:
    for entries in MODELS.values():
        for name, entry in entries.items():
            lines = inspect.getdoc(entry).split("Args:")[-1]
            options = [p.name for p in inspect.signature(entry).parameters.values() if p.kind is p.KEYWORD_ONLY]
            assert all(f"{option}:" in lines for option in options), name
            assert list(inspect.signature(entry).parameters)[:2] == ["num_classes", "num_channels"]
