#!/usr/bin/env bash
# rebuild.sh MODEL: verifies every link of its lineage, then runs the pipeline again from the recorded commit, without a cache.
. "$(dirname "$0")/environment.sh"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

status=0
graft audit --rebuild -- "$1" | tee "$answer" || status=${PIPESTATUS[0]}
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then { echo '```'; cat "$answer"; echo '```'; } >>"$GITHUB_STEP_SUMMARY"; fi
if [ "$status" = 0 ] && grep -q "^missing *rebuild: could not be run" "$answer"; then status=2; fi
exit "$status"
