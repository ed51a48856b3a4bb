"""The suite: which rules apply to this manifest, and the tables they look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from graft.data.expectations.allowances import check_names
from graft.data.expectations.critical import label_rules, leak_rules, row_rules, split_rules, structure_rules
from graft.data.expectations.derived import class_table, image_facts, split_table
from graft.data.expectations.manifest import REQUIRED_COLUMNS
from graft.data.expectations.rules import Rule
from graft.data.expectations.warning import balance_rules, duplicate_rules, exposure_rules, file_rules
from graft.foundation.class_map import ClassMap
from graft.foundation.errors import GraftError

if TYPE_CHECKING:
    from graft.params.sections import Validate


def suite_of(
    manifest: pd.DataFrame, class_map: ClassMap, validate: Validate, split: str = "test"
) -> tuple[dict[str, pd.DataFrame], list[Rule]]:
    """The tables to judge and the rules to judge them by, those that stop the pipeline first.

    `split` is the one that will be scored. A manifest without some column or without rows gets only the rules that say
    so.

    Raises:
        GraftError: `validate.allow` names an expectation that does not exist, or the manifest is not of this class map.
    """
    if not set(REQUIRED_COLUMNS) <= set(manifest.columns) or manifest.empty:
        return {"images": manifest}, structure_rules()
    task = class_map.task
    rules = (
        structure_rules()
        + row_rules()
        + split_rules(class_map.task, split)
        + label_rules(class_map)
        + leak_rules(class_map)
    )
    rules += duplicate_rules(task, validate) + exposure_rules(validate) + balance_rules(task, validate)
    rules += file_rules(manifest)
    check_names(validate.allow, [rule.name for rule in rules])
    tables = {
        "images": image_facts(manifest, task, validate),
        "classes": class_table(manifest, class_map),
        "splits": split_table(manifest, class_map, split),
    }
    return tables, sorted(rules, key=lambda rule: rule.severity != "critical")


def check_task(task: str, class_map: ClassMap) -> None:
    """Refuses a class map of another task.

    Raises:
        GraftError: The class map was written for another task than `params.yaml` asks for.
    """
    if class_map.task != task:
        raise GraftError(
            f"the class map is for {class_map.task}, params.yaml says task: {task}", remedy="run dvc repro"
        )
