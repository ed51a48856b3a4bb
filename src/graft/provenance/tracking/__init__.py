"""The one door to MLflow: the store and its runs, the registry, versions of a model, publishing."""
