"""The lines of a table, by what its columns mean."""

from __future__ import annotations

import csv as tables
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from graft.data.formats.array_masks import ARRAY_ENDINGS
from graft.data.formats.files import EXTENSIONS_READ, STACK_EXTENSIONS, Found, by_end, id_of
from graft.data.formats.patterns import glob_regex
from graft.data.formats.split_names import WORDS_FOR_SPLIT, split_named
from graft.data.formats.unlabelled_images import is_in_unlabelled_folder
from graft.foundation.class_map import TARGET_WORD, UNLABELLED
from graft.foundation.errors import GraftError

Column = str | int
MOST_SHOWN = 3


@dataclass
class TableRows:
    """The lines of a table; `problems` holds those that cannot be used, `notes` what was not used.

    Attributes:
        found: Files and folders below the root.
        table: Id of the table, or a glob that several tables match, as */metadata.csv.
        delimiter: Character between columns.
        columns: Meaning (`image`, `target`, `split`, `group`, `domain`, `class 0` and on) to the name or number of
            its column.
        has_header: Whether the first line names the columns.
    """

    found: Found
    table: str
    delimiter: str
    columns: Mapping[str, Column]
    has_header: bool
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cells: dict[Column, list[str]] = field(default_factory=dict)

    def read(self, task: str) -> list[dict[str, str]]:
        """Lines with `image` and `target` (ids of files, or a label; "" where there is none), split, group, domain.

        The value of any other of `columns` stands under its key, the number of the line and its table under `line` and
        `table`.
        """
        lines: dict[str, dict[str, str]] = {}
        for table, number, row in self._rows():
            line = {"target": "", "table": table, "line": str(number)}
            line |= {key: row[name] for key, name in self.columns.items()}
            problems = self._resolve(line, task) + self._problems(line, task)
            if line["image"] in lines:
                difference = self._difference(lines[line["image"]], line, task)
                problems.append(f"{line['image']} is listed twice{difference}")
            self.problems += [f"{table} line {number}: {problem}" for problem in problems]
            if not problems:
                line["group"] = line.get("group") or line["image"]
                lines[line["image"]] = line
            for name, cell in row.items():
                self.cells.setdefault(name, []).append(cell)
        if "split" not in self.columns:
            self.notes += [
                f"the column {name!r}, which names splits; split_column: {name} uses it"
                for name, cells in self.cells.items()
                if name not in self.columns.values() and _are_splits(cells)
            ]
        return [*lines.values()]

    def _difference(self, first: Mapping[str, str], line: Mapping[str, str], task: str) -> str:
        """Says that a line has another target than an earlier one of the same image."""
        differ = any(first[key] != line[key] for key in self.columns if key == "target" or key.startswith("class "))
        table = f"{first['table']} " if first["table"] != line["table"] else ""
        return f", with another {TARGET_WORD[task]} than in {table}line {first['line']}" if differ else ""

    def _resolve(self, line: dict[str, str], task: str) -> list[str]:
        """Puts the ids of files in the place of what the cells call them; returns what is called by no one name."""
        problems: list[str] = []
        line["image"] = self._file(line["image"], line["table"], problems)
        line["split"] = split_named(line.get("split", "train")) or line.get("split", "")
        line["domain"] = line.get("domain") or "unspecified"
        if "split" not in self.columns and not line["target"] and is_in_unlabelled_folder(line["image"]):
            line["split"] = UNLABELLED
        if line["split"] == UNLABELLED:
            line["target"] = ""
        if task == "segmentation" and line["target"]:
            line["target"] = self._file(line["target"], line["table"], problems)
        return problems

    def _file(self, cell: str, table: str, problems: list[str]) -> str:
        """The file at a path below the root or beside the table, or the only one whose path ends so."""
        path = posixpath.normpath(id_of(cell.replace("\\", "/")))
        for id in (path, posixpath.normpath(posixpath.join(posixpath.dirname(table), path))):
            if (place := self.found.place_of(id)) in self.found.paths:
                return place
        ending = [] if path.startswith("..") else self._by_end.get(path, [])
        if len(ending) > 1:
            problems.append(f"{cell} may be {' or '.join(ending[:MOST_SHOWN])}; write the path with its folder")
        return ending[0] if ending else path

    @cached_property
    def _by_end(self) -> Mapping[str, list[str]]:
        kinds = EXTENSIONS_READ | STACK_EXTENSIONS | set(ARRAY_ENDINGS)
        return by_end(id for id in self.found.paths if posixpath.splitext(id)[1].lower() in kinds)

    def _rows(self) -> Iterator[tuple[str, int, dict[Column, str]]]:
        """Table, number and cells of each line that is not empty and has no more cells than there are columns."""
        pattern = glob_regex(self.table)
        files = [self.table] if self.table in self.found.paths else sorted(filter(pattern.fullmatch, self.found.paths))
        if not files:
            raise GraftError(
                f"csv expects the table {self.table} here; {self.found.in_words()}",
                where=self.found.root,
                rule="paths in the table are below ingest.root, and the table is, too",
                remedy="set ingest.source.table, or ingest.root",
            )
        for table in files:
            yield from ((table, number, cells) for number, cells in self._rows_of(table))

    def _rows_of(self, table: str) -> Iterator[tuple[int, dict[Column, str]]]:
        path = self.found.root / self.found.paths[table]
        names: list[Column] = []
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = tables.reader(file, delimiter=self.delimiter, skipinitialspace=True)
                for row in reader:
                    cells = [cell.strip() for cell in row]
                    if any(cells) and not names:
                        names = [*cells] if self.has_header else [*range(1, len(cells) + 1)]
                        self._check_columns(table, names, cells)
                        cells = [] if self.has_header else cells
                    if not any(cells):
                        continue
                    if any(cells[len(names) :]):
                        self.problems.append(
                            f"{table} line {reader.line_num}: {len(cells)} cells in {len(names)} columns; "
                            f"a cell that holds {self.delimiter!r} stands in double quotes"
                        )
                        continue
                    yield reader.line_num, dict(zip(names, cells + [""] * (len(names) - len(cells)), strict=False))
                if not names:
                    self._check_columns(table, [], [])
        except (OSError, UnicodeError, tables.Error) as error:
            raise GraftError(
                f"the table cannot be read ({error})", where=path, remedy="save it as CSV in UTF-8"
            ) from None

    def _check_columns(self, table: str, there: Sequence[Column], first: Sequence[str]) -> None:
        missing = [repr(name) for name in self.columns.values() if name not in there]
        if not missing:
            return
        rule = f"columns are separated by {self.delimiter!r} and " + (
            "named in the first line" if self.has_header else "called by their numbers where header is false"
        )
        remedy = "set delimiter and the …_column options of ingest.source"
        if self.has_header and any(self._file(cell, table, []) in self.found.paths for cell in first):
            remedy = "the first line holds a path: set header: false, and each …_column to its number, from 1"
        raise GraftError(
            f"the table has no column {' and no column '.join(missing)}; it has {', '.join(map(repr, there))}",
            where=table,
            rule=rule,
            remedy=remedy,
        )

    def _problems(self, line: Mapping[str, str], task: str) -> list[str]:
        problems = []
        files = [line["image"], *([line["target"]] if task == "segmentation" and line["target"] else [])]
        problems += [f"{id} is not there" for id in files if id not in self.found.paths] + self.found.refusals(files)
        if "target" in self.columns and not line["target"] and line["split"] != UNLABELLED and task != "multilabel":
            problems.append(f"{line['image']} has no {'mask' if task == 'segmentation' else 'label'}")
        if line["split"] not in WORDS_FOR_SPLIT:
            problems.append(f"{line['split']!r} is no split: train, val, test or unlabelled")
        if "group" in line and not line["group"]:
            problems.append(f"{line['image']} has no {self.columns['group']}")
        return problems


def _are_splits(cells: Sequence[str]) -> bool:
    """Whether a column holds nothing but names of splits, train and another one among them."""
    splits = {split_named(cell) for cell in set(cells)}
    return None not in splits and "train" in splits and len(splits) > 1
