#!/usr/bin/env bash
# Checks that the committed dvc.lock belongs to the committed code and params; needs no data.
. "$(dirname "$0")/environment.sh"

if ! is_committed dvc.lock; then
    notice "dvc.lock is not in git: no result has been published from this branch, so there is nothing that could be stale"
    exit 0
fi
dvc status --json | python ci/staleness.py
