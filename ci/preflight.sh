#!/usr/bin/env bash
# Checks a machine before it is busy for hours: driver, disk, environment, and whether two equal steps give equal bits.
. "$(dirname "$0")/environment.sh"
graft check
graft doctor
python ci/determinism.py
