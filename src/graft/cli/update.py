"""The command `graft update`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graft.cli import REFUSED, app, check_project
from graft.cli.generations import tell_generations
from graft.cli.registered import PANEL, open_registry

if TYPE_CHECKING:
    from graft.commands.update import Parent
    from graft.provenance.promotion.measurement import Comparison
    from graft.provenance.tracking.mlflow_store import MlflowClient

Choice = Literal["random", "herding", "loss"]  # of graft.data.memory.balanced, which a test compares


@app.command(rich_help_panel=PANEL)
def update(
    folders: Annotated[list[Path], typer.Argument(help="Folder of new images; several are several deliveries.")],
    name: Annotated[str | None, typer.Option(help="Name of the delivery; by default that of the folder.")] = None,
    like: Annotated[
        str | None, typer.Option(help="Delivery that is read the same way; by default as its entry says, or the first.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Their source, as YAML: '{name: mask_folder, …}'; in place of --like.")
    ] = None,
    memory: Annotated[int, typer.Option(min=0, help="Largest number of earlier images to be reminded of.")] = 100,
    choice: Annotated[
        Choice | None, typer.Option(help="How these are chosen: by chance, or by what the champion sees in them.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the registered model; that of params.yaml.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what params.yaml would be.")] = False,
) -> None:
    """Grow the champion by a new delivery: train on it and a memory of those before; exit 3 if it forgets too much."""
    from graft.foundation.class_map import refuse_several_labels
    from graft.params.params_file import PARAMS_FILE, load_params

    check_project()
    params = load_params()
    refuse_several_labels(params.task, "graft update", "graft deliver FOLDER, then make repro: it trains on all images")
    store, registered = open_registry(model)
    from graft.commands import update as command
    from graft.commands.deliver import check_deliveries, count_images, tell_counts
    from graft.params.examination import check_file
    from graft.params.yaml_tree import changed_lines, read_tree
    from graft.provenance.tracking.publish import publish

    tree = read_tree(PARAMS_FILE)
    parent = command.find_parent(store, registered, params)
    reads = None if source is None else _read_source(source)
    new = [command.read_delivery(tree, name_, folder, like, reads) for name_, folder in _named(folders, name)]
    remembered = command.count_remembered(memory, new, params)
    tree = command.compose_update(tree, new, parent, remembered, choice)
    planned = check_deliveries(PARAMS_FILE, tree)
    for one in new:
        typer.echo(f"{one.name}: {tell_counts(count_images(planned, one.name))} images")
    for line in changed_lines(PARAMS_FILE, tree):
        typer.echo(line)
    if dry_run:
        return
    with command.put_in_place(PARAMS_FILE, tree):
        check_file(PARAMS_FILE, here=True)
        command.run_stages()
    typer.echo(publish(is_judged_next=True))
    _judge(store, parent)


def _judge(store: MlflowClient, parent: Parent) -> None:
    """Tells what was gained and forgotten; makes the update the candidate, or exits as refused."""
    from graft.commands import update as command
    from graft.foundation.content import digest_of
    from graft.foundation.errors import GraftError
    from graft.foundation.progress import warn
    from graft.models.address import registered_name
    from graft.params.params_file import load_params
    from graft.provenance.promotion.update_verdict import judge_update, record_verdict, tell_verdict
    from graft.provenance.stages import EXPORTED

    params = load_params()
    name = registered_name(params.task)  # that of the parent may be another
    found, grown = command.measure_update(parent, params)
    _print_changes(parent, found, grown)
    judged = judge_update(found, params.promotion.max_forgetting)
    number = record_verdict(store, name, digest_of(Path(EXPORTED)), judged, parent.number)
    if not judged.failing:
        typer.echo(command.freeze_test_parts(store, name, params, number))
    try:
        tell_generations(store, name, number)
    except GraftError as error:
        warn(error)
    typer.echo(tell_verdict(name, number, judged))
    if judged.failing:
        sys.exit(REFUSED)
    typer.echo("git commit -am 'Update', then graft promote")


def _named(folders: list[Path], name: str | None) -> list[tuple[str, Path]]:
    from graft.commands.update import name_of
    from graft.foundation.errors import GraftError

    if name is not None and len(folders) > 1:
        remedy = "run one after the other, or leave the names to the folders"
        raise GraftError("--name with several folders", remedy=remedy)
    return [(name or name_of(folder), folder) for folder in folders]


def _read_source(text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from graft.foundation.errors import GraftError

    try:
        found = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise GraftError(f"--source is not YAML: {str(error).splitlines()[0]}") from None
    if isinstance(found, str):
        return {"name": found}
    if not isinstance(found, dict) or "name" not in found:
        raise GraftError(f"--source is {text!r}", rule="a source is a name, or {name: …} with its options")
    return found


def _print_changes(parent: Parent, found: Comparison, grown: dict[str, float | None]) -> None:
    from rich.console import Console
    from rich.table import Table

    from graft.commands.update import table_of

    if found.not_comparable:
        typer.echo(f"not compared with version {parent.number}: {found.not_comparable}")
        return
    score = found.headline.replace("_", " ").replace("iou", "IoU")
    title = f"{score} (of a class: {found.class_score}) on the {found.num_images} test images of all deliveries"
    table = Table("", f"champion, version {parent.number}", "update", "change [95%]", title=title, title_justify="left")
    for row in table_of(found, grown):
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 100)
    console.print(table)
