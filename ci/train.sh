#!/usr/bin/env bash
# Runs all stale stages, those on the GPU included; MLflow receives the curves during training.
. "$(dirname "$0")/environment.sh"

graft fix >&2
if [ -n "$(ls -A .resume/ 2>/dev/null)" ]; then notice "an interrupted training is here: it goes on where it was"; fi
pull=()
if has_remote; then pull=(--pull); fi # of what the run cache knows, bring the files
dvc repro "${pull[@]}"
