#!/usr/bin/env bash
# Pushes what the stages wrote, including the finished stages of an interrupted job, and the run cache.
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
