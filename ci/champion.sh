#!/usr/bin/env bash
# champion.sh FILE: writes the current champion, since when and why, to a file and to the summary page.
. "$(dirname "$0")/environment.sh"
mkdir -p "$(dirname "$1")"
{ echo '```'; graft champion ${MODEL_NAME:+-- "$MODEL_NAME"}; echo '```'; } >"$1"
summarise "$1"
