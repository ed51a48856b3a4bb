#!/usr/bin/env bash
# Pulls data, models and the run cache, so that nothing is computed again that was computed here or elsewhere.
. "$(dirname "$0")/environment.sh"

if ! has_remote; then
    notice "no DVC remote is configured (GRAFT_REMOTE): everything is computed here"
    exit 0
fi
if [ ! -f dvc.lock ]; then
    dvc fetch --quiet --run-cache || notice "the remote holds no run cache yet"
    exit 0
fi
# A result whose training was cut off is half there: what is missing gets computed, so it is not an error.
dvc pull --run-cache --allow-missing || notice "the remote does not hold all that dvc.lock names; dvc repro computes the rest"
