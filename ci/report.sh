#!/usr/bin/env bash
# report.sh FILE: writes the report of this result and shows it on the summary page of the job.
. "$(dirname "$0")/environment.sh"
mkdir -p "$(dirname "$1")"
python ci/report.py >"$1"
summarise "$1"
