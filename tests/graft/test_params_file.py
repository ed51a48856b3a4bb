"""Every error of params.yaml at once, each with its line, its rule and its remedy."""

from __future__ import annotations

import pytest

from graft.foundation.errors import GraftError
from graft.params.examination import check_file
from graft.params.params_file import load_params
from graft.params.recipes import ROOT, complete_text, find_recipe, insert_missing
from graft.params.registries import resolve_choices
from graft.params.yaml_tree import dump_tree, put_value, read_tree

TEXT = complete_text(ROOT)


def written(tmp_path, *changes):
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def line_of(path, words):
    return next(n for n, line in enumerate(path.read_text("utf-8").splitlines(), 1) if words in line)


def test_the_documented_file_is_in_order(tmp_path):
    params = load_params(written(tmp_path))
    assert params.task == "segmentation"
    assert params.section("validate").min_side_px == 32


def test_the_file_at_the_root_is_the_default_recipe(repository):
    assert (repository / "params.yaml").read_text("utf-8") == TEXT


def test_every_problem_is_listed_with_its_line(tmp_path):
    path = written(tmp_path, ("  epochs:", "  epoch:"), ("  views: ", "  views: -"), ("device: cpu", "device: gpu"))
    with pytest.raises(GraftError) as caught:
        load_params(path)
    message = str(caught.value)
    assert f"{path}:{line_of(path, 'epoch:')}: fine_tune.epoch is not a known key" in message
    assert "did you mean 'epochs'?" in message
    assert "fine_tune.epochs is missing" in message
    assert f"{path}:{line_of(path, 'views: -')}: augment.views is -" in message
    assert "Input should be 'cpu', 'cuda' or 'mps'" in message


def test_text_is_not_a_number(tmp_path):
    path = written(tmp_path, ("learning_rate: 1.0e-3", "learning_rate: fast"))
    with pytest.raises(GraftError, match=r"fine_tune\.learning_rate is 'fast'.*valid number"):
        load_params(path)


def test_a_number_in_scientific_notation_is_a_number(tmp_path):
    params = load_params(written(tmp_path, ("learning_rate: 1.0e-3", "learning_rate: 1e-3")))
    assert params.fine_tune.learning_rate == 0.001


def test_warmup_longer_than_training_is_refused(tmp_path):
    path = written(tmp_path, ("warmup_epochs: 1", "warmup_epochs: 99"))
    with pytest.raises(GraftError, match=r"warmup_epochs \(99\) must be smaller than epochs"):
        load_params(path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("[1, 0.5]", r"sizes \(\[1.0, 0.5\]\) must grow and end with 1"),
        ("[0.5, 0.75]", r"must grow and end with 1, the whole crop, as in \[0.5, 0.75, 1\]"),
        (str([0.5] * 12 + [1]), "sizes has 13 values and epochs is 12: each takes an epoch"),
        ("[0, 1]", r"fine_tune\.sizes\.0 is 0.*greater than 0"),
    ],
)
def test_views_that_shrink_or_never_reach_the_crop_are_refused(tmp_path, sizes, message):
    with pytest.raises(GraftError, match=message):
        load_params(written(tmp_path, ("sizes: [1]", f"sizes: {sizes}")))


def test_an_apostrophe_in_the_root_is_refused(tmp_path):
    path = written(tmp_path, ("root: data/raw", 'root: "/home/o\'hara/photos"'))
    with pytest.raises(GraftError, match=r"ingest\.root: .*ends the quotes around it in dvc\.yaml"):
        load_params(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"task: caf\xe9", "not UTF-8 text"), (b"task: a\x01b", "not valid YAML: unacceptable character")],
)
def test_what_is_not_text_is_named(tmp_path, content, message):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(GraftError, match=message):
        load_params(path)


def test_a_name_of_the_wrong_type_and_infinity_are_refused(tmp_path):
    changes = [("policy: {name: street}", "policy: {name: [street]}"), ("clip_norm: 1.0", "clip_norm: .inf")]
    changes.append(("weight_decay: 0.01", "weight_decay: .nan"))
    with pytest.raises(GraftError) as caught:
        check_file(written(tmp_path, *changes))
    assert "augment.policy has no choice named ['street']" in str(caught.value)
    assert "fine_tune.clip_norm is inf. Rule: Input should be a finite number" in str(caught.value)
    assert "fine_tune.optimizer.weight_decay: nan: Input should be a finite number" in str(caught.value)


def test_a_missing_file_says_where_to_start(tmp_path):
    with pytest.raises(GraftError, match=r"file not found.*graft recipe use"):
        load_params(tmp_path / "params.yaml")


def test_a_recipe_that_was_copied_is_no_params_file():
    with pytest.raises(GraftError, match=r"camvid\.yaml: this is a recipe.*graft recipe use NAME"):
        check_file(find_recipe("camvid"))


def test_broken_yaml_names_the_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("task: segmentation\nseed: [1\nmodel: x\n", encoding="utf-8")
    with pytest.raises(GraftError, match=r"params\.yaml:3: not valid YAML"):
        load_params(path)


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("name: scenes", "name: scene", "ingest.source has no choice named 'scene'.*did you mean 'scenes'"),
        ("num_val: 40", "num_vals: 40", "ingest.source.num_vals: scenes has no such option; did you mean 'num_val'"),
        ("num_val: 40", "num_val: many", "ingest.source.num_val: 'many': Input should be a valid integer"),
        (
            "schedule: cosine",
            "schedule: cosin",
            "fine_tune.schedule has no choice named 'cosin'.*did you mean 'cosine'",
        ),
        ("{name: cross_entropy,", "{name: cross_entropi,", "fine_tune.losses has no choice named 'cross_entropi'"),
    ],
)
def test_a_misspelt_choice_is_answered_with_the_one_it_resembles(tmp_path, old, new, answer):
    params = load_params(written(tmp_path, (old, new)))
    with pytest.raises(GraftError, match=f"(?s){answer}"):
        resolve_choices(params, ("ingest", "fine_tune"))


def test_fix_inserts_the_documented_value(tmp_path):
    path = written(tmp_path, ("  clip_norm: 1.0              # null: no clipping\n", ""))
    assert insert_missing(path) == [f"{path}: inserted fine_tune.clip_norm"]
    assert load_params(path).fine_tune.clip_norm == 1.0
    assert insert_missing(path) == []


def test_fix_of_an_older_file_keeps_its_splits_and_its_values(tmp_path):
    path = written(
        tmp_path,
        ("seed: 7\n", "seed: 11\n"),
        ("  split_seed: 7  ", "  #  "),
        ("report:\n  num_examples: 6  ", "#  "),
        ("  calibration_bins: 15\n", "  calibration_bins: 15\n  num_examples: 4\n"),
        ("  averaging: none  ", "  ema_decay: 0.98  # none  "),
    )
    with pytest.raises(GraftError) as refusal:
        load_params(path)
    said = str(refusal.value)
    assert "ingest.split_seed is missing" in said
    assert "the file's own seed, so that every image stays in its split" in said
    assert "evaluate.num_examples is called report.num_examples now" in said
    assert "fine_tune.ema_decay is called fine_tune.averaging now" in said
    inserted = ("ingest.split_seed", "fine_tune.averaging", "report")
    assert insert_missing(path) == [f"{path}: inserted {key}" for key in inserted]
    params = load_params(path)
    assert params.fine_tune.averaging == {"name": "ema", "decay": 0.98}
    assert (params.ingest.split_seed, params.report.num_examples) == (11, 4)


def test_a_value_that_is_put_in_place_of_several_lines_leaves_what_is_said_below_them(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a:\n  b: 1\n  c: 2\n\n# of d\nd: {x: 1}  # beside\ne:\n- 1\n- 2\n# of f\nf: 3\n", encoding="utf-8")
    tree = read_tree(path)
    for key, value in {"a": {"k": [1, {"y": None, "z": 2}]}, "d": {"y": 2}, "e": [3], "f": False}.items():
        put_value(tree, key, value)
    text = "a: {k: [1, {y: null, z: 2}]}\n\n# of d\nd: {y: 2}  # beside\ne: [3]\n# of f\nf: false\n"
    assert dump_tree(tree) == text


def test_a_value_that_is_put_takes_along_what_was_said_within_it(tmp_path):
    path = tmp_path / "params.yaml"
    within = "a:  # of a\n  # of b\n  b: 1  # beside b\n  c: 2  # beside c\n# of d\nd:\n- 1\n- 2  # beside 2\ne: 3\n"
    path.write_text(within, encoding="utf-8")
    tree = read_tree(path)
    put_value(tree, "a", {"k": 1, "l": 2})
    put_value(tree, "d", [4])
    assert dump_tree(tree) == "a: {k: 1, l: 2} # of a\n# of d\nd: [4]\ne: 3\n"
