"""Exchanges the identity of this job for a token that ends with it; no key lies anywhere.

GitHub signs who the job is (repository, branch, environment). The team's token endpoint (`GRAFT_TOKEN_URL`, RFC 8693)
checks that and answers with a short-lived token, which MLflow sends as `Authorization: Bearer`.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.parse
import urllib.request
from pathlib import Path

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
SECONDS_TO_ANSWER = 20.0


def identity(audience: str) -> str:
    """The signed statement of GitHub who this job is, for one audience."""
    address = os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&" + urllib.parse.urlencode({"audience": audience})
    bearer = {"Authorization": f"Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(address, headers=bearer), timeout=SECONDS_TO_ANSWER) as answer:
        return str(json.load(answer)["value"])


def exchanged(token: str, address: str, audience: str) -> str:
    """The access token that the team's endpoint gives for this identity."""
    form = {
        "grant_type": EXCHANGE,
        "subject_token": token,
        "subject_token_type": ID_TOKEN,
        "audience": audience,
    }
    request = urllib.request.Request(address, data=urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as answer:
        return str(json.load(answer)["access_token"])


def main() -> int:
    """Writes the token into the environment of the next steps; exit status 2 where one is asked for and none is had."""
    endpoint, audience = os.environ.get("GRAFT_TOKEN_URL", ""), os.environ.get("MLFLOW_TRACKING_URI", "")
    if not endpoint:
        print("credentials: GRAFT_TOKEN_URL is not set; MLflow is asked with what the environment holds")
        return 0
    if "ACTIONS_ID_TOKEN_REQUEST_URL" not in os.environ:
        print("credentials: this job has no identity: it needs the permission id-token: write", file=sys.stderr)
        return 2
    token = exchanged(identity(audience), endpoint, audience)
    print(f"::add-mask::{token}")
    with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as environment:
        environment.write(f"MLFLOW_TRACKING_TOKEN={token}\n")
    print("credentials: a token for MLflow, until this job ends")
    return 0


if __name__ == "__main__":
    sys.exit(main())
