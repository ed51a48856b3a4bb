"""Versions of the registered model: found by the digest of what they hold, made once, downloaded and compared.

MLflow's fluent functions are used where its client has none: logging a model, and fetching one.
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
from graft.provenance.tracking import mlflow_store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from graft.provenance.tracking.mlflow_store import MlflowClient


def find_version(mlflow_client: MlflowClient, name: str, model_digest: str) -> ModelVersion | None:
    """The registered version that holds the model of this digest: the first, where several people registered it."""
    versions = mlflow_client.search_model_versions(f"name = '{name}'")
    holding = [version for version in versions if version.tags.get(mlflow_store.MODEL_DIGEST) == model_digest]
    return min(holding, key=lambda version: int(version.version), default=None)


def register(mlflow_client: MlflowClient, name: str, run_id: str, model: Path, tags: Mapping[str, str]) -> ModelVersion:
    """Logs the exported model as a pyfunc of this run and registers it as a new version of `name`.

    The served model is told the digest of the exported files, which it compares before it opens them; the version is
    tagged with the digest of all that was logged.
    """
    import mlflow

    from graft.deployment.serving import signature

    inputs, outputs, example = signature.described(model)
    with _quiet(), mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(signature.__file__).with_name("model.py")),
            artifacts={"model": str(model)},
            signature=mlflow.models.infer_signature(inputs, outputs),
            input_example=example,
            pip_requirements=signature.requirements(),
            model_config={mlflow_store.MODEL_DIGEST: tags[mlflow_store.MODEL_DIGEST]},
        )
        with tempfile.TemporaryDirectory() as folder:
            mlflow.artifacts.download_artifacts(artifact_uri=logged.model_uri, dst_path=folder)
            served = {mlflow_store.SERVED_DIGEST: served_digest(Path(folder))}
        made = mlflow.register_model(logged.model_uri, name, tags={**tags, **served})
    return _first_of_its_digest(mlflow_client, made)


def _first_of_its_digest(mlflow_client: MlflowClient, made: ModelVersion) -> ModelVersion:
    """The server numbers versions, so that of several people who register a model at once all name the same first."""
    first = find_version(mlflow_client, made.name, made.tags[mlflow_store.MODEL_DIGEST]) or made
    if first.version != made.version:
        double = f"double of version {first.version}"
        mlflow_client.set_model_version_tag(made.name, made.version, mlflow_store.MODEL_DIGEST, double)
        with mlflow_store.refusal_ignored():
            mlflow_client.delete_model_version(made.name, made.version)
    return first


def served_digest(folder: Path) -> str:
    """The digest of a logged model: all files but the one that MLflow adds to each download of a version."""
    return digest_of_listing({name: sha for name, sha in listing(folder).items() if name != "registered_model_meta"})


def describe(mlflow_client: MlflowClient, name: str, version: str, text: str) -> None:
    """Describes a new version in Markdown, and the model where nobody has."""
    mlflow_client.update_model_version(name, version, description=text)
    if not mlflow_client.get_registered_model(name).description:
        about = (
            f"Exported by Graft. `{mlflow_store.ALIAS}` is the version the workspace holds, `champion` the one in "
            "force: `graft promote` and `graft rollback` move it, and `graft audit` reports any other move."
        )
        mlflow_client.update_registered_model(name, description=about)


def point_candidate(mlflow_client: MlflowClient, name: str, version: str) -> None:
    """Points the alias `candidate` at a version."""
    mlflow_client.set_registered_model_alias(name, mlflow_store.ALIAS, version)


def version_behind(uri: str) -> str:
    """`models:/NAME/VERSION` for such an address, or for one with an alias as it stands now.

    Raises:
        GraftError: There is no such model, version or alias, or the store does not answer.
    """
    from mlflow.exceptions import MlflowException

    name, _, alias = uri.removeprefix("models:/").partition("@")
    with mlflow_store.answers_explained():
        store = mlflow_store.client()
    try:
        if alias:
            return f"models:/{name}/{store.get_model_version_by_alias(name, alias).version}"
        name, _, version = name.rpartition("/")
        return f"models:/{name}/{store.get_model_version(name, version).version}"
    except MlflowException as error:
        remedy = "look at the versions and aliases in the MLflow UI, or run graft publish"
        raise GraftError(f"no such model: {error.message}", where=uri, remedy=remedy) from None


def download_model(uri: str, into: Path) -> Path:
    """The folder of exported files inside a registered model such as `models:/graft-segmentation@candidate`.

    Args:
        uri: Of the model.
        into: An existing folder to download to.

    Raises:
        GraftError: There is no such model, version or alias, the store does not answer, or the bytes that came are not
            those that were registered, or nothing says which those are.
    """
    uri = version_behind(uri)
    name, _, version = uri.removeprefix("models:/").rpartition("/")
    registered = mlflow_store.client().get_model_version(name, version).tags.get(mlflow_store.MODEL_DIGEST)
    remedy = "do not use this model; graft audit names what was changed"
    if registered is None:
        rule = (
            f"a model is compared with its tag {mlflow_store.MODEL_DIGEST}, which graft publish sets, before it is used"
        )
        raise GraftError("the digest of this version is gone from the registry", where=uri, rule=rule, remedy=remedy)
    exported = download_version(uri, into) / "artifacts" / "exported"
    if digest_of(exported) != registered:
        raise GraftError(
            "the files in the artifact store are not those that were registered",
            where=uri,
            rule=f"their digest is {registered}",
            remedy=remedy,
        )
    return exported


def download_version(uri: str, into: Path) -> Path:
    """The whole logged model behind `models:/NAME/VERSION`, as the artifact store has it: nothing is compared.

    Raises:
        GraftError: There is no such version, its files are gone, or the store does not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))
    except (MlflowException, OSError) as error:
        remedy = "look at the versions and aliases in the MLflow UI, or run graft publish"
        raise GraftError(f"no such model: {error}", where=uri, remedy=remedy) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow greets every registration on stdout and stderr."""
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
