#!/usr/bin/env bash
# Checks the workflow files: their schema, and security problems. Needs no network.
. "$(dirname "$0")/environment.sh"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
zizmor --offline --quiet .github/workflows
