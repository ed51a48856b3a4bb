#!/usr/bin/env bash
# attest.sh BUNDLE: writes an in-toto statement for each stage and the model card, and verifies it as an outsider would.
. "$(dirname "$0")/environment.sh"
mkdir -p "$(dirname "$1")"
graft attest --out "$1"
graft verify "$1" --model models/exported
