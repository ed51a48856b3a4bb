#!/usr/bin/env bash
# champion.sh FILE: what is live, since when and why; on the summary page and in a file.
. "$(dirname "$0")/environment.sh"
mkdir -p "$(dirname "$1")"
{ echo '```'; graft champion ${MODEL_NAME:+-- "$MODEL_NAME"}; echo '```'; } >"$1"
summarise "$1"
