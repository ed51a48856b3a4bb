"""Every architecture keeps the promises of `graft.models.model.Model`; each row is a small variant of one entry."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graft.foundation.errors import GraftError
from graft.inference.runtime import use_runtime
from graft.models.architectures import MODELS, Model, WithAuxiliary, build, build_fresh, resolve_model
from graft.models.saved_model import tensor_digest
from graft.params.sections import Runtime
from graft.training import freezing
from graft.training.loop import Forward
from graft.training.losses import cross_entropy

TINY = "tu-tf_mobilenetv3_small_minimal_100"
ROWS = {
    ("segmentation", "lraspp"): {},
    ("segmentation", "deeplabv3"): {"backbone": "mobilenet_v3_large", "auxiliary_weight": 0.4},
    ("segmentation", "fcn"): {"backbone": "mobilenet_v3_large"},
    ("segmentation", "unet"): {"encoder": "mobilenet_v2"},
    ("segmentation", "unetplusplus"): {"encoder": TINY},
    ("segmentation", "fpn"): {"encoder": "resnet18"},
    ("segmentation", "pspnet"): {"encoder": "mit_b0"},
    ("segmentation", "deeplabv3plus"): {"encoder": TINY, "decoder_channels": 16},
    ("segmentation", "upernet"): {"encoder": TINY, "decoder_channels": 16},
    ("segmentation", "segformer"): {"encoder": "mit_b0", "decoder_channels": 32},
    ("segmentation", "dpt"): {"encoder": "tu-vit_tiny_patch16_224", "decoder_channels": 16},
    ("segmentation", "plain_fcn"): {"width": 8},
    ("classification", "resnet"): {"variant": "resnet18"},
    ("classification", "mobilenet_v3"): {"variant": "small"},
    ("classification", "mobilenet_v2"): {"head": "mlp"},
    ("classification", "vgg"): {"variant": "vgg11_bn", "hidden_channels": 32},
    ("classification", "inception_v3"): {},
    ("classification", "efficientnet"): {},
    ("classification", "convnext"): {},
    ("classification", "vit"): {"variant": "vit_b_32"},
    ("classification", "swin"): {},
    ("classification", "densenet"): {},
    ("classification", "regnet"): {"variant": "regnet_x_400mf"},
    ("classification", "shufflenet_v2"): {"variant": "shufflenet_v2_x0_5"},
    ("classification", "mnasnet"): {"variant": "mnasnet0_5"},
    ("classification", "squeezenet"): {},
    ("classification", "googlenet"): {},
    ("classification", "alexnet"): {},
    ("classification", "maxvit"): {},
    ("classification", "timm"): {"variant": "vit_tiny_patch16_224"},
    ("classification", "plain_cnn"): {"width": 8},
}
# Encoders of families that no row has, under one decoder.
ENCODERS = ("vgg11", "efficientnet-b0", "inceptionv4")
LITE = "tf_efficientnet_lite0"
# What the weights that come as packages fit.
ON_LITE: dict[str, tuple[str, dict]] = {
    "lraspp-lite0": ("segmentation", {"name": "lraspp", "backbone": "efficientnet_lite0"}),
    "fpn-lite0": ("segmentation", {"name": "fpn", "encoder": f"tu-{LITE}"}),
    "unet-lite0": ("segmentation", {"name": "unet", "encoder": f"tu-{LITE}"}),
    "deeplabv3plus-lite0": ("segmentation", {"name": "deeplabv3plus", "encoder": f"tu-{LITE}"}),
    "timm-lite0": ("classification", {"name": "timm", "variant": LITE}),
    "timm-lite0-mlp": ("classification", {"name": "timm", "variant": LITE, "head": "mlp"}),
}
SPECS: dict[str, tuple[str, dict]] = {
    **{f"{task}-{name}": (task, {"name": name, **options}) for (task, name), options in ROWS.items()},
    **{f"segmentation-unet-{encoder}": ("segmentation", {"name": "unet", "encoder": encoder}) for encoder in ENCODERS},
    **ON_LITE,
}
# A relative of each is tried in every run; of these only shapes, sizes and stages, without values
# (test_models_inputs.py).
HEAVY = (
    "fcn",
    "unetplusplus",
    "fpn",
    "pspnet",
    "deeplabv3plus",
    "upernet",
    "mobilenet_v2",
    "inception_v3",
    "efficientnet",
)
HEAVY += ("convnext", "vit", "swin", "densenet", "googlenet", "alexnet", "maxvit", "vgg11", "inceptionv4")
HEAVY += (LITE, f"tu-{LITE}")
PARAMETERS = [
    pytest.param(row, marks=pytest.mark.slow if set(row[1].values()) & set(HEAVY) else (), id=name)
    for name, row in SPECS.items()
]
NUM_CLASSES = 5


@pytest.fixture(scope="module", params=PARAMETERS)
def row(request: pytest.FixtureRequest) -> tuple[str, dict, Model]:
    task, spec = request.param
    return task, spec, build_fresh(task, spec, NUM_CLASSES, 11)


def test_every_entry_has_a_row() -> None:
    assert set(ROWS) == {(task, name) for task, entries in MODELS.items() for name in entries}


def test_logits_have_the_size_of_the_image(row) -> None:
    task, _, model = row
    multiple = model.padding_multiple
    height, width = (side if multiple == 1 else side // multiple * multiple for side in (67, 101))
    height, width = max(height, model.min_side_px), max(width, model.fixed_size_px or 0)
    logits = _logits(model, torch.randn(2, 3, height, width))
    assert logits.shape == ((2, NUM_CLASSES, height, width) if task == "segmentation" else (2, NUM_CLASSES))
    assert logits.isfinite().all()


def test_logits_do_not_depend_on_the_rest_of_the_batch_or_the_memory_format(row) -> None:
    _, _, model = row
    side = max(64, model.min_side_px)
    images = torch.randn(2, 3, side, side)
    logits = _logits(model, images)
    torch.testing.assert_close(_logits(model, images[1:]), logits[1:], atol=1e-4, rtol=1e-4)
    channels_last = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(_logits(model, channels_last), logits, atol=1e-4, rtol=1e-4)


def test_one_smallest_image_trains_every_parameter(row) -> None:
    _, spec, model = row
    freezing.apply(model, "all")
    side = model.min_side_px
    _loss(model(torch.randn(1, 3, side, side))).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without, f"{spec}: no gradient"
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    model.zero_grad()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_on_a_gpu_two_equal_steps_give_equal_gradients(row, precision: str) -> None:
    task, spec, _ = row
    values = {"device": "cuda", "precision": precision, "channels_last": True, "num_threads": 1, "deterministic": True}
    values["compile"] = False
    device, gradients = use_runtime(Runtime(**values)), []
    for _ in range(2):
        model = build_fresh(task, spec, NUM_CLASSES, 5).to(device, memory_format=torch.channels_last).train()
        torch.manual_seed(0)
        images = torch.randint(0, 256, (2, 3, 70, 90), dtype=torch.uint8, device=device)
        targets = torch.randint(0, NUM_CLASSES, (2, 70, 90) if task == "segmentation" else (2,), device=device)
        forward = Forward(model, (torch.full((1, 3, 1, 1), 0.01, device=device),) * 2, precision, True)
        cross_entropy(forward(images), targets, None).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert tensor_digest(gradients[0]) == tensor_digest(gradients[1])


def test_backbone_and_head_hold_every_tensor_once(row) -> None:
    _, _, model = row
    heads = [part for part in (model.head, model.auxiliary) if part is not None]
    parts = [id(p) for part in (model.backbone, *heads) for p in [*part.parameters(), *part.buffers()]]
    whole = [id(p) for p in [*model.parameters(), *model.buffers()]]
    assert sorted(parts) == sorted(whole)
    assert len(set(parts)) == len(parts)
    assert {name.split(".")[0] for name in model.state_dict()} - {"auxiliary"} == {"backbone", "head"}


def test_class_layers_have_a_channel_for_each_class(row) -> None:
    task, spec, model = row
    other = build(task, spec, NUM_CLASSES + 2).state_dict()
    differing = {name for name, tensor in model.state_dict().items() if tensor.shape != other[name].shape}
    assert differing == _class_tensors(model)
    assert all(model.state_dict()[name].shape[0] == NUM_CLASSES for name in differing)


def test_a_fresh_model_is_a_function_of_its_seed(row) -> None:
    task, spec, model = row
    before = torch.random.get_rng_state()
    again, other = (build_fresh(task, spec, NUM_CLASSES, seed) for seed in (11, 12))
    assert torch.equal(before, torch.random.get_rng_state())
    parameters = [dict(m.named_parameters()) for m in (model, again, other)]
    assert tensor_digest(parameters[0]) == tensor_digest(parameters[1]) != tensor_digest(parameters[2])


def test_normalisation_keeps_up_with_short_training(row) -> None:
    _, _, model = row
    assert {m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)} <= {0.1}


@pytest.mark.parametrize("train", ["head", "frozen_backbone", "all"])
def test_what_is_frozen_keeps_every_bit(row, train: str) -> None:
    task, spec, _ = row
    model = build_fresh(task, spec, NUM_CLASSES, 5)
    freezing.apply(model, train)
    model.eval().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD(freezing.parameter_groups(model), lr=0.1, weight_decay=0.1)
    side = max(64, model.min_side_px)
    _loss(model(torch.randn(2, 3, side, side))).backward()
    optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    if train == "all":
        assert any(name.startswith("backbone") for name in changed)
    elif train == "frozen_backbone":
        assert changed
        assert all(name.startswith(("head.", "auxiliary.")) for name in changed)
    else:
        assert changed == _class_tensors(model)


def test_normalisation_and_biases_do_not_decay(row) -> None:
    _, _, model = row
    freezing.apply(model, "all")
    groups = freezing.parameter_groups(model)
    counts = [row["num_parameters"] for row in freezing.group_table(groups, 1e-3)]
    assert sum(counts) == sum(parameter.numel() for parameter in model.parameters())
    for group in groups:
        assert group.get("weight_decay") == (0.0 if "not decaying" in group["name"] else None)
        if "not decaying" not in group["name"]:
            assert all(p.ndim > 1 for p in group["params"])


def test_the_optimizer_keeps_its_own_decay_where_none_is_given() -> None:
    model = build_fresh("classification", {"name": "mobilenet_v3", "variant": "small"}, 2, 0)
    optimizer = torch.optim.AdamW(freezing.parameter_groups(model), weight_decay=0.3)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0, 0.3, 0.0]


def test_the_classifier_shares_the_backbone_of_lraspp() -> None:
    shapes = [
        {
            name: tensor.shape
            for name, tensor in build(task, name, 2).state_dict().items()
            if name.startswith("backbone")
        }
        for task, name in (("segmentation", "lraspp"), ("classification", "mobilenet_v3"))
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("task", "spec", "message"),
    [
        ("segmentation", "lrasp", r"model has no choice named 'lrasp'.*did you mean 'lraspp'"),
        ("segmentation", "resnet", r"the choices are deeplabv3, deeplabv3plus, dpt, fcn, fpn, lraspp, "),
        ("segmentation", {"name": "fcn", "backbone": "resnet18"}, r"model\.backbone: 'resnet18'"),
        (
            "segmentation",
            {"name": "unet", "encoder": "resnet81"},
            r"(?s)model\.encoder: 'resnet81'.*did you mean 'resnet18'",
        ),
        (
            "segmentation",
            {"name": "unet", "encoder": "tu-mobilenetv3_smal_100"},
            r"did you mean 'tu-mobilenetv3_small_100'",
        ),
        (
            "classification",
            {"name": "timm", "variant": "resnet19"},
            r"(?s)timm has no such model; did you mean 'resnet18'",
        ),
        ("classification", {"name": "vgg", "dropout": 1.5}, r"model\.dropout: 1\.5"),
    ],
)
def test_a_choice_that_does_not_exist_is_answered(task: str, spec, message: str) -> None:
    with pytest.raises(GraftError, match=message):
        resolve_model(task, spec)


def _class_tensors(model: Model) -> set[str]:
    return {f"{layer}.{name}" for layer in model.class_layers for name in model.get_submodule(layer).state_dict()}


def _loss(outputs: torch.Tensor | WithAuxiliary) -> torch.Tensor:
    tensors = outputs[:2] if isinstance(outputs, WithAuxiliary) else [outputs]
    return sum((tensor - 1).square().mean() for tensor in tensors)  # a head may start at zero


def _logits(model: Model, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(images)
