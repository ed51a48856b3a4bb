"""`make zoo`: pretrains a zoo of small segmenters with this very pipeline, for `graft select` where nothing downloads.

Three architectures are each trained on day scenes, on mixed weather, and on day scenes for a quarter of the schedule.
Each also appears with random initialisation, the control that every other candidate should beat. An interrupted run
continues when it is started again: finished candidates are kept, DVC restores finished stages, and fine-tune resumes.

Full size is 1,500 scenes of 192 × 128 px for 8 epochs. Sides are multiples of 32, so that no architecture pads. A step
of 16 images takes 0.7 to 1.4 s on one core: 50 minutes for the 9 trainings on two idle cores, and about 15 for drawing,
augmenting, scoring and starting up; build/zoo takes 2 GB in the meantime. GRAFT_ZOO_SCALE=tiny makes useless candidates
from a few scenes, to test the procedure; `python pipeline/recipes/zoo.py 'lraspp-*'` makes only those whose name fits.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.foundation.content import content_digest, read_json, sha256_of, write_json
from graft.foundation.errors import GraftError
from graft.foundation.progress import progress, say
from graft.params.examination import check_file
from graft.params.recipes import compose
from graft.params.yaml_tree import write_tree

ROOT = Path(__file__).resolve().parents[2]
WORK, ZOO = ROOT / "build/zoo", ROOT / "zoo"
BASE = "pretrain-scenes"

ARCHITECTURES = {
    "lraspp": {"name": "lraspp"},
    "fpn-mobilenetv3-small": {"name": "fpn", "encoder": "tu-mobilenetv3_small_100"},
    "unet-mobilenetv3-small": {"name": "unet", "encoder": "tu-mobilenetv3_small_100"},
}
MIXED = "day,dusk,night,rain,fog,snow,night_rain"
# Name -> (domains, share of the epochs), in an order in which DVC draws each set of scenes only once.
SCHOOLINGS = {"day": ("day", 1.0), "day-quarter": ("day", 0.25), "mixed": (MIXED, 1.0)}

SCALES: dict[str, dict[str, Any]] = {
    "full": {"num_train": 1500, "num_val": 60, "num_test": 100, "width_px": 192, "height_px": 128, "epochs": 8},
    "tiny": {"num_train": 8, "num_val": 4, "num_test": 4, "width_px": 96, "height_px": 64, "epochs": 4},
}
# File of a candidate -> output of the pipeline that it is a copy of.
FILES = {
    "weights.safetensors": "models/fine_tuned/model.safetensors",
    "spec.json": "models/fine_tuned/spec.json",
    "metrics.json": "reports/evaluation/metrics.json",
    "fine_tune_record.json": "reports/records/fine-tune.json",
    "evaluate_record.json": "reports/records/evaluate.json",
}


def main(pattern: str = "*") -> None:
    """Makes the candidates whose name fits the pattern, then the list of all finished candidates."""
    plans = make_plans(os.environ.get("GRAFT_ZOO_SCALE", "full"))
    ZOO.mkdir(exist_ok=True)
    wanted = {name: plan for name, plan in plans.items() if fnmatch(name, pattern)}
    with lock_zoo():
        for name, plan in progress(wanted.items(), "Making the zoo", total=len(wanted), unit="candidate"):
            if is_finished(name, plan):
                say(f"{name}: finished already")
            else:
                make(name, plan)
        write_candidates([name for name, plan in plans.items() if is_finished(name, plan)])
    print(
        f"zoo: {len(list(ZOO.glob('*/card.json')))} models in {ZOO}; next: graft select zoo/candidates.yaml --verify 4"
    )


@contextmanager
def lock_zoo() -> Iterator[None]:
    """Refuses to run while another make zoo is running, whose params it would change."""
    from filelock import FileLock, Timeout

    WORK.parent.mkdir(exist_ok=True)
    try:
        with FileLock(WORK.with_suffix(".lock"), timeout=0):
            yield
    except Timeout:
        raise GraftError("another make zoo is running", where=WORK, remedy="wait for it to end") from None


def make_plans(scale: str) -> dict[str, dict[str, Any]]:
    """The changes to the recipe that make each candidate, by name."""
    if scale not in SCALES:
        raise GraftError(f"GRAFT_ZOO_SCALE is {scale!r}", rule=f"it is one of {', '.join(SCALES)}")
    return {
        f"{architecture}-{schooling}": make_plan(architecture, schooling, scale)
        for schooling in SCHOOLINGS
        for architecture in ARCHITECTURES
    }


def make_plan(architecture: str, schooling: str, scale: str) -> dict[str, Any]:
    """The changes that turn the recipe of the bundled weights into a candidate's params, by dotted key."""
    size = dict(SCALES[scale])
    domain, share = SCHOOLINGS[schooling]
    epochs = round(size.pop("epochs") * share)
    return {
        "model": ARCHITECTURES[architecture],
        "ingest.source": {"name": "scenes", "domain": domain, **size},
        "augment.crop": {"height_px": size["height_px"], "width_px": size["width_px"]},
        "fine_tune.epochs": epochs,
        "fine_tune.warmup_epochs": min(1, epochs - 1),
        "fine_tune.averaging": "none",
        "evaluate.bootstrap_samples": 100,
        "validate.min_class_fraction": 0.0,
    }


def write_params(plan: dict[str, Any], path: Path) -> None:
    """Writes and checks the complete params file of a candidate."""
    tree = compose(BASE)
    for key, value in plan.items():
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[last] = value
    write_tree(path, tree)
    check_file(path)


def make(name: str, plan: dict[str, Any]) -> None:
    """Pretrains a candidate in a clone of the last commit, so that its record names code that can be found."""
    if not (WORK / ".git").is_dir():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(WORK)], check=True)
    git("fetch", "--quiet", "origin")
    git("reset", "--quiet", "--hard", "origin/HEAD")
    write_params(plan, WORK / "params.yaml")
    if git("status", "--porcelain", "--untracked-files=no"):
        identity = ("-c", "user.name=make zoo", "-c", "user.email=zoo@localhost")
        git(*identity, "commit", "--quiet", "--all", "--message", f"Params of {name}")
    environment = os.environ | {"GRAFT_TRACKING": "off", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["graft", "fix"], cwd=WORK, env=environment, check=True)
    subprocess.run(["dvc", "repro", "evaluate"], cwd=WORK, env=environment, check=True)
    pending, place = ZOO / f".tmp-{name}", ZOO / name
    shutil.rmtree(pending, ignore_errors=True)
    pending.mkdir()
    for target, source in FILES.items():
        shutil.copyfile(WORK / source, pending / target)
    write_json(pending / "card.json", make_card(name, plan, pending))
    shutil.rmtree(place, ignore_errors=True)
    pending.rename(place)


def make_card(name: str, plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The card of a candidate: the model, how it was made, and its score on its own test scenes."""
    return {
        "name": name,
        "sha256": sha256_of(folder / "weights.safetensors"),
        "licence": "Apache-2.0",
        "model": plan["model"],
        "trained_on": f"synthetic streets: {plan['ingest.source']['domain']}",
        "epochs": plan["fine_tune.epochs"],
        "mean_iou": read_json(folder / "metrics.json")["mean_iou"],
        "commit": git("rev-parse", "HEAD"),
        "plan": content_digest(plan),
    }


def is_finished(name: str, plan: dict[str, Any]) -> bool:
    """Tells whether a candidate is complete and was made by this plan."""
    if not (ZOO / name / "card.json").is_file():
        return False
    known = read_json(ZOO / name / "card.json")
    weights = ZOO / name / "weights.safetensors"
    return known["plan"] == content_digest(plan) and weights.is_file() and sha256_of(weights) == known["sha256"]


def write_candidates(names: list[str]) -> None:
    """Writes the list that `graft select` reads: these candidates, and each architecture with random initialisation."""
    entries: list[dict[str, Any]] = []
    for name in names:
        known = read_json(ZOO / name / "card.json")
        path = f"{ZOO.name}/{name}/weights.safetensors"
        source = {"name": "file", "path": path, "sha256": known["sha256"], "licence": known["licence"]}
        published = {"metric": "mean_iou", "value": known["mean_iou"], "on": known["trained_on"]}
        entries.append({"name": name, "model": known["model"], "source": source, "published": published})
    for name, model in ARCHITECTURES.items():
        entries.append({"name": f"{name}-random", "model": model, "source": {"name": "none"}})
    yaml = YAML()
    yaml.width = 4096
    with (ZOO / "candidates.yaml").open("w", encoding="utf-8") as file:
        file.write("# Written by make zoo. Run: graft select zoo/candidates.yaml\n")
        yaml.dump({"segmentation": entries}, file)


def git(*arguments: str) -> str:
    """Runs git in the clone; returns its output."""
    return subprocess.run(["git", *arguments], cwd=WORK, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except (GraftError, subprocess.CalledProcessError) as error:
        sys.exit(f"zoo: {error}")
    except KeyboardInterrupt:
        sys.exit("zoo: interrupted; run make zoo again to continue")
