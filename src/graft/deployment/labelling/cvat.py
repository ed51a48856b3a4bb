"""CVAT: one XML file, "CVAT for images 1.1", and the labels that a new task is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from graft.deployment.labelling.handover import IMAGES, DrawnImage, Handover, background_of, drawn_classes
from graft.deployment.labelling.regions import Region, encode_runs
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json

ANNOTATIONS, LABELS = "annotations.xml", "labels.json"
PROPOSED = "auto"  # as CVAT marks what no person drew


def cvat(folder: Path, images: Sequence[DrawnImage], classes: ClassMap) -> Handover:
    """Polygons or masks for segmentation, for classification a tag; `labels.json` is pasted into a task's labels.

    docs.cvat.ai, "CVAT for images 1.1": what it exports in the same form the source `cvat` reads.
    """
    ids = drawn_classes(classes)
    colour = {id: "#{:02x}{:02x}{:02x}".format(*classes.colors[id]) for id in ids}
    root = Xml.Element("annotations")
    Xml.SubElement(root, "version").text = "1.1"
    _describe_task(root, len(images), {classes.names[id]: colour[id] for id in ids})
    for number, image in enumerate(images):
        place = {"id": str(number), "name": image.name, "width": str(image.width), "height": str(image.height)}
        element = Xml.SubElement(root, "image", place)
        if image.label is not None:
            Xml.SubElement(element, "tag", {"label": image.label, "source": PROPOSED})
        for one in image.outlines:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in one.corners)
            Xml.SubElement(element, "polygon", _said(classes.names[one.class_id]) | {"points": points})
        for region in image.regions:
            Xml.SubElement(element, "mask", _said(classes.names[region.class_id]) | _mask(region))
    Xml.indent(root)
    Xml.ElementTree(root).write(folder / ANNOTATIONS, encoding="utf-8", xml_declaration=True)
    write_json(folder / LABELS, [{"name": classes.names[id], "color": colour[id], "attributes": []} for id in ids])
    opening = (
        f"make a task of {IMAGES}, with {LABELS} as its labels (Raw); "
        f"then upload {ANNOTATIONS} as annotations, CVAT 1.1"
    )
    source: dict[str, Any] = {"name": "cvat", "classes": [classes.names[id] for id in ids]}
    if classes.task == "segmentation":
        source["background"] = background_of(classes)
    return Handover(opening, "export the task as CVAT for images 1.1, with its images", source)


def _describe_task(root: Xml.Element, num_images: int, colours: dict[str, str]) -> None:
    """Adds `meta`, without which other readers of the format refuse the file; CVAT itself passes over it."""
    task = Xml.SubElement(Xml.SubElement(root, "meta"), "task")
    for name, text in (("name", "label-next"), ("size", str(num_images)), ("mode", "annotation")):
        Xml.SubElement(task, name).text = text
    labels = Xml.SubElement(task, "labels")
    for name, colour in colours.items():
        label = Xml.SubElement(labels, "label")
        Xml.SubElement(label, "name").text = name
        Xml.SubElement(label, "color").text = colour
        Xml.SubElement(label, "attributes")


def _said(label: str) -> dict[str, str]:
    return {"label": label, "source": PROPOSED, "occluded": "0", "z_order": "0"}


def _mask(region: Region) -> dict[str, str]:
    """Run lengths row by row within the box, not down the columns of the image as in COCO (cvat-ai/cvat issue 6777)."""
    height, width = region.pixels.shape
    box = {"left": region.left, "top": region.top, "width": width, "height": height}
    runs = ", ".join(map(str, encode_runs(region.pixels)))
    return {"rle": runs} | {name: str(value) for name, value in box.items()}
