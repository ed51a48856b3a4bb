"""The gate: what is measured, what each rule says of it, and whether code and params are in a commit."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graft.data.images.codec import encode_png
from graft.data.shards import ShardWriter, read_columns
from graft.foundation.class_map import ClassMap
from graft.foundation.content import digest_of, read_json, write_json
from graft.foundation.errors import GraftError
from graft.metrics.confusion import Marginals
from graft.params.recipes import ROOT, complete_text, compose, list_recipes
from graft.params.registries import expand_sections
from graft.params.sections import Params
from graft.params.yaml_tree import plain
from graft.provenance.dvc_cache import md5_in_workspace
from graft.provenance.promotion.commit_check import compare_params, find_commits, refuse_uncommitted
from graft.provenance.promotion.comparison_page import Regressions, write_page
from graft.provenance.promotion.evidence import GateEvidence
from graft.provenance.promotion.frozen_images import FrozenImages, find_images
from graft.provenance.promotion.frozen_test_set import FrozenImage, FrozenTestSet, freeze_images
from graft.provenance.promotion.gate import GateRule, holds, judge
from graft.provenance.promotion.leakage import Leakage
from graft.provenance.promotion.measurement import (
    CANDIDATE,
    CHAMPION,
    Comparison,
    Measured,
    compare,
    lower_bound,
    score_classes,
)
from graft.provenance.promotion.record_chain import RecordChain
from graft.provenance.records import Record
from graft.provenance.stages import STAGES
from tests.graft.small_export import bands, flag, small_export

PARITY = {"equal_fraction": 1.0, "max_logit_difference": 1e-6, "score_difference": 0.0, "score": "mean_iou"}
SECTIONS = ("task", "seed", "model", "preprocess", "runtime", "ingest", "validate", "augment", "pretrain_load")
SECTIONS += ("fine_tune", "predict", "evaluate", "export")


def params_with(**changes):
    params = Params.model_validate(plain(compose(ROOT)))
    floors = {"min_score": 0.5, "max_latency_ratio": 1.5, "max_latency_ms": None, "bootstrap_samples": 200}
    return params.model_copy(update={"promotion": params.promotion.model_copy(update=floors | changes)})


def exported(folder: Path, planes: tuple[int, int, int] = (0, 1, 2)) -> Path:
    """The small export, complete; other planes make it a model that takes classes for each other."""
    path = small_export(folder) / "model.onnx"
    model = onnx.load(path)
    graph = model.graph
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(planes, np.int64), "order"))
    del graph.node[-1]
    graph.node.extend(
        [
            helper.make_node("Gather", ["planes", "order"], ["logits"], axis=1),
            helper.make_node("ArgMax", ["logits"], ["class_ids"], axis=1, keepdims=0),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("class_ids", TensorProto.INT64, ["batch", "height", "width"]))
    onnx.save(model, str(path))
    write_json(folder / "parity.json", PARITY | {"relative_difference_at_odd_sizes": 0.0})
    return folder


NAMES = ("red", "green", "blue")


def write_split(interim: Path, indices: Sequence[int], split: str = "test", names: tuple[str, ...] = NAMES) -> None:
    """Shards and the class map of `data/interim`, as ingest writes them."""
    writer = ShardWriter(interim, "first")
    for index in indices:
        image, mask = cv2.imencode(".png", flag(48, 60 + index)[..., ::-1])[1].tobytes(), bands(48, 60 + index)
        row = {"id": f"{index}.png", "split": split, "batch": "first", "domain": "night" if index % 2 else "day"}
        row |= {"group": str(index), "image": image, "image_sha256": hashlib.sha256(image).hexdigest(), "label": None}
        mask = encode_png(mask)
        writer.add(row | {"mask": mask, "mask_sha256": hashlib.sha256(mask).hexdigest()})
    writer.close()
    colors = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9))[: len(names)]
    values = tuple(range(len(names)))
    ClassMap("segmentation", names, colors, values, False, True, "mask_folder").write(interim / "class_map.json")


def frozen_split(interim: Path, num_images: int = 6) -> FrozenImages:
    write_split(interim, range(num_images))
    return FrozenImages(((interim / "test", frozenset(range(num_images))),), NAMES)


def keys_of(interim: Path, split: str = "test") -> list[FrozenImage]:
    columns = read_columns(interim / split, ("image_sha256", "mask_sha256"))
    return sorted(FrozenImage(image, mask, "") for image, mask in columns)


def stated_for(images: Sequence[FrozenImage], interim_md5: str = "", names: tuple[str, ...] = NAMES) -> FrozenTestSet:
    return freeze_images(images, None, name=None, split_seed=7, interim_md5=interim_md5, class_names=names)


def measured(score: float = 0.8, **changes) -> Measured:
    found = Measured(score, {"road": score, "sky": None}, {"day": score}, 1000, 10.0)
    return replace(found, **changes)


def evidence(folder: Path, comparison: Comparison | None, **changes) -> GateEvidence:
    if not (folder / "parity.json").exists():
        write_json(folder / "parity.json", PARITY | {"relative_difference_at_odd_sizes": 0.0})
    chain = RecordChain({stage: {} for stage in STAGES}, validation="passed")
    commits = {stage: ("c" * 40, []) for stage in STAGES}
    found = GateEvidence(chain, commits, "", stated_for([]), {CANDIDATE: Leakage()}, comparison, {}, folder, False)
    return replace(found, **changes)


def compared(candidate: Measured, champion: Measured | None = None, lower: float | None = None) -> Comparison:
    models = {CANDIDATE: candidate} | ({CHAMPION: champion} if champion else {})
    return Comparison("mean_iou", "IoU", 6, ("road", "sky"), models, lower, None, "")


def failing(rules: list[GateRule]) -> list[str]:
    return [rule.rule for rule in rules if rule.verdict == "FAILS"]


def test_a_champion_and_a_candidate_are_scored_and_timed_on_the_same_images(tmp_path):
    images, params = frozen_split(tmp_path / "interim"), params_with()
    good, bad = exported(tmp_path / "good"), exported(tmp_path / "bad", (1, 0, 2))
    found = compare(good, bad, images, params)
    ours, champion = found.models[CANDIDATE], found.models[CHAMPION]
    assert (ours.score, found.num_images) == (1.0, 6)
    assert ours.by_class == {"red": 1.0, "green": 1.0, "blue": 1.0}
    assert ours.by_domain == {"day": 1.0, "night": 1.0}
    assert champion.by_class == {"red": 0.0, "green": 0.0, "blue": 1.0}
    assert found.difference == pytest.approx(2 / 3)
    assert found.lower_bound == pytest.approx(2 / 3)
    assert ours.num_bytes == (tmp_path / "good/model.onnx").stat().st_size
    assert min(ours.latency_ms, champion.latency_ms) > 0
    assert compare(bad, good, images, params).lower_bound == pytest.approx(-2 / 3)


def test_a_champion_of_other_classes_is_not_compared(tmp_path):
    images, good, other = frozen_split(tmp_path / "interim"), exported(tmp_path / "a"), exported(tmp_path / "b")
    classes = ClassMap.read(other / "class_map.json")
    replace(classes, names=("red", "green", "violet")).write(other / "class_map.json")
    found = compare(good, other, images, params_with())
    assert found.not_comparable == "the champion has other classes: violet"
    assert set(found.models) == {CANDIDATE}
    rules = judge(evidence(good, found, has_champion=True), params_with())
    assert failing(rules) == ["mean IoU less the champion's, 95% lower bound over 6 images"]


def test_where_classes_grew_both_are_compared_on_the_champions(tmp_path):
    images, params = frozen_split(tmp_path / "interim"), params_with(class_floors={"blue": 0.5})
    grown, champion = exported(tmp_path / "grown"), exported(tmp_path / "champion", (0, 1))
    classes = ClassMap.read(champion / "class_map.json")
    replace(classes, names=("red", "green"), colors=classes.colors[:2], source_values=(0, 1)).write(
        champion / "class_map.json"
    )
    write_json(champion / "spec.json", read_json(champion / "spec.json") | {"num_classes": 2})
    found = compare(grown, champion, images, params)
    assert found.class_names == ("red", "green")
    assert found.models[CANDIDATE].by_class == {"red": 1.0, "green": 1.0}  # blue is neither asked for nor counted
    assert (found.difference, found.not_comparable) == (0.0, "")
    own = score_classes(grown, tmp_path / "interim/test", params, {"blue"})
    assert own == {"blue": 1.0}
    judged = evidence(grown, found, has_champion=True, own_by_class=own)
    assert "holds" in {rule.verdict for rule in judge(judged, params) if rule.rule == "IoU of blue"}
    assert failing(judge(replace(judged, own_by_class={"blue": 0.4}), params)) == ["IoU of blue"]


def test_a_candidate_is_scored_on_exactly_the_frozen_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    interim = Path("data/interim")
    write_split(interim, range(4))
    frozen = keys_of(interim)
    write_split(interim, range(9))  # its own test split holds more
    found = find_images(stated_for(frozen), frozen, tmp_path / "cached")
    assert sorted(row.id for row in found.rows()) == ["0.png", "1.png", "2.png", "3.png"]
    data = bytearray((interim / "test/first-00000.parquet").read_bytes())
    place = data.index(b"IDAT")
    data[place + 8] ^= 1
    (interim / "test/first-00000.parquet").write_bytes(data)
    with pytest.raises(GraftError, match=r"damaged|was changed"):
        list(found.rows())


def test_frozen_images_that_left_the_workspace_are_found_in_the_cache_of_dvc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    interim = Path("data/interim")
    write_split(interim, range(4))
    frozen, md5 = keys_of(interim), md5_in_workspace(interim)
    stated = stated_for(frozen, interim_md5=md5)
    for command in (["init", "--quiet", "--no-scm"], ["add", "--quiet", "data/interim"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True)
    shutil.rmtree(interim)
    write_split(interim, [7, 8])
    (tmp_path / "cached").mkdir()
    assert len(find_images(stated, frozen, tmp_path / "cached")) == 4
    shutil.rmtree(".dvc/cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GraftError, match=r"(?s)neither in data/interim nor in DVC's cache.*dvc fetch --all-commits"):
        find_images(stated, frozen, tmp_path / "empty")


def test_the_page_shows_what_changed_and_the_images_that_lost_most(tmp_path):
    images, params = frozen_split(tmp_path / "interim"), params_with()
    good, bad, regressions = exported(tmp_path / "good"), exported(tmp_path / "bad", (1, 0, 2)), Regressions()
    found = compare(bad, good, images, params, regressions.offer)
    assert [(change.kind, change.name, change.difference) for change in found.changes] == [
        ("all", "all images", pytest.approx(-2 / 3)),
        ("class", "red", -1.0),
        ("class", "green", -1.0),
        ("class", "blue", 0.0),
        ("domain", "day", pytest.approx(-2 / 3)),
        ("domain", "night", pytest.approx(-2 / 3)),
    ]
    assert found.changes[1].is_certain
    assert not found.changes[3].is_certain
    assert len(regressions.kept) == 6
    judged = evidence(bad, found, has_champion=True)
    page = write_page(judged, regressions, "version 2 against version 1", tmp_path / "reports/comparison.html")
    text = page.read_text("utf-8")
    assert "100.0% → 33.3%" in text
    assert "right before, wrong now" in text
    assert "−66.7" in text
    assert write_page(replace(judged, comparison=compared(measured())), regressions, "", tmp_path / "none.html") is None


def test_the_lower_bound_is_that_of_paired_draws():
    """Against a loop over the same draws; where every image gains as much, there is no doubt at all."""
    generator = np.random.default_rng(1)
    truth = np.full((40, 1), 100)
    hits = generator.integers(20, 80, (40, 1))
    champion, candidate = Marginals(hits, truth, truth), Marginals(hits + 10, truth, truth)
    assert lower_bound(candidate, champion, "accuracy", params_with()) == pytest.approx(0.1)
    noisy = Marginals(generator.integers(20, 80, (40, 1)), truth, truth)
    params = params_with(bootstrap_samples=4000)
    draws = np.random.default_rng(5).integers(0, 40, (4000, 40))
    by_hand = np.quantile(((noisy.hits - hits)[draws, 0].sum(axis=1)) / 4000, 0.05)
    assert lower_bound(noisy, champion, "accuracy", params) == pytest.approx(by_hand, abs=0.01)
    surer = params_with(bootstrap_samples=4000, confidence=0.99)
    assert lower_bound(noisy, champion, "accuracy", surer) < lower_bound(noisy, champion, "accuracy", params)


def test_what_is_in_order_holds(tmp_path):
    rules = judge(evidence(tmp_path, compared(measured(0.8), measured(0.8), -0.005), has_champion=True), params_with())
    assert holds(rules)
    assert {rule.verdict for rule in rules} == {"holds"}
    first = judge(evidence(tmp_path, compared(measured(0.8))), params_with())
    assert holds(first)
    assert [rule.rule.split()[0] for rule in first if rule.verdict == "not asked"] == ["mean", "latency"]


@pytest.mark.parametrize(
    ("candidate", "lower", "asked", "rule"),
    [
        (measured(0.4), 0.0, {}, "mean IoU"),
        (measured(None), 0.0, {}, "mean IoU"),
        (measured(), -0.02, {}, "mean IoU less the champion's, 95% lower bound over 6 images"),
        (measured(), -0.01, {"margin": 0.01}, "mean IoU less the champion's, 95% lower bound over 6 images"),
        (measured(), None, {}, "mean IoU less the champion's, 95% lower bound over 6 images"),
        (measured(), 0.0, {"class_floors": {"road": 0.9}}, "IoU of road"),
        (measured(), 0.0, {"class_floors": {"sky": 0.1}}, "IoU of sky"),  # named, and absent from the split
        (measured(), 0.0, {"class_floors": {"*": 0.9}}, "IoU of road"),
        (measured(), 0.0, {"class_floors": {"ghost": 0.1}}, "IoU of ghost"),
        (measured(), 0.0, {"domain_floors": {"day": 0.9}}, "mean IoU on day"),
        (measured(by_delivery={"fog": 0.5}), 0.0, {"delivery_floors": {"fog": 0.6}}, "mean IoU on delivery fog"),
        (measured(), 0.0, {"max_bytes": 999}, "size"),
        (measured(), 0.0, {"max_latency_ms": 9.0}, "latency"),
        (measured(latency_ms=15.1), 0.0, {}, "latency to the champion's"),
    ],
)
def test_each_measured_rule_fails_alone(tmp_path, candidate, lower, asked, rule):
    found = compared(candidate, measured(), lower)
    assert failing(judge(evidence(tmp_path, found, has_champion=True), params_with(**asked))) == [rule]


def test_forgetting_is_judged_delivery_by_delivery(tmp_path):
    before = measured(by_delivery={"fog": 0.5, "rain": 0.6, "empty": None})
    after = measured(by_delivery={"fog": 0.44, "rain": 0.9, "empty": None})
    found = compared(after, before, 0.0)
    rules = judge(evidence(tmp_path, found, has_champion=True), params_with(max_forgetting=0.05))
    assert failing(rules) == ["mean IoU forgotten on delivery fog"]
    values = {rule.rule.split()[-1]: rule.value for rule in rules if "forgotten" in rule.rule}
    assert values["fog"] == "0.0600 (0.5000 → 0.4400)"
    assert values["rain"] == "0.0000 (0.6000 → 0.9000)"
    assert failing(judge(evidence(tmp_path, found, has_champion=True), params_with(max_forgetting=0.07))) == []
    assert failing(judge(evidence(tmp_path, found, has_champion=True), params_with())) == []
    assert failing(judge(evidence(tmp_path, compared(after)), params_with(max_forgetting=0.0))) == []


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"chain": RecordChain({stage: {} for stage in STAGES}, validation="failed")}, "validation"),
        ({"chain": RecordChain({}, problems=["no record of augment"], validation="passed")}, "lineage"),
        ({"leakage": {CANDIDATE: Leakage(seen="1 of 6 images")}}, "test images that the candidate has seen"),
        ({"leakage": {CHAMPION: Leakage(seen="1 of 6 images")}}, "test images that the champion has seen"),
        ({"commits": {"ingest": (None, ["pipeline/ingest.py"])}}, "code and params of every stage"),
        ({"commits": {}}, "code and params of every stage"),
    ],
)
def test_each_rule_of_evidence_fails_alone(tmp_path, changes, rule):
    assert failing(judge(evidence(tmp_path, compared(measured()), **changes), params_with())) == [rule]


def test_parity_and_the_frozen_split_are_asked_for(tmp_path):
    write_json(tmp_path / "parity.json", PARITY | {"equal_fraction": 0.9, "relative_difference_at_odd_sizes": 0.0})
    rules = judge(evidence(tmp_path, None, problem="scored on val"), params_with())
    asked = ["scored on the frozen test set", "scores, size and latency", "export equals the original"]
    assert failing(rules) == asked


def test_a_target_is_judged_by_its_own_limits_in_a_row_that_says_them(tmp_path):
    report = {"score": "mean_iou", "original_score": 0.6, "exported_score": 0.59, "equal_fraction": 0.99}
    report |= {"max_logit_difference": 0.1}
    parity = PARITY | {"relative_difference_at_odd_sizes": 0.0, "targets": {"onnx_int8": report}}
    write_json(tmp_path / "parity.json", parity)
    params = params_with()
    for loss, failed in ((0.003, True), (0.02, False)):
        targets = ["onnx", {"name": "onnx_int8", "max_score_difference": loss}]
        changed = params.model_copy(update={"export": params.export.model_copy(update={"targets": targets})})
        rules = judge(evidence(tmp_path, None), changed)
        (row,) = [rule for rule in rules if rule.rule == "onnx_int8 equals the original"]
        assert (row.value, row.bound) == ("-0.0100 mean IoU, 99.0000% equal", f"≥ -{loss:g}, ≥ 95.0000%")
        assert (row.rule in failing(rules)) is failed
        assert "export equals the original" not in failing(rules)


def test_the_digest_of_what_lies_in_an_output_follows_from_the_listing(tmp_path):
    for name in ("test/a", "test/b", "class_map.json"):
        (tmp_path / "data/interim" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/interim" / name).write_text(name)
    files = {f"data/interim/{name}": digest_of(tmp_path / "data/interim" / name) for name in ("test/a", "test/b")}
    record = Record.from_content({"stage": "ingest", "outputs": {"data/interim": "0"}, "files": files})
    assert record.digest_of("data/interim/test") == digest_of(tmp_path / "data/interim/test")
    assert record.digest_of("data/interim/test/a") == files["data/interim/test/a"]
    assert record.digest_of("data/interim") == "0"
    assert record.digest_of("data/other") is None


@pytest.mark.parametrize("name", list_recipes())
def test_the_params_of_a_record_are_found_in_the_file_they_came_from(name):
    text = complete_text(name).encode()
    params = Params.model_validate(plain(compose(name)))
    recorded = json.loads(json.dumps(expand_sections(params, SECTIONS)))
    assert compare_params(text, recorded) == []
    recorded["fine_tune"]["learning_rate"] *= 2
    recorded["augment"]["policy"]["name"] += "x"
    assert compare_params(text, recorded) == ["augment.policy", "fine_tune.learning_rate"]
    assert compare_params(b"- not a mapping: [", {"seed": 7}) == ["seed"]


def git(*arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def commit_code() -> None:
    """Makes the folder a repository with some code and params, committed."""
    for name in ("pipeline/ingest.py", "src/losses/dice.py", "src/losses/größe.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"# {name}\n")
    Path("params.yaml").write_text("seed: 7\n")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "first")


def test_code_and_params_are_looked_for_by_content_in_every_reachable_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_commits({"ingest": record_of()})["ingest"] == (None, ["there is none"])
    commit_code()
    trained = record_of()
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    Path("src/losses/dice.py").write_text("# changed, trained with, not committed yet\n")
    later = record_of()
    assert find_commits({"ingest": trained, "augment": later}) == {
        "ingest": (head, []),
        "augment": (None, ["src/losses"]),
    }
    git("checkout", "-qb", "side")
    git("commit", "-qam", "after the training")
    assert find_commits({"augment": later})["augment"][0] not in (None, head)
    git("checkout", "-q", "main")
    assert find_commits({"augment": later})["augment"][0] is None  # not reachable from this branch
    git("merge", "-q", "--no-ff", "side", "-m", "merged")
    shutil.rmtree("src")
    git("commit", "-qam", "gone, yet in the history")
    assert all(commit for commit, _ in find_commits({"ingest": trained, "augment": later}).values())
    assert find_commits({"ingest": record_of(trained.code, seed=8)})["ingest"] == (None, ["params.yaml: seed"])


def test_what_is_not_committed_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commit_code()
    refuse_uncommitted({"ingest": record_of()})
    Path("src/losses/dice.py").write_text("# trained with, not committed yet\n")
    Path("params.yaml").write_text("seed: 8\n")
    trained = {"ingest": record_of(seed=8)}
    with pytest.raises(GraftError, match=r"(?s)not committed: params.yaml: seed, src/losses.*git add params.yaml src"):
        refuse_uncommitted(trained)
    Path("src/losses/dice.py").write_text("# and changed again: only the search of history can tell\n")
    Path("params.yaml").write_text("seed: 9\n")
    refuse_uncommitted(trained)
    git("commit", "-qam", "later")
    refuse_uncommitted({"ingest": record_of(seed=9)})


def record_of(code: Mapping[str, str] | None = None, seed: int = 7) -> Record:
    paths = ("pipeline/ingest.py", "src/losses")
    code = code or {path: digest_of(Path(path)) if Path(path).exists() else "absent" for path in paths}
    return Record.from_content({"stage": "ingest", "code": code, "params": {"seed": seed}})


def test_a_rule_is_plain_data():
    assert asdict(GateRule("size", "1", "2", "holds")) == GateRule("size", "1", "2", "holds").as_dict()
