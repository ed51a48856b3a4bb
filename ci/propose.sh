#!/usr/bin/env bash
# propose.sh BRANCH TITLE REPORT FILE...: commits files to a new branch and opens a pull request with the report.
#   GRAFT_PUSH_TO   where to push, if not to the repository on GitHub (whose token is GH_TOKEN)
set -euo pipefail
cd "$(dirname "$0")/.."
branch=$1 title=$2 report=$3
shift 3

if [ -z "$(git status --porcelain -- "$@")" ]; then
    echo "ci: nothing changed in $*: no pull request"
    exit 0
fi
git add -- "$@"
git -c user.name="graft" -c user.email="graft@users.noreply.github.com" commit --quiet --message "$title" -- "$@"
if [ -n "${GRAFT_PUSH_TO:-}" ]; then
    git push --quiet --force "$GRAFT_PUSH_TO" "HEAD:refs/heads/$branch"
    echo "ci: pushed $branch"
    exit 0
fi
gh auth setup-git # gives git the token of this job, which ends with it
git push --quiet --force "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY.git" "HEAD:refs/heads/$branch"
if ! gh pr view "$branch" --json state --jq .state 2>/dev/null | grep -qx OPEN; then
    gh pr create --head "$branch" --base "$GITHUB_REF_NAME" --title "$title" --body "Written by a workflow; the report is the comment below. Merging it says that this result is the one of the branch."
fi
gh pr comment "$branch" --body-file "$report"
