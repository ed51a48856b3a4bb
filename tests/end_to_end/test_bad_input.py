"""Bad input through the real command line: exit status 2, one message, no traceback, nothing half-written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from graft.data.formats.listing import distinct_colours
from graft.foundation.class_map import ClassMap
from graft.foundation.content import digest_of, read_json
from tests.end_to_end.project import Project

PAIRS = {
    "name": "mask_folder",
    "images": "images/**/*.png",
    "masks": "masks/{subdir}/{stem}.png",
    "classes": {"background": [0], "defect": [255]},
}
INGEST = ("ingest", "--root", "photographs", "--out", "data/deliveries/first")
VALIDATE = ("validate", "--ingested", "data/deliveries", "--interim", "data/interim", "--out", "reports/validation")
AUGMENT = ("augment", "--train", "data/interim/train", "--class-map", "data/interim/class_map.json")
AUGMENT += (
    "--unlabelled",
    "data/interim/none",
    "--parent",
    "models/none",
    "--validation",
    "reports/validation/validation.json",
    "--out",
    "data/augmented",
)
LOAD = (
    "pretrain-load",
    "--images",
    "data/interim/none",
    "--class-map",
    "data/interim/class_map.json",
    "--out",
    "models/pretrained",
)
WRITTEN = ("data", "models", "reports")
LONG = "a very long name " * 14  # 238 bytes of the 255 a name may have


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Project:
    """A project of its own, with photographs instead of scenes."""
    project = Project.create(tmp_path_factory.mktemp("bad input") / "graft project", GRAFT_TRACKING="off")
    project.set({"ingest.root": "photographs", "ingest.source": PAIRS, "ingest.max_pixels": 10**6})
    return project


@pytest.fixture
def project(clone) -> Iterator[Project]:
    """The project without outputs, and without what the test before changed."""
    params = (clone.root / "params.yaml").read_bytes()
    yield clone
    (clone.root / "params.yaml").write_bytes(params)
    subprocess.run(["rm", "-rf", *WRITTEN, "photographs"], cwd=clone.root, check=True)
    clone.run("graft", "fix")  # brings models/none back


def refused(project: Project, *command: str) -> str:
    """The one message of a command that must fail and must leave what stands in the project as it was."""
    before = standing(project)
    done = project.run("graft", *command, check=False)
    assert done.returncode == 2, done.stderr
    check_output(done)
    assert standing(project) == before
    return done.stderr


def check_output(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    assert done.stderr.count("graft: ") == 1, done.stderr


def standing(project: Project) -> dict[Path, str]:
    files = (file for place in WRITTEN for file in (project.root / place).rglob("*") if file.is_file())
    return {file.relative_to(project.root): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def add_pair(
    project: Project, name: str, shape: tuple[int, int] = (40, 48), values: tuple[int, ...] = (0, 255)
) -> Path:
    """An image of 40 x 48 and its mask; returns the path of the image."""
    generator = np.random.default_rng(len(name))
    image, mask = (project.root / "photographs" / kind / f"{name}.png" for kind in ("images", "masks"))
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    picture = cv2.resize(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8), (48, 40))
    image.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    mask.write_bytes(cv2.imencode(".png", generator.choice(values, shape).astype(np.uint8))[1].tobytes())
    return image


def add_pairs(project: Project, number: int) -> None:
    for n in range(number):
        add_pair(project, "p" * (n + 1))


def write_class_map(project: Project) -> None:
    (project.root / "data/interim/none").mkdir(parents=True, exist_ok=True)
    names = ("background", "defect")
    about: dict[str, Any] = {"official_splits": False, "synthetic": False, "source": "mask_folder"}
    class_map = ClassMap("segmentation", names, distinct_colours(2), source_values=(0, 255), **about)
    class_map.write(project.root / "data/interim/class_map.json")


def test_everything_wrong_in_params_is_listed_with_its_line(project):
    project.set(
        {
            "fine_tune.epoch": 3,
            "fine_tune.learning_rate": "fast",
            "augment.policy": "stret",
            "ingest.source": {**PAIRS, "val_fractoin": 0.2},
        }
    )
    message = refused(project, "check")
    lines = (project.root / "params.yaml").read_text("utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "policy:" in text)
    assert "fine_tune.epoch is not a known key. Remedy: did you mean 'epochs'?" in message
    assert "fine_tune.learning_rate is 'fast'. Rule: Input should be a valid number" in message
    assert f"params.yaml:{line}: augment.policy has no choice named 'stret'" in message
    assert "did you mean 'street'?" in message
    assert "mask_folder has no such option; did you mean 'val_fraction'?" in message


def test_a_stage_refuses_the_same_and_names_it(project):
    add_pairs(project, 2)
    project.set({"ingest.source": {**PAIRS, "val_fraction": "some"}})
    assert "ingest.source.val_fraction: 'some': Input should be a valid number" in refused(project, *INGEST)
    (project.root / "params.yaml").write_bytes(b"task: caf\xe9\n")
    assert "params.yaml: not UTF-8 text" in refused(project, *INGEST)


def test_an_unknown_option_of_a_command_is_a_usage_error(project):
    done = project.run("graft", "ingest", "--roots", "photographs", check=False)
    assert done.returncode == 2
    assert "No such option: --roots" in done.stderr


@pytest.mark.parametrize("command", [("check",), ("publish",), ("summary",), INGEST])
def test_outside_a_project_the_answer_says_where_to_go(project, tmp_path, command):
    elsewhere = Project(tmp_path, GRAFT_TRACKING="off" if command == INGEST else "on")
    assert "this is not the root of a Graft project: there is no dvc.yaml" in refused(elsewhere, *command)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_or_not_declared_is_named(project):
    message = refused(project, *INGEST)
    assert "not found: photographs" in message
    assert "ingest.root in params.yaml" in message
    add_pairs(project, 2)
    message = refused(project, "ingest", "--root", "photographs/images", "--out", "data/deliveries/first")
    assert "photographs/images: not declared for ingest" in message


def test_params_edited_while_a_stage_works_are_refused(project):
    """DVC reads params.yaml when the stage has ended and would take the new values for those that were used."""
    (project.root / "photographs").mkdir()
    scenes = {"name": "scenes", "domain": "day", "num_train": 30, "num_val": 1, "num_test": 1}
    project.set({"ingest.source": {**scenes, "width_px": 256, "height_px": 192}})
    stage = project.start("graft", *INGEST)
    while stage.poll() is None and not (project.root / "data/deliveries/.tmp-ingest-first").exists():
        time.sleep(0.02)
    project.set({"ingest.split_seed": 8})
    output, _ = stage.communicate(timeout=120)
    assert stage.returncode == 2, output
    assert "params.yaml changed while ingest was running" in output
    assert not [*(project.root / "data/deliveries").iterdir()]


def test_two_repros_at_once_harm_nothing(project):
    add_pairs(project, 24)
    both = [project.start("dvc", "repro", "ingest") for _ in range(2)]
    outputs = [dvc.communicate(timeout=300)[0] for dvc in both]
    assert 0 in [dvc.returncode for dvc in both], outputs
    assert not any("Traceback" in output for output in outputs)
    project.run("dvc", "repro", "ingest")
    ingested = project.root / "data/deliveries/first"
    assert project.record("ingest")["outputs"] == {"data/deliveries/first": digest_of(ingested)}
    assert not list(ingested.parent.glob(".tmp-*"))


def test_every_file_that_cannot_become_a_row_is_listed_at_once(project):
    whole = add_pair(project, "whole").read_bytes()
    add_pair(project, "cut").write_bytes(whole[: len(whole) // 2])
    add_pair(project, "empty").write_bytes(b"")
    add_pair(project, "page").write_bytes(b"<html>404</html>")
    add_pair(project, "bomb").write_bytes(cv2.imencode(".png", np.zeros((1100, 1100), np.uint8))[1].tobytes())
    add_pair(project, "mask of none").unlink()
    linked = add_pair(project, "linked")
    linked.unlink()
    (project.root / "outside.png").write_bytes(whole)
    linked.symlink_to(project.root / "outside.png")
    (project.root / "photographs/masks/whole.png").unlink()
    message = refused(project, *INGEST)
    for words in (
        "images/cut.png: the image is damaged or cut off",
        "images/empty.png: the file is empty (zero bytes)",
        "images/page.png: not an image of a known kind",
        "images/bomb.png: 1100 x 1100 pixels are more than the 1,000,000 allowed: a decompression bomb?",
        "images/linked.png: a link that leads out of the root",
        "images/whole.png: image without mask",
        "masks/mask of none.png: mask without image",
    ):
        assert words in message
    assert "files that cannot be used (7)" in message


def test_labels_without_images_and_images_without_labels(project):
    for name in ("cats/1", "dogs/1", "loose"):
        add_pair(project, name).rename(project.root / "photographs" / f"{Path(name).name}.png")
    root = project.root / "photographs"
    for folder in ("cats", "dogs", "unicorns"):
        (root / folder).mkdir()
    subprocess.run(["rm", "-rf", "images", "masks"], cwd=root, check=True)
    (root / "1.png").rename(root / "cats/1.png")
    (root / "dogs/1.png").write_bytes((root / "cats/1.png").read_bytes())
    project.set({"task": "classification", "ingest.source": "image_folder"})
    message = refused(project, *INGEST)
    assert "loose.png: image without label" in message
    assert "unicorns: label without image" in message


def test_odd_names_work_and_wrong_masks_close_the_gate_that_reports_them(project):
    add_pairs(project, 24)
    for name in ("Straße 7/ünïcode – 日本語 'quoted' [1]", f"{LONG}/{LONG}"):
        add_pair(project, name)
    add_pair(project, "größer", shape=(20, 24))
    add_pair(project, "fremd", values=(0, 7, 255))
    project.run("graft", *INGEST)
    done = project.run("graft", *VALIDATE, check=False)
    assert done.returncode == 2, done.stderr
    check_output(done)
    assert "sizes_equal: 1 image: images/größer.png (image 48×40, mask 24×20)" in done.stderr
    assert "mask_values_known: 1 image: images/fremd.png" in done.stderr
    report = project.root / "reports/validation"
    assert read_json(report / "validation.json")["passed"] is False
    assert "images/größer.png" in (report / "validation.md").read_text("utf-8")
    assert not list((project.root / "reports").rglob(".tmp-*"))
    assert not (project.root / "reports/records/validate.json").exists()
    message = refused(project, *AUGMENT)
    assert "the data did not pass validation" in message
    check_shards(project)


def check_shards(project: Project) -> None:
    """Damaged and incomplete tables, in the project that has some."""
    (project.root / "reports/validation/validation.json").write_text('{"passed": true, "expectations": []}')
    shard = project.root / "data/interim/train/first-00000.parquet"
    whole = shard.read_bytes()
    pq.write_table(pq.read_table(shard).drop_columns(["mask", "group"]), shard)
    message = refused(project, *AUGMENT)
    assert "first-00000.parquet: columns are missing: group, mask" in message
    shard.write_bytes(whole[: len(whole) // 2])
    assert "first-00000.parquet: the shard is damaged" in refused(project, *AUGMENT)
    manifest = project.root / "data/deliveries/first/manifest.parquet"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    assert "manifest.parquet: not a readable parquet file" in refused(project, *VALIDATE)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def test_weights_that_are_damaged_or_would_run_a_program_are_refused(project):
    write_class_map(project)
    for name, content, words in (
        ("stolen.pt", pickle.dumps(Malicious()), "Rule: Graft never unpickles"),
        ("cut.safetensors", b"\x40\0\0\0\0\0\0\0{", "damaged safetensors file"),
    ):
        (project.root / name).write_bytes(content)
        source = {"name": "file", "path": name, "sha256": hashlib.sha256(content).hexdigest()}
        project.set({"pretrain_load.source": source})
        message = refused(project, *LOAD)
        assert f"{name}: " in message
        assert words in message
    assert not (project.root / "executed").exists()
    (project.root / "data/interim/class_map.json").write_text('{"names": ["a"]}')
    assert "class_map.json: not a class map" in refused(project, *LOAD)


def test_predicting_names_what_is_missing_or_damaged(project):
    add_pair(project, "street")
    out = ("--out", "predictions")
    assert "nowhere/*.jpg: no such image" in refused(project, "predict", "nowhere/*.jpg", *out)
    image = "photographs/images/street.png"
    assert "models/exported: no such folder" in refused(project, "predict", image, *out)
    write_class_map(project)
    model = project.root / "models/exported"
    model.mkdir(parents=True)
    (model / "spec.json").write_text("{}")
    (model / "model.onnx").write_bytes(b"no network")
    assert "model.onnx: not a usable ONNX file" in refused(project, "predict", image, *out)
    assert not (project.root / "predictions").exists()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 64 kB at `folder`, read-only from the moment `mount -o remount,ro` says so."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "graft-test", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_and_a_read_only_disk_are_named(project):
    add_pairs(project, 60)
    with small_disk(project.root / "data"):
        message = refused(project, *INGEST)
        assert "No space left on device" in message
        assert "free some space" in message
        assert list((project.root / "data/deliveries").iterdir()) == []
        subprocess.run(["mount", "-o", "remount,ro", project.root / "data"], check=True)
        message = refused(project, *INGEST)
        assert "Read-only file system" in message
        assert "run graft on a disk that can be written to" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(project):
    add_pairs(project, 2)
    (project.root / "data").mkdir()
    (project.root / "data").chmod(0o555)
    try:
        assert "Permission denied" in refused(project, *INGEST)
    finally:
        (project.root / "data").chmod(0o755)
