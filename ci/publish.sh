#!/usr/bin/env bash
# Publishes to MLflow a run for each record and a version for the model, unless they exist.
. "$(dirname "$0")/environment.sh"

if [ -z "${MLFLOW_TRACKING_URI:-}" ]; then
    echo "ci: MLFLOW_TRACKING_URI is not set: a store on this machine would vanish with the job" >&2
    exit 2
fi
graft publish
