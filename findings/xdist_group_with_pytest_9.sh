#!/usr/bin/env bash
# pytest-xdist 3.8.0 under pytest 9.2.0: `--dist loadgroup` keeps no group together, and nothing is said.
#
# xdist's documentation: tests marked `xdist_group("g")` run in one worker. To do so a worker writes the name of the group behind the
# id of each test, by assigning the private attribute `_nodeid` of pytest's item, and the controller splits the ids there. In pytest
# 9.2.0 the id of an item is worked out from another attribute, so the assignment is accepted and has no effect: every test is a group
# of its own. Fixtures of session and module scope are then made in every worker. Under pytest 8.4.2 the same file keeps its group.
# What helps meanwhile: `--dist loadfile`, or a scheduler of one's own by the hook `pytest_xdist_make_scheduler`.
#
# Seen: "8.4.2: 1 worker" and "9.2.0: 2 workers". Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >test_group.py <<'PY'
import time

import pytest


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(6))
def test_slow(number):
    time.sleep(0.3)
PY
seen=""
for version in 8.4.2 9.2.0; do
    python3 -m venv "env-$version"
    "env-$version/bin/pip" install --quiet --disable-pip-version-check "pytest==$version" pytest-xdist==3.8.0
    workers=$("env-$version/bin/pytest" -p no:cacheprovider -n 2 --dist loadgroup -v test_group.py | grep -o '^\[gw[01]\]' | sort -u | wc -l)
    echo "pytest $version: $workers worker(s) for one group"
    seen="$seen $version:$workers"
done
[ "$seen" = " 8.4.2:1 9.2.0:2" ] || { echo "this has changed: $seen" >&2; exit 1; }
