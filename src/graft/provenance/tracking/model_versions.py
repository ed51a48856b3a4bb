"""Versions of the registered model: found by the digest of their files, registered once, downloaded and compared.

MLflow's fluent functions serve where its client has none: to log a model, and to download one.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from graft.foundation.content import digest_of, digest_of_listing, listing
from graft.foundation.errors import GraftError
from graft.models.address import CANDIDATE, CHAMPION, ModelAddress
from graft.provenance.tracking import local_store, mlflow_store, quick_client, registry, runs
from graft.provenance.tracking.rest_interface import Unanswered

LOOK_UP = "look at the versions and aliases in the MLflow UI, or run graft publish"

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from graft.provenance.tracking.mlflow_store import MlflowClient


def find_holder(mlflow_client: MlflowClient, name: str, model_digest: str) -> ModelVersion | None:
    """Finds the version that holds the model of this digest: the first, where several people registered it."""
    versions = registry.find_versions(mlflow_client, name)
    return next((version for version in versions if version.tags.get(mlflow_store.MODEL_DIGEST) == model_digest), None)


def register(
    mlflow_client: MlflowClient,
    name: str,
    run_id: str,
    model: Path,
    tags: Mapping[str, str],
    scores: Mapping[str, float],
) -> ModelVersion:
    """Logs the exported model as a pyfunc of this run and registers it as a new version of `name`.

    The served model is told the digest of the exported files, which it compares before it opens them; the version is
    tagged with the digest of all that was logged. The scores stand on the page of the logged model.
    """
    import mlflow
    from mlflow.models import ModelSignature

    from graft.deployment.serving import signature

    inputs, outputs, example = signature.describe(model)
    with _silence(), mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(signature.__file__).with_name("model.py")),
            artifacts={"model": str(model)},
            # MLflow would judge a request by a schema of inputs first, and answer with all of it.
            signature=ModelSignature(outputs=mlflow.models.infer_signature(inputs, outputs).outputs),
            input_example=example,
            pip_requirements=signature.requirements(),
            model_config={mlflow_store.MODEL_DIGEST: tags[mlflow_store.MODEL_DIGEST]},
        )
        with tempfile.TemporaryDirectory() as folder:
            mlflow.artifacts.download_artifacts(artifact_uri=logged.model_uri, dst_path=folder)
            served = {mlflow_store.SERVED_DIGEST: served_digest(Path(folder))}
        # MLflow tags the logged model with the path of the script that ran.
        mlflow_client.set_logged_model_tags(logged.model_id, {"mlflow.source.name": "graft export"})
        started = mlflow_client.get_run(run_id).info.start_time
        runs.log_curves(
            mlflow_client, run_id, [(key, value, 0) for key, value in scores.items()], started, logged.model_id
        )
        made = mlflow.register_model(logged.model_uri, name, tags={**tags, **served})
    return _keep_first(mlflow_client, made)


def _keep_first(mlflow_client: MlflowClient, made: ModelVersion) -> ModelVersion:
    """Keeps the first of several versions of a model that people registered at once; the server numbers them."""
    first = find_holder(mlflow_client, made.name, made.tags[mlflow_store.MODEL_DIGEST]) or made
    if first.version != made.version:
        double = f"double of version {first.version}"
        mlflow_client.set_model_version_tag(made.name, made.version, mlflow_store.MODEL_DIGEST, double)
        with mlflow_store.ignore_refusal():
            mlflow_client.delete_model_version(made.name, made.version)
    return first


def served_digest(folder: Path) -> str:
    """The digest of a logged model: all files but the one that MLflow adds to each download of a version."""
    return digest_of_listing({name: sha for name, sha in listing(folder).items() if name != "registered_model_meta"})


def describe(mlflow_client: MlflowClient, name: str, version: str, text: str) -> None:
    """Describes a new version in Markdown, and the model too where nobody has."""
    mlflow_client.update_model_version(name, version, description=text)
    if not mlflow_client.get_registered_model(name).description:
        about = (
            f"Exported by Graft. `{CANDIDATE}` is the version the workspace holds, `{CHAMPION}` the one in "
            "force: `graft promote` and `graft rollback` move it, and `graft audit` reports any other move."
        )
        mlflow_client.update_registered_model(name, description=about)


def find_numbered(uri: str) -> tuple[ModelAddress, ModelVersion]:
    """Finds the version at an address; returns it after its address by number, which stays when an alias moves.

    Raises:
        GraftError: There is no such model, version or alias, or the store does not answer.
    """
    with mlflow_store.explain_refusals():
        return _find_numbered(quick_client.open_quickly(), uri)


def _find_numbered(store: MlflowClient, uri: str) -> tuple[ModelAddress, ModelVersion]:
    address = ModelAddress.parse(uri)
    version = registry.find_version(store, address)
    if version is None:
        raise GraftError("no such model", where=uri, remedy=LOOK_UP)
    return ModelAddress(address.name, int(version.version)), version


def download_model(uri: str, into: Path) -> Path:
    """Finds the exported files of a registered model such as `models:/graft-segmentation@candidate`, and compares them.

    Args:
        uri: Address of the model.
        into: Existing folder to download to; files of a local store are read where they lie.

    Raises:
        GraftError: There is no such model, version or alias, the store does not answer, or the bytes that came are not
            those that were registered, or nothing says which those are.
    """
    with mlflow_store.explain_refusals():
        store = quick_client.open_quickly()
        address, version = _find_numbered(store, uri)
    registered = version.tags.get(mlflow_store.MODEL_DIGEST)
    remedy = "do not use this model; graft audit names what was changed"
    if registered is None:
        rule = (
            f"a model is compared with its tag {mlflow_store.MODEL_DIGEST}, which graft publish sets, before it is used"
        )
        raise GraftError(
            "the digest of this version is gone from the registry", where=address, rule=rule, remedy=remedy
        )
    exported = _fetch_exported(store, address, into)
    if digest_of(exported) != registered:
        raise GraftError(
            "the files in the artifact store are not those that were registered",
            where=address,
            rule=f"their digest is {registered}",
            remedy=remedy,
        )
    return exported


def _fetch_exported(store: MlflowClient, address: ModelAddress, into: Path) -> Path:
    if isinstance(store, quick_client.QuickClient):
        with contextlib.suppress(Unanswered):
            return store.reader.fetch_exported(address, into)
    return download_version(address, into) / "artifacts" / "exported"


def download_version(address: ModelAddress, into: Path) -> Path:
    """Downloads the whole logged model of a version, as the artifact store holds it: nothing is compared.

    Raises:
        mlflow_store.Unreachable: The store refuses, which is not the same as files that are gone.
        GraftError: There is no such version, or its files are gone, or lie where the folder was before it was moved.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    local_store.refuse_other_place(mlflow_store.store_uri())
    with mlflow_store.explain_refusals():
        try:
            folder = mlflow.artifacts.download_artifacts(artifact_uri=str(address), dst_path=str(into))
        except (MlflowException, OSError) as error:
            if not mlflow_store.is_absence(error):
                raise
            raise GraftError(f"no such model: {error}", where=address, remedy=LOOK_UP) from None
    return Path(folder)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silences MLflow, which reports every registration on stdout and stderr."""
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
