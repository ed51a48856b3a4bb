"""Several policies as one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from graft.data.augmentations.steps import Steps
from graft.foundation.choices import option_rules, resolve
from graft.foundation.errors import GraftError

WHERE = "augment.policy.parts"


def resolve_parts(parts: list[Any]) -> list[dict[str, Any]]:
    """Each part with every option, in order.

    Raises:
        GraftError: A part or one of its options does not exist, a part is a composition, or two parts crop; all that is
            wrong is listed.
    """
    resolved, problems, croppers = [], [], []
    for number, part in enumerate(parts):
        try:
            choice = resolve(_policies(), part, where=f"{WHERE}[{number}]")
        except GraftError as error:
            problems.append(error)
            continue
        resolved.append(choice.as_dict())
        croppers += [f"{choice.name} ({WHERE}[{number}])"] if "max_class_fraction" in option_rules(choice.entry) else []
    if len(croppers) > 1:
        rule = "one part decides which window of the image a view shows"
        problems.append(GraftError(f"{len(croppers)} parts crop: {', '.join(croppers)}", where=WHERE, rule=rule))
    if problems:
        raise problems[0] if len(problems) == 1 else GraftError.of_all(f"{WHERE}: parts that cannot be used", problems)
    return resolved


def compose(
    *, parts: Annotated[list[str | dict[str, Any]], Field(min_length=1), AfterValidator(resolve_parts)]
) -> Steps:
    """Several policies applied to every view, each as if it stood alone: `parts: [street, {name: weather}]`.

    What moves pixels comes first, in the order of the parts, then one crop, then what changes colours, in the order of
    the parts again. `street`, `light`, `geometric`, `photometric` and `crop` crop; at most one of these may be a part,
    and with none of them the view shows the image at its own scale.

    Args:
        parts: Names of policies, or `{name: …}` with options; no composition in a composition.
    """
    steps = [resolve(_policies(), part, where=WHERE)() for part in parts]
    return Steps(
        list(itertools.chain.from_iterable(part.moves for part in steps)),
        next((part.crop for part in steps if part.crop), None),
        list(itertools.chain.from_iterable(part.looks for part in steps)),
    )


def _policies() -> Mapping[str, Any]:
    from graft.data.augmentations import POLICIES  # which holds this module's function: known once all are imported

    return {name: entry for name, entry in POLICIES.items() if entry is not compose}
