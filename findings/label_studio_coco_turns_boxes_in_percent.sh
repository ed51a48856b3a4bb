#!/usr/bin/env bash
# label-studio-sdk 2.1.2: the COCO export of a turned rectangle is wrong on every image that is not square.
#
# Label Studio keeps boxes in percent of width and of height, and an angle about the left upper corner. An angle is one of pixels: on an
# image of 200 x 100 a percent is two pixels wide and one high. The converter to COCO turns the
# box in percent and scales the result, so position and sides are off, by as much as the image is longer than high; nothing warns, and
# boxes that are not turned are right. The converter to YOLO's oriented boxes, in the same package, turns in pixels. Who needs masks
# or boxes of turned rectangles reads the JSON export and scales before turning.
#
# Seen: a box of 40 x 20 pixels at (80, 40), turned by 90 degrees, covers x 60 to 80, y 40 to 80. COCO says x 40 to 80, y 40 to 60.
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check label-studio-sdk==2.1.2
cat >turned.py <<'PY'
import json
from pathlib import Path

from label_studio_sdk.converter import Converter

SETUP = """<View><Image name="image" value="$image"/>
<RectangleLabels name="label" toName="image"><Label value="car"/></RectangleLabels></View>"""
WIDTH, HEIGHT = 200, 100

value = {"x": 40, "y": 40, "width": 20, "height": 20, "rotation": 90, "rectanglelabels": ["car"]}  # percent
region = {"id": "a", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}
region |= {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
tasks = [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"id": 1, "result": [region]}]}]
Path("tasks.json").write_text(json.dumps(tasks))
converter = Converter(SETUP, ".", download_resources=False)

converter.convert_to_coco("tasks.json", "coco", output_image_dir="coco/images", is_dir=False)
x, y, width, height = json.loads(Path("coco/result.json").read_text())["annotations"][0]["bbox"]
print("coco", *(round(number) for number in (x, y, x + width, y + height)))

converter.convert_to_yolo("tasks.json", "oriented", is_dir=False, is_obb=True)
(file,) = Path("oriented/labels").glob("*.txt")
corners = [float(number) for number in file.read_text().split()[1:]]
xs, ys = [WIDTH * number for number in corners[::2]], [HEIGHT * number for number in corners[1::2]]
print("oriented", *(round(number) for number in (min(xs), min(ys), max(xs), max(ys))))
PY
env/bin/python turned.py >seen.txt 2>log.txt || { cat log.txt; exit 1; }
echo "label-studio-sdk 2.1.2, left, top, right and bottom of the turned box:"
cat seen.txt
grep -qx "coco 40 40 80 60" seen.txt
grep -qx "oriented 60 40 80 80" seen.txt
