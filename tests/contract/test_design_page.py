"""The figures of docs/design.md are what dvc.yaml, pyproject.toml and the packages say now."""

from __future__ import annotations

from docs.figures import PAGE, data_flow, layer_names, layers, page


def test_the_page_holds_what_the_code_draws():
    assert PAGE.read_text("utf-8") == page(), "run make docs"


def test_the_data_flow_shows_every_stage_and_what_it_reads():
    figure = "\n".join(data_flow())
    stages = ["ingest", "validate", "augment", "pretrain-load", "fine-tune", "evaluate", "export"]
    assert all(f"([{stage}])" in figure for stage in stages)
    assert 'n_data_interim -->|"train<br/>{augment.unlabelled}<br/>class_map.json"| augment' in figure
    assert "n_models_pretrained --> fine_tune" in figure


def test_the_layers_are_drawn_from_the_highest_to_the_lowest():
    figure = list(layers())
    assert "graft.cli" in figure[2]
    assert "graft.foundation" in figure[1 + len(layer_names())]
