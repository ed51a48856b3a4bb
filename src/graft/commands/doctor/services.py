"""Checks of the services a workspace depends on: DVC's cache and remote, the MLflow store."""

from __future__ import annotations

import configparser
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from graft.commands.doctor.diagnosis import Diagnosis, name_first
from graft.foundation.errors import GraftError
from graft.provenance.lineage.freshness import authorization
from graft.provenance.tracking import local_store
from graft.provenance.tracking.mlflow_store import is_off, store_uri

SECONDS_TO_ANSWER = 3.0
CONFIGS = (Path(".dvc/config"), Path(".dvc/config.local"))
PORTS = {"http": 80, "https": 443, "ssh": 22, "webdav": 80, "webdavs": 443, "postgresql": 5432, "mysql": 3306}


def dvc() -> Iterable[Diagnosis]:
    """Checks whether DVC's cache can be written to and its remote be reached."""
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read(CONFIGS, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        yield Diagnosis("DVC", "wrong", f"its configuration cannot be read: {reason}", "correct .dvc/config")
        return
    cache = Path(".dvc") / config.get("cache", "dir", fallback="cache")
    place = cache if cache.exists() else cache.parent
    if os.access(place, os.W_OK):
        yield Diagnosis("DVC cache", "ok", str(cache))
    else:
        yield Diagnosis("DVC cache", "wrong", f"{cache} cannot be written to", "dvc cache dir --local PLACE")
    name = config.get("core", "remote", fallback="")
    if not name:
        yield Diagnosis("DVC remote", "ok", "none is configured: results stay on this machine")
        return
    url = next((config.get(section, "url", fallback="") for section in config if f'remote "{name}"' in section), "")
    problem = _check_remote(url)
    remedy = f"repair the connection, or: dvc remote modify --local {name} url ADDRESS"
    yield (
        Diagnosis("DVC remote", "wrong", f"{_without_password(url)}: {problem}", remedy)
        if problem
        else Diagnosis("DVC remote", "ok", _without_password(url))
    )


def _check_remote(url: str) -> str:
    """Says why a remote cannot be used; empty if it can."""
    if not url:
        return "has no address"
    if "://" in url:
        return _check_address(url)
    folder = Path(".dvc", url)
    return "" if folder.is_dir() or os.access(folder.parent, os.W_OK) else "is not there and cannot be made"


def mlflow() -> Iterable[Diagnosis]:
    """Checks whether the store answers and accepts these credentials, without importing mlflow."""
    if is_off():
        yield Diagnosis("MLflow", "ok", "off (GRAFT_TRACKING=off)")
        return
    uri = store_uri()
    remedy = "start it or correct MLFLOW_TRACKING_URI; training works without, and graft publish completes the record"
    if database := local_store.database_of(uri):
        yield _check_local_store(uri, database)
        return
    problem = _check_address(uri) or (_check_credentials(uri) if uri.startswith("http") else "")
    if "401" in problem or "403" in problem:
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    yield (
        Diagnosis("MLflow", "wrong", f"{_without_password(uri)}: {problem}", remedy)
        if problem
        else Diagnosis("MLflow", "ok", _without_password(uri))
    )


def ledger_copy() -> Iterable[Diagnosis]:
    """Compares the copy of the ledger with a local store; what a server holds, `graft champion` says."""
    from graft.provenance.promotion import copy_origin, ledger

    try:
        names = sorted({entry.name for entry in ledger.read_copy(ledger.COPY)})
    except GraftError as error:
        yield Diagnosis("ledger", "wrong", f"{error.where}: {error.what}", error.remedy or "")
        return
    database = None if is_off() else local_store.database_of(store_uri())
    if not names or database is None:
        return
    strange = [
        name
        for name in names
        if not (database.is_file() and local_store.holds_versions(database, ledger.ledger_name(name)))
    ]
    if strange:
        fact = f"this store is your own: {ledger.COPY} is the copy of another store's ledger of {name_first(strange)}"
        yield Diagnosis("ledger", "warning", fact, f"{copy_origin.TEAM}; or {copy_origin.BEGIN}")
    else:
        yield Diagnosis("ledger", "ok", f"{ledger.COPY} and this store speak of {name_first(names)}")


def _check_local_store(uri: str, database: Path) -> Diagnosis:
    if not os.access(database.parent, os.W_OK):
        fact = f"{uri}: {database.parent} cannot be written to"
        return Diagnosis("MLflow", "wrong", fact, "give yourself the right to write there, or set MLFLOW_TRACKING_URI")
    if said := local_store.describe_place(database):
        return Diagnosis("MLflow", "wrong", said, "graft publish makes it say where they lie")
    return Diagnosis("MLflow", "ok", uri)


def _check_address(url: str) -> str:
    """Says why an address does not answer; empty if it does, or is in a cloud that only its own client can reach."""
    address = urlsplit(url)
    scheme = address.scheme.split("+")[0]
    if address.hostname is None or (scheme not in PORTS and address.port is None):
        return ""
    try:
        port = address.port or PORTS[scheme]
        socket.create_connection((address.hostname, port), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, ValueError) as error:
        return f"does not answer ({error})"
    return ""


def _check_credentials(uri: str) -> str:
    """Says why an MLflow server refuses these credentials; empty if it does not."""
    address = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search"
    headers = {"Content-Type": "application/json"} | authorization()
    request = urllib.request.Request(address, data=json.dumps({"max_results": 1}).encode(), headers=headers)
    try:
        urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER).close()
    except urllib.error.HTTPError as error:
        return f"answers {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return f"does not answer ({error})"
    return ""


def _without_password(url: str) -> str:
    """An address without the password in it."""
    address = urlsplit(url)
    return address._replace(netloc=address.netloc.rpartition("@")[2]).geturl() if address.password else url
