"""Runs the rules through Great Expectations and reads its verdict."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from graft.data.expectations.allowances import Excuse, excuse_rows
from graft.data.expectations.rules import Rule


@dataclass(frozen=True)
class Finding:
    """The verdict on one rule.

    Attributes:
        rule: The rule.
        success: Whether it holds, allowed rows aside.
        count: Number of rows that break it.
        examples: The first five that do, (id, what was found) each.
        allowed: Entries of `validate.allow`, with the number of rows each excused.
    """

    rule: Rule
    success: bool
    count: int
    examples: tuple[tuple[str, str], ...]
    allowed: tuple[Excuse, ...]


def judge(
    tables: Mapping[str, pd.DataFrame], rules: Sequence[Rule], allow: Sequence[Any], data_docs: Path | None
) -> list[Finding]:
    """Judges the tables by the rules, in order; writes the Data Docs when a folder for them is given.

    Args:
        tables: `images`, and where rules name them `classes` and `splits`; each with a column `id`.
        rules: Rules to judge by.
        allow: `validate.allow`: entries that excuse rows, with a reason.
        data_docs: Folder for Great Expectations' own HTML; it holds times and random ids, so it is no output.
    """
    results: dict[str, dict[str, Any]] = {}
    excuses: dict[str, tuple[Excuse, ...]] = {}
    context = _quiet_context()
    source = context.data_sources.add_pandas("graft")
    for name in dict.fromkeys(rule.table for rule in rules):
        own = [rule for rule in rules if rule.table == name]
        table, columns = tables[name].copy(), {}
        for rule in own:
            columns[rule.name], excuses[rule.name] = excuse_rows(table, rule, allow)
        results |= _run(context, source, name, table, [(rule, columns[rule.name]) for rule in own])
    if data_docs is not None:
        _write_data_docs(context, data_docs)
    return [_finding(rule, results[rule.name], excuses[rule.name]) for rule in rules]


def _quiet_context() -> Any:
    """An ephemeral context that draws no progress bars and reports to nobody."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _run(context: Any, source: Any, name: str, table: pd.DataFrame, rules: list[tuple[Rule, str]]) -> dict[str, Any]:
    import great_expectations as gx

    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for rule, column in rules:
        suite.add_expectation(_expectation(rule, column))
    definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
    # Asked for the column of ids, Great Expectations would look every unexpected row up by itself: 60 µs each.
    by_id = table.set_axis(table["id"].to_numpy()) if "id" in table else table
    verdict = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": by_id}, result_format={"result_format": "SUMMARY"}
    )
    return {result.expectation_config.meta["name"]: result for result in verdict.results}


def _expectation(rule: Rule, column: str) -> Any:
    """The rule as Great Expectations knows it; `column` is where the values of the rows that count stand."""
    import great_expectations.expectations as gxe

    shown: dict[str, Any] = {
        "severity": rule.severity,
        "meta": {"name": rule.name},
        "description": f"{rule.name}: {rule.rule}",
    }
    if rule.kind == "columns":
        return gxe.ExpectTableColumnsToMatchSet(**rule.bounds, exact_match=False, **shown)
    if rule.kind == "num_rows":
        return gxe.ExpectTableRowCountToBeBetween(**rule.bounds, **shown)
    kinds = {
        "absent": gxe.ExpectColumnValuesToBeNull,
        "between": gxe.ExpectColumnValuesToBeBetween,
        "one_of": gxe.ExpectColumnValuesToBeInSet,
        "unique": gxe.ExpectColumnValuesToBeUnique,
    }
    return kinds[rule.kind](column=column, **rule.bounds, **shown)


def _finding(rule: Rule, result: Any, excuses: tuple[Excuse, ...]) -> Finding:
    detail = result.result
    if rule.kind == "columns":
        absent = [] if result.success else sorted(set(rule.bounds["column_set"]) - set(detail["observed_value"]))
        return Finding(rule, result.success, len(absent), tuple((name, "column missing") for name in absent), ())
    if rule.kind == "num_rows":
        return Finding(rule, result.success, 0 if result.success else 1, (), ())
    if "unexpected_count" not in detail:
        raise RuntimeError(f"Great Expectations could not judge {rule.name}: {result.exception_info}")
    rows = zip(
        detail.get("partial_unexpected_index_list") or [], detail.get("partial_unexpected_list") or [], strict=True
    )
    named = [(str(id), rule.in_words(value)) for id, value in rows]
    return Finding(rule, result.success, detail["unexpected_count"], tuple(named[:5]), excuses)


def _write_data_docs(context: Any, folder: Path) -> None:
    # Pages carry the time of their run in their path: without this those of earlier runs would pile up.
    shutil.rmtree(folder / "validations", ignore_errors=True)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    context.add_data_docs_site(
        "graft", {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
    )
    context.build_data_docs(site_names=["graft"])
