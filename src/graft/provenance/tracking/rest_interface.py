"""The REST interface of an MLflow server, as far as reading the registry needs it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

SECONDS = 60.0
# Variables of MLflow's client that are understood here; with any other, which may change how it connects, it is asked.
UNDERSTOOD = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
OTHER_WAYS = ("MLFLOW_TRACKING_", "MLFLOW_REGISTRY_", "MLFLOW_WORKSPACE")
OWN_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # the library below MLflow's client reads these


class Unanswered(Exception):  # noqa: N818  (a question for MLflow's own client, not a mistake)
    """MLflow's own client has to be asked."""


@dataclass(frozen=True)
class RestInterface:
    """A server that is asked by HTTP.

    Attributes:
        uri: Its address.
    """

    uri: str

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """The answer to a question; None where what it asks for does not exist.

        Args:
            path: Path below `/api/2.0`.
            query: Values to ask with.

        Raises:
            Unanswered: The server does not answer, or refuses.
        """
        try:
            with self.open(f"{path}?{urlencode(query)}") as answer:
                content = json.load(answer)
        except (OSError, ValueError, http.client.HTTPException):
            raise Unanswered from None
        except _Absent:
            return None
        if not isinstance(content, dict):
            raise Unanswered
        return content

    def open(self, path: str) -> Any:
        """Opens what a path below `/api/2.0` sends; raises as `get`, and `OSError` where it breaks off."""
        ways = OTHER_WAYS + (OWN_CERTIFICATES if self.uri.startswith("https:") else ())
        if any(name.startswith(ways) and name not in UNDERSTOOD for name in os.environ):
            raise Unanswered
        request = urllib.request.Request(f"{self.uri.rstrip('/')}/api/2.0/{path}", headers=_authorization())
        try:
            return urllib.request.urlopen(request, timeout=SECONDS)
        except urllib.error.HTTPError as error:
            kind = _Absent if _says_absent(error.read()) else Unanswered
            raise kind from None
        except OSError:
            raise Unanswered from None


class _Absent(Exception):  # noqa: N818
    """The server says that there is no such thing."""


def _says_absent(body: bytes) -> bool:
    """Whether a refusal is one of MLflow and says that something does not exist; of an alias it says so in words."""
    try:
        refusal = json.loads(body)
        return refusal["error_code"] == "RESOURCE_DOES_NOT_EXIST" or "not found" in refusal["message"]
    except (ValueError, LookupError, TypeError):
        return False


def _authorization() -> dict[str, str]:
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    if user and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"} if token else {}
