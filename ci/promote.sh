#!/usr/bin/env bash
# promote.sh KIND: promote, override, rollback or freeze; exit status 3 when the gate refuses.
#   MODEL_NAME, MODEL_VERSION, REASON   inputs of the workflow; an empty version is the candidate
. "$(dirname "$0")/environment.sh"
table=$(mktemp)
trap 'rm -f "$table"' EXIT

name=(${MODEL_NAME:+-- "$MODEL_NAME"}) # behind --, what was typed is a name and never an option
version=(${MODEL_VERSION:+--version "$MODEL_VERSION"})
reason=(${REASON:+--reason "$REASON"})
case $1 in
promote) command=(graft promote "${version[@]}" "${reason[@]}" "${name[@]}") ;;
override) command=(graft promote "${version[@]}" --override "${reason[@]}" "${name[@]}") ;; # it refuses without a reason
freeze) command=(graft freeze "${version[@]}" "${reason[@]}" "${name[@]}") ;;
rollback) command=(graft rollback "${reason[@]}" "${name[@]}") ;;
*) echo "ci: $1 is none of promote, override, rollback, freeze" >&2 && exit 2 ;;
esac

status=0
"${command[@]}" | tee "$table" || status=${PIPESTATUS[0]}
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then { echo '```'; cat "$table"; echo '```'; } >>"$GITHUB_STEP_SUMMARY"; fi
exit "$status"
