"""The table of parameter groups: written by fine-tune, read by the report."""

from __future__ import annotations

import re

import pytest

from graft.evaluation.report import report_page
from graft.evaluation.report.training_history import read_groups
from graft.foundation.errors import GraftError
from graft.training.outcome import write_parameter_groups

RUNS = {
    "fine_tuned": {
        "parameter_groups": [
            {
                "name": "head, decaying",
                "num_parameters": 1234,
                "trains_from_epoch": 1,
                "learning_rate": 1e-3,
                "weight_decay": 0.01,
            },
            {
                "name": "stage 4, not decaying",
                "num_parameters": 56,
                "trains_from_epoch": 3,
                "learning_rate": 1e-3 / 3,
                "weight_decay": 0.0,
            },
        ],
        "frozen_parameters": [{"name": "backbone, frozen", "num_parameters": 7}],
    },
    "baseline": {"parameter_groups": [], "frozen_parameters": [{"name": "head, frozen", "num_parameters": 8}]},
}


def test_what_was_written_stands_in_the_report(tmp_path):
    write_parameter_groups(tmp_path / "parameter_groups.csv", RUNS)
    page = report_page.open_templates().get_template("groups.html.j2").render(groups=read_groups(tmp_path))
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    assert [row for row in cells if row] == [
        ["fine-tuned", "head, decaying", "1,234", "yes", "0.001", "0.01"],
        ["", "stage 4, not decaying", "56", "from epoch 3", "0.0003333", "0"],
        ["", "backbone, frozen", "7", "no", "–", "–"],
        ["from scratch", "head, frozen", "8", "no", "–", "–"],
    ]


def test_without_a_table_there_is_no_section(tmp_path):
    assert read_groups(tmp_path) == []
    assert "What moved" not in report_page.open_templates().get_template("groups.html.j2").render(groups=[])


def test_a_table_of_other_columns_is_named(tmp_path):
    (tmp_path / "parameter_groups.csv").write_text("run,group\nfine_tuned,head\n")
    with pytest.raises(GraftError, match=r"parameter_groups\.csv: columns are missing: parameters, trains_from_epoch"):
        read_groups(tmp_path)
