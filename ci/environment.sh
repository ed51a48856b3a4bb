# Sourced by the scripts beside it: they run in the root of the repository, with its environment, remote and state.
#   GRAFT_REMOTE   where data, models and the run cache are shared: a mounted folder, or an address DVC knows
#   GRAFT_STATE    a folder that outlives the job on a GPU machine: DVC's cache and interrupted trainings
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ ! -d .venv/bin ] || export PATH="$PWD/.venv/bin:$PATH"
export DVC_NO_ANALYTICS=1 NO_ALBUMENTATIONS_UPDATE=1 MLFLOW_DISABLE_TELEMETRY=true

local_config=.dvc/config.local # dvc takes a second to start: it is asked once
if [ -n "${GRAFT_REMOTE:-}" ] && ! grep -qsxF "    url = $GRAFT_REMOTE" "$local_config"; then
    dvc remote add --quiet --local --force --default ci "$GRAFT_REMOTE"
fi
if [ -n "${GRAFT_STATE:-}" ]; then
    mkdir -p "$GRAFT_STATE/cache" "$GRAFT_STATE/resume"
    grep -qsxF "    dir = $GRAFT_STATE/cache" "$local_config" || dvc cache dir --quiet --local "$GRAFT_STATE/cache"
    [ -e .resume ] || ln -s "$GRAFT_STATE/resume" .resume # a checkout that git cleaned still finds what was trained
fi

# Says something where a person looks for it: as an annotation of the job.
notice() {
    if [ -n "${GITHUB_ACTIONS:-}" ]; then echo "::notice::$*"; else echo "ci: $*"; fi
}

# Appends a file to the summary page of the job, or prints it.
summarise() {
    if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat "$1" >>"$GITHUB_STEP_SUMMARY"; else cat "$1"; fi
}

# Whether a file of the repository is committed.
is_committed() {
    git cat-file -e "HEAD:$1" 2>/dev/null
}

has_remote() {
    grep -qs "^ *remote = " .dvc/config "$local_config"
}
