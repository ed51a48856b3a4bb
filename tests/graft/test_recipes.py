"""graft recipe: what it names, what it prints, and that nothing of a person's own is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.foundation.errors import GraftError
from graft.params.recipes import about, recipe, recipes, use


def test_every_recipe_says_what_it_is_for():
    said = {name: about(path) for name, path in recipes().items()}
    assert "camvid" in said
    assert [name for name, text in said.items() if len(text) < 60] == []


def test_a_misspelt_name_is_answered_with_the_one_it_resembles():
    with pytest.raises(GraftError, match=r"no recipe named 'canvid'.*did you mean 'camvid'"):
        recipe("canvid")


def test_one_recipe_takes_the_place_of_another(tmp_path: Path):
    file = tmp_path / "params.yaml"
    assert "recipe camvid now" in use("camvid", params_file=file)
    assert "recipe ants-and-bees now" in use("ants-and-bees", params_file=file)
    assert "already" in use("ants-and-bees", params_file=file)
    assert file.read_bytes() == recipe("ants-and-bees").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_values_of_a_persons_own_are_replaced_only_with_force_and_kept(tmp_path: Path):
    file = tmp_path / "params.yaml"
    mine = recipe("camvid").read_text("utf-8").replace("seed: 7", "seed: 8")
    file.write_text(mine, encoding="utf-8")
    with pytest.raises(GraftError, match=r"holds values of your own.*--force"):
        use("camvid", params_file=file)
    assert file.read_text("utf-8") == mine
    assert "params.yaml.before" in use("camvid", force=True, params_file=file)
    assert (tmp_path / "params.yaml.before").read_text("utf-8") == mine
    assert file.read_bytes() == recipe("camvid").read_bytes()
