#!/usr/bin/env bash
# What another machine computed, looked at on this one: pulled with nothing executed, and compared digest by digest.
. "$(dirname "$0")/environment.sh"

dvc pull
dvc status --json | python ci/staleness.py --complete
python ci/digests.py
