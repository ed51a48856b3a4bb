#!/usr/bin/env bash
# Before a machine is kept busy for hours: driver, disk, environment, and whether it computes the same twice.
. "$(dirname "$0")/environment.sh"
graft check
graft doctor
python ci/determinism.py
