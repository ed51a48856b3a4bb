"""graft recipe: how recipes are composed, what is printed, and that nothing of a person's own is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from graft.cli import with_commands
from graft.foundation.content import content_digest, read_json, write_json
from graft.foundation.errors import GraftError
from graft.params import recipes
from graft.params.recipes import (
    RELEASED,
    ROOT,
    complete_text,
    compose,
    describe,
    find_base,
    find_recipe,
    list_changes,
    list_recipes,
    recipe_of,
    use,
)
from graft.params.yaml_tree import plain, read_tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of recipes that holds the root alone."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    shutil.copy(find_recipe(ROOT), folder)
    return folder


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.yaml").write_text(f"# The recipe {name}.\n{text}\n", encoding="utf-8")


def test_every_recipe_says_what_it_is_for() -> None:
    said = {name: describe(path) for name, path in list_recipes().items()}
    assert "camvid" in said
    assert [name for name, text in said.items() if len(text) < 60] == []


def test_exactly_one_recipe_is_complete() -> None:
    assert [name for name in list_recipes() if find_base(name) is None] == [ROOT]


def test_every_change_of_a_recipe_changes_something() -> None:
    for name in list_recipes():
        if (base := find_base(name)) is not None:
            before, after = plain(compose(base)), plain(read_tree(find_recipe(name)))
            same = {key for key, value in after.items() if key != "base" and before[key] == value}
            inner = {
                f"{section}.{key}"
                for section, values in after.items()
                if isinstance(values, dict) and "name" not in values
                for key, value in values.items()
                if before[section][key] == value
            }
            assert same | inner == set(), name


def test_a_complete_file_has_the_comment_of_its_recipe_and_the_comments_of_the_root() -> None:
    text = complete_text("camvid-best")
    assert text.startswith("\n".join(find_recipe("camvid-best").read_text("utf-8").splitlines()[:3]))
    assert "  views: 10\n" in text
    assert "  storage: materialised       # materialised | online\n" in text
    assert plain(YAML().load(text)) == plain(compose("camvid-best"))
    assert complete_text(ROOT) == find_recipe(ROOT).read_text("utf-8")


def test_the_values_of_every_recipe_are_recorded_as_released() -> None:
    """Whoever changes a recipe adds the digest of its new values, so that a params.yaml of today is nobody's own."""
    released = read_json(RELEASED)
    missing = {name: content_digest(plain(compose(name))) for name in list_recipes()}
    assert {name: digest for name, digest in missing.items() if digest not in released.get(name, [])} == {}


def test_values_are_those_of_a_recipe_only_as_it_is_bundled_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = plain(compose("unet"))
    assert recipe_of(values) == "unet"
    assert recipe_of(values | {"seed": values["seed"] + 1}) is None
    before = values | {"seed": 12345}
    monkeypatch.setattr(recipes, "RELEASED", tmp_path / "released.json")
    write_json(recipes.RELEASED, {"unet": [content_digest(before), content_digest(values)]})
    assert (recipe_of(before), recipe_of(values)) == (None, "unet")


def test_a_choice_is_replaced_whole_and_other_mappings_are_merged(folder: Path) -> None:
    write(folder, "one", f"base: {ROOT}\naugment: {{crop: {{width_px: 96}}}}\nmodel: {{name: unet}}")
    write(
        folder, "two", "base: one\npromotion: {class_floors: {road: 0.5}}\nfine_tune: {optimizer: {weight_decay: 0.1}}"
    )
    composed, root = plain(compose("two", folder)), plain(compose(ROOT))
    assert composed["augment"]["crop"] == root["augment"]["crop"] | {"width_px": 96}
    assert composed["model"] == {"name": "unet"}
    assert composed["promotion"]["class_floors"] == {"road": 0.5}
    assert composed["fine_tune"]["optimizer"] == {"name": "adamw", "weight_decay": 0.1}
    assert list_changes("two", "one", folder) == [
        "fine_tune.optimizer: {name: adamw, weight_decay: 0.01} → {name: adamw, weight_decay: 0.1}",
        "promotion.class_floors: {} → {road: 0.5}",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"base: {ROOT}\nfine_tune:\n  epoch: 3", r"one\.yaml:4: fine_tune\.epoch is not a known key.*'epochs'"),
        (f"base: {ROOT}\nfine_tunes: 3\nseeds: 8", r"(?s)one\.yaml breaks the rules \(2\).*fine_tunes.*seeds"),
        (f"base: {ROOT}\nfine_tune: 3", r"one\.yaml:3: fine_tune is 3.*a section is a mapping"),
        ("base: scenes-nite-rain", r"one\.yaml:2: there is no recipe named 'scenes-nite-rain'.*'scenes-night-rain'"),
        ("base: [a]", r"one\.yaml:2: there is no recipe named \['a'\]"),
        ("base: one", r"one\.yaml:2: each of these recipes is based on the next: one → one"),
        ("base: two", r"two\.yaml:2: each of these recipes is based on the next: one → two → one"),
    ],
)
def test_a_recipe_that_cannot_be_composed_is_refused_at_its_line(folder: Path, text: str, message: str) -> None:
    write(folder, "one", text)
    write(folder, "two", "base: one")
    with pytest.raises(GraftError, match=message):
        compose("one", folder)


def test_a_misspelt_name_is_answered_with_the_one_it_resembles() -> None:
    with pytest.raises(GraftError, match=r"no recipe named 'canvid'.*did you mean 'camvid'"):
        compose("canvid")


def test_show_prints_the_changes_or_the_whole() -> None:
    run = CliRunner().invoke
    shown = run(with_commands(), ["recipe", "show", "camvid-best"]).output
    assert "Changes to camvid:\n" in shown
    assert "  fine_tune.epochs: 12 → 20\n" in shown
    assert run(with_commands(), ["recipe", "show", "camvid-best", "--whole"]).output == complete_text("camvid-best")
    assert run(with_commands(), ["recipe", "show", ROOT]).output == complete_text(ROOT)


def test_one_recipe_takes_the_place_of_another(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    assert "recipe camvid now" in use("camvid", params_file=file)
    assert "recipe ants-and-bees now" in use("ants-and-bees", params_file=file)
    assert "already" in use("ants-and-bees", params_file=file)
    assert file.read_text("utf-8") == complete_text("ants-and-bees")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_recipe_of_an_older_release_is_known_by_its_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, released = tmp_path / "params.yaml", tmp_path / "released.json"
    file.write_text("# a comment\nseed: 3\n", encoding="utf-8")
    with pytest.raises(GraftError, match="holds values of your own"):
        use("unet", params_file=file)
    write_json(released, {"unet": [content_digest({"seed": 3})]})
    monkeypatch.setattr(recipes, "RELEASED", released)
    assert "recipe unet now. " in use("unet", params_file=file)


def test_values_of_a_persons_own_are_replaced_only_with_force_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    mine = complete_text("camvid").replace("seed: 7", "seed: 8")
    file.write_text(mine, encoding="utf-8")
    with pytest.raises(GraftError, match=r"holds values of your own.*--force"):
        use("camvid", params_file=file)
    assert file.read_text("utf-8") == mine
    assert "params.yaml.before" in use("camvid", force=True, params_file=file)
    assert (tmp_path / "params.yaml.before").read_text("utf-8") == mine
    assert file.read_text("utf-8") == complete_text("camvid")


def test_a_file_that_is_not_yaml_is_a_persons_own(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("seed: [", encoding="utf-8")
    with pytest.raises(GraftError, match="holds values of your own"):
        use("camvid", params_file=file)
