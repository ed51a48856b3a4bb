"""The request to a served model, as a person copies it out of the README or the model card."""

from __future__ import annotations

from graft.models.address import CHAMPION, ModelAddress, registered_name

URL, FILE = "http://127.0.0.1:5001/invocations", "street.jpg"

CURL = f"""\
echo "{{\\"inputs\\": {{\\"image\\": [\\"$(base64 < {FILE} | tr -d '\\n')\\"]}}}}" |
  curl --silent --data @- --header 'Content-Type: application/json' {URL}"""

PYTHON = f"""\
import base64, json, urllib.request

image = base64.b64encode(open("{FILE}", "rb").read()).decode()
body = json.dumps({{"inputs": {{"image": [image]}}}}).encode()
request = urllib.request.Request("{URL}", body, {{"Content-Type": "application/json"}})
answer = json.load(urllib.request.urlopen(request))["predictions"][0]"""

ANSWERS = {
    "segmentation": "`mask` (a PNG in the values of your masks, base64) and `class_shares`",
    "classification": "`label` and `probabilities`",
    "multilabel": "`labels`, `probabilities` and `thresholds`",
}


def serve_command(task: str) -> str:
    """The command that serves the champion of a task."""
    return f"mlflow models serve -m {ModelAddress(registered_name(task), alias=CHAMPION)} -p 5001 --env-manager local"


def load_example(task: str) -> str:
    """The lines of Python that predict with the champion of a task without a server."""
    told = {"segmentation": "class_ids", "classification": "label", "multilabel": "labels"}
    use = f"{told[task]}, answer.confidence"
    address = ModelAddress(registered_name(task), alias=CHAMPION)
    return f"""\
import graft

model = graft.load("{address}")
for answer in model.predict(["{FILE}"]):
    print(answer.{use}, answer.class_names, answer.version)"""
