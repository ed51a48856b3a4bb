"""Stage 4, pretrain-load: turns pinned weights into the starting point of our model.

Reads a pinned source of weights and the class map; if the source is `self_supervised`, images whose labels it does not
look at.
Writes `weights.safetensors`, the complete state of our model for these classes, and `card.json`, their origin; of
learning without labels also its curves, and `seen.json` with the digests of the images.
Stops when a digest differs, nothing useful in the source fits the model, or there are no images to learn from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.foundation.choices import resolve
from graft.foundation.class_map import ClassMap
from graft.foundation.content import content_seed, write_json
from graft.models.architectures import build_fresh, resolve_model
from graft.models.initialisations import INITIALISATIONS
from graft.models.pins import Downloader, no_download
from graft.models.saved_model import save_state
from graft.models.weights import WEIGHTS
from graft.models.weights.card import card_of
from graft.models.weights.match import Match, initialise_rest, load_into
from graft.models.weights.self_supervised import images_problem
from graft.models.widths import narrow

if TYPE_CHECKING:
    from graft.params.sections import PretrainLoad, Runtime


def pretrain_load(
    *,
    task: str,
    seed: int,
    model: str | Mapping[str, Any],
    runtime: Runtime,
    pretrain_load: PretrainLoad,
    images: Path,
    class_map: Path,
    out: Path,
    download: Downloader = no_download,
    resume: Path | None = None,
) -> dict[str, float]:
    """Loads the weights of the source into the model, and initialises what it does not provide from the seed.

    `download` fetches the files of a registered model; checkpoints of learning without labels go to `resume`.

    Returns:
        Number of tensors that were matched, resized, reinitialised and left out, and the share of the backbone's
        values that came from the source.
    """
    classes = ClassMap.read(class_map)
    chosen = resolve_model(task, model)
    source_choice = resolve(WEIGHTS, pretrain_load.source, where="pretrain_load.source")
    initialisation = resolve(INITIALISATIONS, pretrain_load.initialisation, where="pretrain_load.initialisation")
    if problem := images_problem(source_choice.name, pretrain_load.images):
        raise problem
    source = source_choice(task, chosen, download)
    network = build_fresh(task, chosen, classes.num_classes, content_seed(seed, "head"), len(classes.channels))
    narrow(network, source.widths_for(chosen))
    if source.state is None:
        match = Match(reinitialised=sorted(network.state_dict()))
    else:
        match = load_into(network, source, classes.names, pretrain_load.part)
    filled = initialise_rest(network, match, initialisation, content_seed(seed, "initialisation"))
    learnt = {}
    if pretrain_load.images != "none":
        from graft.training.self_supervision.continuation import Learning, continue_pretraining

        learning = Learning.of(source_choice.options)
        experience = continue_pretraining(network, learning, images, classes, source, runtime, seed, resume)
        learnt = experience.facts(source_choice.options)
        experience.write(out)
        match.known_classes = []  # a head that came along was not trained on these features
    card = card_of(source_choice.name, source, match, chosen, classes, filled) | learnt
    metadata = {key: card[key] for key in ("class_names", "mean", "std")}
    save_state(out / "weights.safetensors", network.state_dict(), metadata)
    write_json(out / "card.json", card)
    counts = {f"num_{kind}": float(len(card[kind])) for kind in ("matched", "resized", "reinitialised", "left_out")}
    return {**counts, "backbone_fraction": match.backbone_fraction}
