"""Exchanges the identity of this job for a short-lived token, so that no key is stored anywhere.

GitHub signs a statement of the job's identity (repository, branch, environment). The team's token endpoint
(`GRAFT_TOKEN_URL`, RFC 8693) checks it and returns a token, which MLflow sends as `Authorization: Bearer`.
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


def fetch_identity(audience: str) -> str:
    """Fetches GitHub's signed statement of this job's identity, for one audience."""
    address = os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&" + urllib.parse.urlencode({"audience": audience})
    bearer = {"Authorization": f"Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(address, headers=bearer), timeout=SECONDS_TO_ANSWER) as answer:
        return str(json.load(answer)["value"])


def exchange(token: str, address: str, audience: str) -> str:
    """Exchanges an identity for an access token at the team's endpoint."""
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
    """Writes the token into the environment of the next steps; returns 2 if one is needed and cannot be had."""
    endpoint, audience = os.environ.get("GRAFT_TOKEN_URL", ""), os.environ.get("MLFLOW_TRACKING_URI", "")
    if not endpoint:
        print("credentials: GRAFT_TOKEN_URL is not set; MLflow is asked with what the environment holds")
        return 0
    if "ACTIONS_ID_TOKEN_REQUEST_URL" not in os.environ:
        print("credentials: this job has no identity: it needs the permission id-token: write", file=sys.stderr)
        return 2
    token = exchange(fetch_identity(audience), endpoint, audience)
    print(f"::add-mask::{token}")
    with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as environment:
        environment.write(f"MLFLOW_TRACKING_TOKEN={token}\n")
    print("credentials: a token for MLflow, until this job ends")
    return 0


if __name__ == "__main__":
    sys.exit(main())
