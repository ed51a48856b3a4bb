#!/usr/bin/env bash
# The workflow files: their schema, and what could be turned against the repository. Needs no network.
. "$(dirname "$0")/environment.sh"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
zizmor --offline --quiet .github/workflows
