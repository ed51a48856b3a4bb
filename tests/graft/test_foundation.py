"""The mechanisms under everything: files replaced in one step, errors with a place, hints for misspelt names."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.foundation.choices import Choice, check_task
from graft.foundation.content import replace_file
from graft.foundation.counted import counted
from graft.foundation.errors import GraftError, suggest


def test_a_file_is_replaced_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with replace_file(path) as pending:
        pending.write_text("first", encoding="utf-8")
        assert not path.exists()
    with replace_file(path) as pending:
        pending.write_text("second", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "first"
    assert path.read_text(encoding="utf-8") == "second"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")

    def write_half() -> None:
        with replace_file(path) as pending:
            pending.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_on_the_disk_before_the_name_is_and_the_name_before_the_block_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flushed = tmp_path / "file.txt", []
    monkeypatch.setattr("os.fsync", lambda descriptor: flushed.append(path.exists()))
    with replace_file(path) as pending:
        pending.write_text("content", encoding="utf-8")
    assert flushed == [False, True]


def test_an_error_keeps_its_kind_rule_and_remedy_at_another_place() -> None:
    class SpecialError(GraftError):
        pass

    moved = SpecialError("wrong", rule="this rule", remedy="this remedy").at("row 3")
    assert isinstance(moved, SpecialError)
    assert str(moved) == "row 3: wrong. Rule: this rule. Remedy: this remedy."


def test_a_misspelt_name_is_answered_with_the_one_it_resembles() -> None:
    assert suggest("dcie", ["dice", "focal"]) == "did you mean 'dice'?"
    assert suggest("xyz", ["focal", "dice"]) == "known: dice, focal"
    assert suggest("xyz", []) == "known: none"
    assert suggest("xyz", ["dice"], otherwise="look at the list") == "look at the list"


def test_a_choice_that_does_not_serve_the_task_is_refused() -> None:
    served = {"classmix": ("segmentation",), "none": ("segmentation", "classification")}
    check_task(Choice("classmix", dict, {}), served, "segmentation", where="fine_tune.mixing")
    with pytest.raises(
        GraftError, match=r"fine_tune.mixing classmix is not for classification. Rule: it serves segmentation. .*none"
    ):
        check_task(Choice("classmix", dict, {}), served, "classification", where="fine_tune.mixing")


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "broken frame") for number in (0, 1, 2)] == [
        "0 broken frames",
        "1 broken frame",
        "2 broken frames",
    ]
