"""All that a report rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graft.evaluation.report.examples import Examples
from graft.evaluation.scores import Contender, Tally
from graft.foundation.class_map import ClassMap

if TYPE_CHECKING:
    from graft.params.sections import Evaluate


@dataclass(frozen=True)
class Evidence:
    """What evaluate found.

    Attributes:
        task: `segmentation` or `classification`.
        metrics: The content of metrics.json.
        class_map: The classes.
        contenders: The models by name, `fine_tuned` and perhaps `baseline`, their calibration counted.
        tally: The counts of the split.
        examples: Its best and worst images.
        settings: `evaluate` of params.yaml.
        inputs: `file`, `sha256` and `num_bytes` of every file that was read.
    """

    task: str
    metrics: Mapping[str, Any]
    class_map: ClassMap
    contenders: Mapping[str, Contender]
    tally: Tally
    examples: Examples
    settings: Evaluate
    inputs: Sequence[Mapping[str, Any]]
