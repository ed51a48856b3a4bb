"""CVAT: one XML file, "CVAT for images 1.1", and the labels that a new task is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from graft.deployment.labelling.handover import IMAGES, DrawnImage, Handover, coco_source, drawn_classes
from graft.foundation.class_map import ClassMap
from graft.foundation.content import write_json

ANNOTATIONS, LABELS = "annotations.xml", "labels.json"
PROPOSED = "auto"  # as CVAT marks what no person drew


def cvat(folder: Path, images: Sequence[DrawnImage], classes: ClassMap) -> Handover:
    """Polygons for segmentation, for classification a tag of the image; `labels.json` is pasted into a task's labels.

    docs.cvat.ai, "CVAT for images 1.1". Masks come back by its export "COCO 1.0", which the source `coco` reads.
    """
    root = Xml.Element("annotations")
    Xml.SubElement(root, "version").text = "1.1"
    for number, image in enumerate(images):
        place = {"id": str(number), "name": image.name, "width": str(image.width), "height": str(image.height)}
        element = Xml.SubElement(root, "image", place)
        if image.label is not None:
            Xml.SubElement(element, "tag", {"label": image.label, "source": PROPOSED})
        for one in image.outlines:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in one.points)
            said = {"label": classes.names[one.class_id], "source": PROPOSED, "occluded": "0", "z_order": "0"}
            Xml.SubElement(element, "polygon", said | {"points": points})
    Xml.indent(root)
    Xml.ElementTree(root).write(folder / ANNOTATIONS, encoding="utf-8", xml_declaration=True)
    ids = drawn_classes(classes)
    colour = {id: "#{:02x}{:02x}{:02x}".format(*classes.colors[id]) for id in ids}
    write_json(folder / LABELS, [{"name": classes.names[id], "color": colour[id], "attributes": []} for id in ids])
    opening = (
        f"make a task of {IMAGES}, with {LABELS} as its labels (Raw); "
        f"then upload {ANNOTATIONS} as annotations, CVAT 1.1"
    )
    if classes.task == "segmentation":
        return Handover(opening, "export the task as COCO 1.0, with its images", coco_source(classes))
    return Handover(opening, "export the task as ImageNet 1.0, a folder for each class", {"name": "image_folder"})
