"""Weights: where they come from, what of them fits, and what is refused."""

from __future__ import annotations

import functools
import hashlib
import http.server
import importlib
import pickle
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from graft.foundation.choices import resolve
from graft.foundation.class_map import ClassMap
from graft.foundation.content import read_json, sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.models.architectures import Model, build_fresh, resolve_model
from graft.models.parts.heads import Layers, dense_layers
from graft.models.parts.stem import spread
from graft.models.pins import no_download
from graft.models.saved_model import ModelSpec, save_model, save_state
from graft.models.weights import WEIGHTS, Source
from graft.models.weights.bundled import FOLDER, read_bundle
from graft.models.weights.match import load_into
from graft.models.weights.torchvision import fetch, published_weights

LRASPP = resolve_model("segmentation", "lraspp")
NAMES = ("Sky", "Road", "Car")


@pytest.fixture(scope="module")
def segmenter() -> Model:
    return build_fresh("segmentation", LRASPP, 3, 1)


@pytest.fixture
def bundle(tmp_path: Path, segmenter: Model) -> Path:
    """A bundle as `make bundled` writes it: half precision, spec, metrics."""
    model = LRASPP.as_dict()
    spec = ModelSpec("segmentation", model, 3, NAMES, (0.5,) * 3, (0.2,) * 3, {"name": "none"}, 1, synthetic=True)
    halves = {n: t.half() if t.is_floating_point() else t for n, t in segmenter.state_dict().items()}
    save_model(tmp_path, halves, spec)
    (tmp_path / "model.safetensors").rename(tmp_path / "weights.safetensors")
    write_json(tmp_path / "metrics.json", {"mean_iou": 0.5, "iou": {"Sky": 0.5}})
    return tmp_path


def source_of(state: dict[str, torch.Tensor], class_names: tuple[str, ...] | None = None) -> Source:
    return Source(state, "weights of a test", "a test", "none", class_names=class_names)


def read_file(path: Path, **options: object) -> Source:
    if path.is_file():
        options = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **options}
    return resolve(WEIGHTS, {"name": "file", "path": str(path), **options}, where="pretrain_load.source")(
        "segmentation", LRASPP, no_download
    )


def test_the_sources_are_these() -> None:
    assert set(WEIGHTS) == {"bundled", "torchvision", "timm", "package", "registry", "file", "none", "self_supervised"}


def test_none_has_no_state() -> None:
    source = WEIGHTS["none"]("segmentation", LRASPP, no_download)
    assert source.state is None
    assert source.mean == (0.485, 0.456, 0.406)


# Bundled


def test_a_bundle_brings_its_names_normalisation_and_metrics(bundle: Path, segmenter: Model) -> None:
    source = read_bundle(bundle)
    assert (source.class_names, source.mean, source.metrics) == (NAMES, (0.5,) * 3, {"mean_iou": 0.5})
    assert source.sha256 == hashlib.sha256((bundle / "weights.safetensors").read_bytes()).hexdigest()
    model = build_fresh("segmentation", LRASPP, 3, 2)
    match = load_into(model, source, NAMES)
    assert (match.resized, match.reinitialised, match.left_out, match.backbone_fraction) == ([], [], [], 1.0)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, segmenter.state_dict()[name], atol=1e-3, rtol=1e-3)


def test_a_missing_bundle_is_answered_with_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"not in this checkout.*make bundled"):
        read_bundle(tmp_path)


def test_a_damaged_bundle_is_said_to_be_damaged(bundle: Path) -> None:
    (bundle / "weights.safetensors").write_bytes(b"version https://git-lfs")
    with pytest.raises(GraftError, match="damaged safetensors"):
        read_bundle(bundle)


def test_the_bundled_weights_are_small_and_complete() -> None:
    assert (FOLDER / "weights.safetensors").stat().st_size <= 8e6
    source = WEIGHTS["bundled"]("segmentation", LRASPP, no_download)
    model = build_fresh("segmentation", LRASPP, len(source.class_names), 0)
    assert not load_into(model, source, source.class_names).reinitialised


# Matching


def test_the_backbone_of_a_segmenter_fits_the_classifier(segmenter: Model) -> None:
    classifier = build_fresh("classification", "mobilenet_v3", 2, 3)
    match = load_into(classifier, source_of(segmenter.state_dict(), NAMES), ("ants", "bees"))
    assert match.backbone_fraction == 1.0
    assert all(name.startswith("head.") for name in match.reinitialised)
    assert torch.equal(classifier.backbone[0][0].weight, segmenter.backbone["0"][0].weight)


def test_rows_of_shared_classes_go_by_name(segmenter: Model) -> None:
    model = build_fresh("segmentation", LRASPP, 4, 9)
    initial = model.head.low_classifier.weight.clone()
    match = load_into(model, source_of(segmenter.state_dict(), NAMES), ("car", "lawn", "SKY", "Pole"))
    theirs, ours = segmenter.head.low_classifier.weight, model.head.low_classifier.weight
    assert torch.equal(ours[0], theirs[2])
    assert torch.equal(ours[2], theirs[0])
    assert torch.equal(ours[[1, 3]], initial[[1, 3]])
    assert "head.low_classifier.weight: 2 of 4 classes by name, from 3" in match.resized
    assert len(match.resized) == 4


@pytest.mark.parametrize(("their_names", "our_names"), [(NAMES, ("lawn", "weed", "soil")), (None, ("lawn", "weed"))])
def test_class_layers_start_afresh_where_no_class_is_shared(segmenter: Model, their_names, our_names) -> None:
    model = build_fresh("segmentation", LRASPP, len(our_names), 9)
    initial = model.head.low_classifier.weight.clone()
    match = load_into(model, source_of(segmenter.state_dict(), their_names), our_names)
    assert {name.rpartition(".")[0] for name in match.reinitialised} == set(model.class_layers)
    assert torch.equal(model.head.low_classifier.weight, initial)


def test_the_same_names_in_another_order_are_reordered(segmenter: Model) -> None:
    model = build_fresh("segmentation", LRASPP, 3, 9)
    load_into(model, source_of(segmenter.state_dict(), NAMES), NAMES[::-1])
    assert torch.equal(model.head.high_classifier.bias, segmenter.head.high_classifier.bias.flip(0))


@pytest.mark.parametrize("make", ["lraspp_mobilenet_v3_large", "mobilenet_v3_large"])
def test_torchvision_segmenters_and_backbones_fit(make: str) -> None:
    from torchvision import models

    options = {"weights_backbone": None} if "lraspp" in make else {}
    theirs = models.get_model(make, weights=None, num_classes=7, **options)
    match = load_into(build_fresh("segmentation", LRASPP, 3, 1), source_of(theirs.state_dict()), NAMES)
    assert match.backbone_fraction == 1.0
    head = {name for name in match.matched if name.startswith("head.")}
    assert bool(head) == ("lraspp" in make)
    assert all(name.startswith("classifier.") for name in match.left_out)


@pytest.mark.parametrize(
    ("theirs", "task", "spec"),
    [
        ("resnet18", "classification", {"name": "resnet"}),
        ("resnet18", "segmentation", {"name": "unet", "encoder": "resnet18"}),
        ("mobilenet_v2", "segmentation", {"name": "unet", "encoder": "mobilenet_v2"}),
        ("vgg11_bn", "classification", {"name": "vgg", "variant": "vgg11_bn", "hidden_channels": 8}),
        ("mobilenet_v3_large", "segmentation", {"name": "deeplabv3"}),
    ],
)
def test_torchvision_classifiers_fit_their_family(theirs: str, task: str, spec: dict) -> None:
    from torchvision import models

    with torch.device("meta"):
        shapes = models.get_model(theirs, weights=None, num_classes=3).state_dict()
    state = {
        name: torch.ones(tensor.shape, dtype=tensor.dtype) for name, tensor in shapes.items() if tensor.numel() < 1e7
    }
    match = load_into(build_fresh(task, spec, 3, 1), source_of(state), NAMES)
    assert match.backbone_fraction == 1.0
    assert not [name for name in match.reinitialised if name.startswith("backbone.")]


@pytest.mark.parametrize(
    ("task", "spec"),
    [
        ("classification", {"name": "timm", "variant": "resnet18"}),
        ("segmentation", {"name": "unet", "encoder": "tu-resnet18"}),
        ("segmentation", {"name": "unet", "encoder": "resnet18"}),
    ],
)
def test_timms_names_fit_as_classifier_and_as_encoder(task: str, spec: dict) -> None:
    import timm

    match = load_into(build_fresh(task, spec, 3, 1), source_of(timm.create_model("resnet18").state_dict()), NAMES)
    assert match.backbone_fraction == 1.0
    assert match.left_out == ["fc.bias", "fc.weight"]


def test_an_auxiliary_head_is_taken_over_but_for_its_class_layer() -> None:
    from torchvision import models

    theirs = models.get_model("fcn_resnet50", weights=None, weights_backbone=None, aux_loss=True, num_classes=7)
    model = build_fresh("segmentation", {"name": "fcn", "backbone": "resnet50", "auxiliary_weight": 0.4}, 3, 1)
    match = load_into(model, source_of(theirs.state_dict()), NAMES)
    assert match.reinitialised == ["auxiliary.4.bias", "auxiliary.4.weight", "head.4.bias", "head.4.weight"]


def test_the_dotted_names_of_densenet_files_fit_its_encoder() -> None:
    from torchvision import models

    with torch.device("meta"):
        shapes = models.densenet121(weights=None).state_dict()
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): torch.ones(tensor.shape, dtype=tensor.dtype)
        for name, tensor in shapes.items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    model = build_fresh("segmentation", {"name": "unet", "encoder": "densenet121"}, 3, 1)
    match = load_into(model, source_of(state), NAMES)
    assert match.backbone_fraction == 1.0
    assert match.left_out == ["classifier.bias", "classifier.weight"]


@pytest.fixture(scope="module")
def transformer() -> Model:
    return build_fresh("classification", {"name": "vit", "variant": "vit_b_32"}, 3, 1)


def test_position_embeddings_of_another_size_are_resampled(transformer: Model) -> None:
    name, embedding = "backbone.encoder.pos_embedding", torch.randn(1, 1 + 12 * 12, 768)
    state = {**transformer.state_dict(), name: embedding.half()}
    match = load_into(transformer, source_of(state), NAMES)
    assert (match.resized, match.backbone_fraction) == ([f"{name}: positions of 12 x 12 patches to 7 x 7"], 1.0)
    grid = embedding[:, 1:].transpose(1, 2).unflatten(2, (12, 12))
    expected = torch.nn.functional.interpolate(grid, size=(7, 7), mode="bicubic").flatten(2).transpose(1, 2)
    taken = transformer.state_dict()[name]
    torch.testing.assert_close(taken, torch.cat([embedding[:, :1], expected], 1), atol=5e-3, rtol=0)


def test_what_is_no_grid_of_positions_is_not_resampled(transformer: Model) -> None:
    for shape in ((1, 4, 768), (1, 50, 8), (50, 768), (1, 0, 768)):
        state = {**transformer.state_dict(), "backbone.encoder.pos_embedding": torch.zeros(shape)}
        match = load_into(transformer, source_of(state), NAMES)
        assert (match.resized, match.reinitialised) == ([], ["backbone.encoder.pos_embedding"])


def test_a_unet_of_segmentation_models_fits_ours() -> None:
    import segmentation_models_pytorch as smp

    theirs = smp.Unet("resnet18", encoder_weights=None, classes=3)
    match = load_into(
        build_fresh("segmentation", {"name": "unet", "encoder": "resnet18"}, 3, 1),
        source_of(theirs.state_dict()),
        NAMES,
    )
    assert (match.reinitialised, match.left_out) == ([], [])


@pytest.mark.parametrize(("num_channels", "line"), [(1, "1 input channels to 3"), (4, "4 input channels to 3")])
def test_a_stem_of_other_channels_is_adapted(segmenter: Model, num_channels: int, line: str) -> None:
    state = dict(segmenter.state_dict())
    stem = torch.randn(16, num_channels, 3, 3)
    state["backbone.0.0.weight"] = stem
    model = build_fresh("segmentation", LRASPP, 3, 2)
    assert load_into(model, source_of(state), NAMES).resized == [f"backbone.0.0.weight: {line}"]
    grey = torch.randn(1, 1, 8, 8).expand(1, 3, 8, 8)
    if num_channels == 1:
        given = torch.nn.functional.conv2d(grey[:, :1], stem)
        torch.testing.assert_close(torch.nn.functional.conv2d(grey, model.backbone["0"][0].weight), given)


def test_nothing_useful_is_refused(segmenter: Model) -> None:
    resnet = build_fresh("classification", "resnet", 3, 1)
    with pytest.raises(
        GraftError, match=r"only \d+% of the model's backbone is in these weights \(weights of a test\)"
    ):
        load_into(resnet, source_of(segmenter.state_dict()), NAMES)
    with pytest.raises(GraftError, match="only 0% of the model's backbone"):
        load_into(build_fresh("segmentation", LRASPP, 3, 1), source_of({"x": torch.zeros(3)}), NAMES)


def test_values_that_are_not_finite_are_refused(segmenter: Model) -> None:
    state = {**segmenter.state_dict(), "backbone.0.0.weight": torch.full((16, 3, 3, 3), torch.nan)}
    with pytest.raises(GraftError, match=r"not finite \(1\)(?s:.*)backbone\.0\.0\.weight"):
        load_into(build_fresh("segmentation", LRASPP, 3, 2), source_of(state), NAMES)


# Files


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
def test_a_pytorch_checkpoint_is_unwrapped(tmp_path: Path, segmenter: Model, wrap) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(wrap({f"module.{name}": tensor for name, tensor in segmenter.state_dict().items()}), path)
    source = read_file(path)
    match = load_into(build_fresh("segmentation", LRASPP, 3, 2), source, NAMES)
    assert (match.reinitialised, match.left_out) == ([], [])


def test_a_safetensors_file_of_graft_brings_names_and_normalisation(tmp_path: Path, segmenter: Model) -> None:
    path = tmp_path / "ours.safetensors"
    metadata = {"class_names": list(NAMES), "mean": [0.5] * 3, "std": [0.25] * 3}
    save_state(path, segmenter.state_dict(), metadata)
    source = read_file(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert (source.class_names, source.mean, source.std) == (NAMES, (0.5,) * 3, (0.25,) * 3)


class Malicious:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("executed"),))


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Malicious()}, "zipped.pth")
    Path("bare.pt").write_bytes(pickle.dumps(Malicious()))
    for name in ("zipped.pth", "bare.pt"):
        with pytest.raises(GraftError, match=f"{name}: not a checkpoint of plain tensors.*Graft never unpickles"):
            read_file(Path(name))
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.pth", b"", r"empty\.pth: (damaged checkpoint|not a checkpoint)"),
        ("text.pth", b"not a checkpoint at all", r"text\.pth: (damaged checkpoint|not a checkpoint)"),
        ("cut.pth", b"PK\x03\x04 and no more", r"cut\.pth: (damaged checkpoint|not a checkpoint)"),
        ("cut.safetensors", b"\xff" * 40, r"cut\.safetensors: damaged safetensors file"),
        ("weights.onnx", b"", r"weights\.onnx: weights file of an unknown kind '\.onnx'"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GraftError, match=message):
        read_file(tmp_path / name)


def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    with pytest.raises(GraftError, match="no named tensors"):
        read_file(tmp_path / "epoch.pth")


def test_a_missing_file_and_another_digest_are_refused(tmp_path: Path, segmenter: Model) -> None:
    with pytest.raises(GraftError, match="weights file not found"):
        read_file(tmp_path / "absent.pth")
    save_state(tmp_path / "ours.safetensors", segmenter.state_dict(), {})
    with pytest.raises(GraftError, match=f"sha256 is [0-9a-f]{{64}}, not {'0' * 64}"):
        read_file(tmp_path / "ours.safetensors", sha256="0" * 64)


# torchvision


def test_the_enums_of_a_model_are_its_own_and_its_backbones() -> None:
    def names(task: str, spec: dict) -> dict[str, str]:
        return {name: Path(m.url).name for name, m in published_weights(resolve_model(task, spec)).items()}

    segmenters = {
        "lraspp": "lraspp_mobilenet_v3_large-d234d4ea.pth",
        "deeplabv3": "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    }
    for name, file in segmenters.items():
        found = names("segmentation", {"name": name})
        assert found["COCO_WITH_VOC_LABELS_V1"] == file
        assert found["IMAGENET1K_V2"] == "mobilenet_v3_large-5c1a4163.pth"
    assert "IMAGENET1K_V1" in names("segmentation", {"name": "unet", "encoder": "resnet34"})
    assert names("classification", {"name": "resnet"})["IMAGENET1K_V1"] == "resnet18-f37072fd.pth"
    assert names("classification", {"name": "mobilenet_v3", "variant": "small"})
    assert names("classification", {"name": "vgg"})


def test_unknown_weights_are_answered() -> None:
    with pytest.raises(GraftError, match=r"no weights 'IMAGENET1K_V3'.*did you mean 'IMAGENET1K_V"):
        WEIGHTS["torchvision"]("segmentation", LRASPP, no_download, weights="IMAGENET1K_V3")


def test_offline_the_message_says_which_file_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    place = tmp_path / "hub" / "checkpoints" / "lraspp_mobilenet_v3_large-d234d4ea.pth"
    with pytest.raises(GraftError, match=f"cannot download https://download.*put it at {place}"):
        WEIGHTS["torchvision"]("segmentation", LRASPP, no_download, weights="COCO_WITH_VOC_LABELS_V1")
    assert list(place.parent.iterdir()) == []


def test_a_cached_file_of_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "lraspp_mobilenet_v3_large-d234d4ea.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    with pytest.raises(GraftError, match=r"sha256 is [0-9a-f]{64}, not d234d4ea"):
        WEIGHTS["torchvision"]("segmentation", LRASPP, no_download, weights="COCO_WITH_VOC_LABELS_V1")


def published_by_torchvision(
    monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor], model: dict[str, str], weights: str
) -> Source:
    """The source of weights whose file holds `state`."""
    module = importlib.import_module("graft.models.weights.torchvision")
    monkeypatch.setattr(module, "fetch", lambda url, path, sha256: "0" * 64)
    monkeypatch.setattr(module, "read_checkpoint", lambda path: state)
    choice = resolve_model("classification", model)
    return WEIGHTS["torchvision"]("classification", choice, no_download, weights=weights)


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_inception_gets_the_images_that_torchvisions_own_model_makes_of_its_input(name, monkeypatch) -> None:
    from torchvision import models, transforms

    torch.manual_seed(1)
    theirs = models.get_model(name, weights=None, init_weights=False, transform_input=True, aux_logits=False)
    for layer in theirs.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    pixels, published = torch.rand(2, 3, 128, 128), models.get_model_weights(name).IMAGENET1K_V1.transforms()
    given = transforms.functional.normalize(pixels, published.mean, published.std)
    with torch.no_grad():
        theirs(given)  # its statistics are now of such images, and its answers differ between them
    spec = {"name": name}
    source = published_by_torchvision(monkeypatch, theirs.state_dict(), spec, "IMAGENET1K_V1")
    ours = build_fresh("classification", spec, 1000, 2).eval()
    assert load_into(ours, source_of(theirs.state_dict()), ()).reinitialised == []
    with torch.no_grad():
        expected = theirs.eval()(given)
        answer = ours(transforms.functional.normalize(pixels, source.mean, source.std))
        assert (answer - expected).norm() < 1e-3 * expected.norm()
        assert (ours(given) - expected).norm() > 0.1 * expected.norm()


def test_weights_made_for_their_features_alone_load(monkeypatch) -> None:
    from torchvision import models

    with torch.device("meta"):
        shapes = models.vgg16(weights=None).features.state_dict()
    state = {f"features.{name}": torch.ones(tensor.shape) for name, tensor in shapes.items()}
    state["classifier.6.bias"] = torch.full((1000,), torch.nan)
    spec = {"name": "vgg", "variant": "vgg16", "hidden_channels": 8}
    source = published_by_torchvision(monkeypatch, state, spec, "IMAGENET1K_FEATURES")
    assert (source.class_names, dict(source.metrics)) == (None, {})
    assert source.description == "VGG16_Weights.IMAGENET1K_FEATURES of torchvision, without scores"
    match = load_into(build_fresh("classification", spec, 3, 1), source, NAMES)
    assert match.backbone_fraction == 1.0
    assert all(name.startswith("head.") for name in match.reinitialised)


@pytest.mark.parametrize(
    ("spec", "weights", "licence"),
    [
        ({"name": "resnet"}, "IMAGENET1K_V1", "unknown (torchvision does not say"),
        ({"name": "vit"}, "IMAGENET1K_V1", "unknown (torchvision does not say"),
        ({"name": "vit"}, "IMAGENET1K_SWAG_E2E_V1", "https://github.com/facebookresearch/SWAG/blob/main/LICENSE"),
    ],
)
def test_the_licence_is_what_torchvision_says_or_unknown(monkeypatch, spec, weights: str, licence: str) -> None:
    source = published_by_torchvision(monkeypatch, {}, spec, weights)
    assert source.licence.startswith(licence)
    assert source.metrics


# Registry


@pytest.mark.parametrize(
    ("uri", "message"),
    [("models:/streets@champion", "an alias moves: run graft pin"), ("streets", "models:/NAME/VERSION")],
)
def test_a_registered_model_is_named_by_its_version(uri: str, message: str) -> None:
    with pytest.raises(GraftError, match=message):
        resolve(WEIGHTS, {"name": "registry", "model_uri": uri}, where="pretrain_load.source")


def exported(folder: Path, bundle: Path) -> Path:
    """The files of a registered model that a weights source reads."""
    folder.mkdir()
    for name in ("weights.safetensors", "spec.json", "metrics.json"):
        (folder / name).write_bytes((bundle / name).read_bytes())
    colors = ((0, 0, 0),) * 3
    ClassMap("segmentation", NAMES, colors, NAMES, False, True, "scenes", "CC0-1.0").write(folder / "class_map.json")
    return folder


def test_a_registered_model_brings_classes_scores_and_licence(bundle: Path, tmp_path: Path) -> None:
    asked = []

    def download(uri: str) -> Path:
        asked.append(uri)
        return exported(tmp_path / "downloaded", bundle)

    options = {"model_uri": "models:/streets/3", "sha256": sha256_of(bundle / "weights.safetensors")}
    source = WEIGHTS["registry"]("segmentation", LRASPP, download, **options)
    assert asked == ["models:/streets/3"]
    assert (source.class_names, source.metrics, source.mean) == (NAMES, {"mean_iou": 0.5}, (0.5,) * 3)
    assert "CC0-1.0" in source.licence
    assert load_into(build_fresh("segmentation", LRASPP, 3, 2), source, NAMES).backbone_fraction == 1.0


@pytest.mark.parametrize(
    ("sha256", "message"), [(None, r"not pinned.*graft pin"), ("0" * 64, r"sha256 is [0-9a-f]{64}, not 0")]
)
def test_a_registered_model_of_another_digest_is_refused(bundle: Path, tmp_path: Path, sha256, message: str) -> None:
    with pytest.raises(GraftError, match=message):
        WEIGHTS["registry"](
            "segmentation",
            LRASPP,
            lambda uri: exported(tmp_path / "downloaded", bundle),
            model_uri="models:/streets/3",
            sha256=sha256,
        )


def test_a_registered_model_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"models:/streets/3 holds no weights.safetensors"):
        WEIGHTS["registry"](
            "segmentation", LRASPP, lambda uri: tmp_path, model_uri="models:/streets/3", sha256="0" * 64
        )


def test_the_stage_alone_fetches_nothing_from_a_registry() -> None:
    with pytest.raises(GraftError, match=r"models:/streets/3.*fetched by the command.*dvc repro"):
        WEIGHTS["registry"]("segmentation", LRASPP, no_download, model_uri="models:/streets/3", sha256="0" * 64)


# A part, and other channels


def test_the_backbone_alone_leaves_the_head_fresh(bundle: Path) -> None:
    model = build_fresh("segmentation", LRASPP, 3, 2)
    initial = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    match = load_into(model, read_bundle(bundle), NAMES, "backbone")
    assert match.backbone_fraction == 1.0
    assert all(name.startswith("head.") for name in match.reinitialised + match.left_out)
    assert all(torch.equal(tensor, initial[name]) for name, tensor in model.head.state_dict().items())


@pytest.mark.parametrize("num_channels", [1, 2, 4, 5, 7])
def test_a_stem_is_spread_as_segmentation_models_pytorch_does(num_channels: int) -> None:
    from segmentation_models_pytorch.encoders._utils import patch_first_conv

    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, bias=False))
    weight = theirs[0].weight.detach().clone()
    patch_first_conv(theirs, num_channels, pretrained=True)
    torch.testing.assert_close(spread(weight, num_channels), theirs[0].weight.detach())


def test_of_more_channels_than_rgb_wants_the_first_ones_stay() -> None:
    weight = torch.randn(5, 4, 3, 3)
    assert torch.equal(spread(weight, 3), weight[:, :3])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine, and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", folder
        running.shutdown()
        thread.join()


def test_a_download_is_verified_and_kept(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    content = b"weights" * 300_000
    digest = hashlib.sha256(content).hexdigest()
    name = f"model-{digest[:8]}.pth"
    (folder / name).write_bytes(content)
    path = tmp_path / "cache" / name
    assert fetch(f"{address}/{name}", path, None) == digest
    assert path.read_bytes() == content
    (folder / name).unlink()
    assert fetch(f"{address}/{name}", path, digest) == digest


def test_a_download_of_another_digest_leaves_nothing(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    (folder / "model-00000000.pth").write_bytes(b"tampered")
    path = tmp_path / "cache" / "model-00000000.pth"
    with pytest.raises(GraftError, match=r"sha256 is .* not 00000000"):
        fetch(f"{address}/model-00000000.pth", path, None)
    assert list(path.parent.iterdir()) == []


class CutOff(http.server.BaseHTTPRequestHandler):
    """Promises a chunk of 255 bytes and sends three."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"ff\r\nabc")
        self.close_connection = True


def test_a_download_that_breaks_off_leaves_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cache/model.pth"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), CutOff) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            with pytest.raises(GraftError, match=r"cannot download http.*download it elsewhere and put it at"):
                fetch(f"http://127.0.0.1:{running.server_address[1]}/model.pth", path, None)
        finally:
            running.shutdown()
            thread.join()
    assert list(path.parent.iterdir()) == []


def test_a_backbone_without_convolutions_takes_what_fits() -> None:
    head, class_layer = dense_layers("linear", 4, 2, dropout=0.0)
    backbone = torch.nn.Sequential(Layers(wide=torch.nn.Linear(8, 4), last=torch.nn.Linear(4, 1)))
    model = Model(backbone, torch.nn.Sequential(head), class_layers=(f"head.{class_layer}",))
    state = {"backbone.wide.weight": torch.ones(4, 8), "backbone.last.weight": torch.ones(3, 4)}
    match = load_into(model, source_of(state), ("a", "b"))
    assert match.matched == ["backbone.wide.weight"]
    assert match.left_out == ["backbone.last.weight"]


def test_a_file_that_is_not_pinned_is_answered_with_its_digest(tmp_path):
    path = tmp_path / "ours.safetensors"
    path.write_bytes(b"whatever it is")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    unpinned = {"name": "file", "path": str(path)}
    places = {"source": unpinned, "source.start": {"name": "self_supervised", "start": unpinned}}
    for place, spec in places.items():
        choice = resolve(WEIGHTS, spec, where="pretrain_load.source")
        with pytest.raises(GraftError, match=f"not pinned.*add to pretrain_load.{place}: sha256: {digest}"):
            choice("segmentation", None, no_download)


def test_the_digest_in_the_record_beside_the_bundled_weights_is_the_files():
    record = read_json(FOLDER / "record.json")
    for name in ("weights.safetensors", "spec.json", "metrics.json", "model_card.md"):
        assert record["files"][f"models/exported/{name}"] == sha256_of(FOLDER / name)
    assert record["params"]["export"]["weights_dtype"] == "float16"
    assert (FOLDER / "weights.safetensors").stat().st_size <= 8_000_000
