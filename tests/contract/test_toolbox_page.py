"""docs/toolbox.md is what the registries say now, and every entry says enough of itself."""

from __future__ import annotations

import importlib

import pytest

from docs.toolbox import PAGE, REGISTRIES, TITLES, by_name, page, parsed
from graft.foundation.choices import option_rules

ENTRIES = {
    f"{key} {name}": entry
    for key in TITLES
    for name, (entry, _) in by_name(getattr(importlib.import_module(REGISTRIES[key][0]), REGISTRIES[key][1])).items()
}


def test_the_page_is_what_the_registries_say():
    assert PAGE.read_text("utf-8") == page(), "run make docs"


def test_every_registry_has_a_section():
    assert set(TITLES) == set(REGISTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_card_says_what_it_is_and_more(entry):
    text, meanings = parsed(ENTRIES[entry])
    assert len(text.split()) >= 20, "what it is, when it helps, where the defaults come from"
    unexplained = [option for option in option_rules(ENTRIES[entry]) if option not in meanings]
    assert unexplained == [], "options that Args: does not explain"
