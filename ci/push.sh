#!/usr/bin/env bash
# What the stages wrote, finished ones of an interrupted job included, and the run cache that finds it again.
. "$(dirname "$0")/environment.sh"

if ! has_remote; then
    notice "no DVC remote is configured (GRAFT_REMOTE): the results stay on this machine"
    exit 0
fi
if [ ! -f dvc.lock ]; then
    notice "no stage has finished: there is nothing to push"
    exit 0
fi
dvc push --run-cache
