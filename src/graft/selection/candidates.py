"""Candidates: pairs of architecture and weights, as a YAML file lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field, ValidationError

from graft.foundation.choices import Choice, resolve
from graft.foundation.errors import GraftError
from graft.foundation.installation import PIPELINE
from graft.models.architectures import resolve_model
from graft.models.weights import WEIGHTS
from graft.params.sections import Section, Spec
from graft.params.yaml_tree import read_tree

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedSeq

DOCUMENTED = PIPELINE / "candidates.yaml"
FILE = "candidates.yaml"


class PublishedScore(Section):
    """A score that somebody else measured, and the data it was measured on."""

    metric: str
    value: Annotated[float, Field(ge=0, le=1)]
    on: str


class CandidateEntry(Section):
    """An entry of the list, as the file has it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    model: Spec
    source: Spec
    published: PublishedScore | None = None


@dataclass(frozen=True)
class Candidate:
    """An architecture and the weights it would start from.

    Attributes:
        name: Name in the file.
        model: The architecture with every option.
        source: The weights with every option, as in `pretrain_load.source`.
        published: Published score, if the file has one.
    """

    name: str
    model: Choice
    source: Choice
    published: PublishedScore | None = None

    @property
    def is_random(self) -> bool:
        """True for a candidate without weights: the control that any other should beat."""
        return self.source.name == "none"

    def as_dict(self) -> dict[str, Any]:
        """The candidate as it would stand in the file, nothing left to a default."""
        return {"name": self.name, "model": self.model.as_dict(), "source": self.source.as_dict()}


def read_candidates(path: Path, task: str) -> list[Candidate]:
    """The candidates of a task in a YAML file, or in `candidates.yaml` of a folder.

    Raises:
        GraftError: No such file, none for this task, two of one name, or entries that cannot be used: all are listed.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise GraftError(
            "there is no list of candidates",
            where=file,
            rule="graft select reads a YAML file, or candidates.yaml of a folder",
            remedy="make zoo writes one, pipeline/candidates.yaml is an example",
        )
    listed = read_tree(file).get(task)
    if not isinstance(listed, list) or not listed:
        raise GraftError(f"lists no candidates under {task!r}", where=file, remedy=f"begin the list with {task}:")
    found: list[Candidate] = []
    problems: list[object] = []
    for number, entry in enumerate(listed):
        try:
            found.append(_candidate(entry, task))
        except GraftError as error:
            line = cast("CommentedSeq", listed).lc.item(number)[0] + 1
            problems.append(error.at(f"{file}:{line}"))
    names = [candidate.name for candidate in found]
    problems += [f"{file}: two candidates are named {name}" for name in dict.fromkeys(names) if names.count(name) > 1]
    if problems:
        raise GraftError.of_all("candidates that cannot be used", problems)
    return found


def _candidate(entry: Any, task: str) -> Candidate:
    try:
        listed = CandidateEntry.model_validate(_plain(entry))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc'][:2]))}: {item['msg']}" for item in error.errors())
        rule = "a candidate is {name: …, model: …, source: …}, maybe with published: {metric: …, value: …, on: …}"
        raise GraftError(f"not a candidate ({wrong})", rule=rule) from None
    source = resolve(WEIGHTS, listed.source, where="source")
    return Candidate(listed.name, resolve_model(task, listed.model), source, listed.published)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, float) else value
