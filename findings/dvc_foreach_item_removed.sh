#!/usr/bin/env bash
# DVC 3.67.1: when an item leaves a `foreach`, its outputs stay in the folder that later stages depend on; DVC then says that all is
# up to date, and a clone of the same commit builds something else.
#
# A stage may depend on a folder into which each instance of a `foreach` writes one subfolder, and adding an item works as one hopes:
# only the new instance runs, then what depends on the folder. One expects the reverse of taking an item out: the instance is no longer
# part of the pipeline, so its output is no longer part of the folder. But DVC deletes outputs only before it runs the stage that
# declares them, and digests a folder dependency by what lies in it. So nothing reruns, `dvc status` finds no change, and dvc.lock keeps
# the digest with the removed item in it. After a clone and `dvc checkout`, which restores only outputs that the pipeline still has, the
# same folder differs, and `dvc repro` there ends with another result from the same commit and params.
# What helps: let the later stages have the list of items as a param and read these items only, or remove the outputs along with the item.
#
# Seen: status "Data and pipelines are up to date." and a result "one two" in the workspace; "two" in the clone. Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$work/env/bin:$PATH" DVC_NO_ANALYTICS=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

mkdir -p workspace/raw/one workspace/raw/two
cd workspace
git init --quiet
dvc init --quiet
echo one >raw/one/words
echo two >raw/two/words
cat >params.yaml <<'YAML'
deliveries:
  one: {root: raw/one}
  two: {root: raw/two}
YAML
cat >dvc.yaml <<'YAML'
stages:
  ingest:
    foreach: ${deliveries}
    do:
      cmd: mkdir -p data/${key} && cp ${item.root}/words data/${key}/words
      deps:
        - ${item.root}
      outs:
        - data/${key}
  train:
    cmd: cat data/*/words | xargs > model
    deps:
      - data
    outs:
      - model
YAML
dvc repro --quiet
sed -i '/one:/d' params.yaml
dvc repro --quiet
here=$(cat model)
status=$(dvc status)
git add --all
git commit --quiet --message "One delivery fewer"

git clone --quiet . ../clone
cd ../clone
dvc cache dir --quiet --local "$work/workspace/.dvc/cache"
dvc checkout --quiet
dvc repro --quiet
there=$(cat model)

echo "dvc $(dvc --version): $status"
echo "workspace: $here; clone of the same commit: $there"
[ "$status" = "Data and pipelines are up to date." ] && [ "$here" = "one two" ] && [ "$there" = "two" ] ||
    { echo "this has changed" >&2; exit 1; }
