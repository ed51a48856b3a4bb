#!/usr/bin/env bash
# promote.sh KIND: promote, override or rollback; exit status 3 when the gate refuses.
#   MODEL_NAME, MODEL_VERSION, REASON   from whoever dispatched the workflow; VERSION empty: the candidate
. "$(dirname "$0")/environment.sh"
table=$(mktemp)
trap 'rm -f "$table"' EXIT

version=()
[ -z "${MODEL_VERSION:-}" ] || version=(--version "$MODEL_VERSION")
case $1 in
promote) command=(graft promote ${MODEL_NAME:+"$MODEL_NAME"} "${version[@]}") ;;
override) command=(graft promote ${MODEL_NAME:+"$MODEL_NAME"} "${version[@]}" --override --reason "${REASON:?a reason is needed}") ;;
rollback) command=(graft rollback ${MODEL_NAME:+"$MODEL_NAME"}) ;;
*) echo "ci: $1 is none of promote, override, rollback" >&2 && exit 2 ;;
esac

status=0
"${command[@]}" | tee "$table" || status=${PIPESTATUS[0]}
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then { echo '```'; cat "$table"; echo '```'; } >>"$GITHUB_STEP_SUMMARY"; fi
exit "$status"
