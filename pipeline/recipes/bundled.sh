#!/usr/bin/env bash
# Rebuilds the bundled weights with this pipeline and installs them; an interrupted run continues when started again.
# It works in a clone of the last commit, so that the record names code that can be found.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=build/bundled
installed=src/graft/models/weights/bundled_lraspp
[ -d "$work/.git" ] || git clone --quiet . "$work"
as_nobody=(-c user.name="make bundled" -c user.email="bundled@localhost") # git may not know who runs this
git -C "$work" "${as_nobody[@]}" pull --quiet --rebase
graft recipe show pretrain-scenes --whole > "$work/params.yaml"
git -C "$work" diff --quiet || git -C "$work" "${as_nobody[@]}" commit --quiet --all --message "The pretraining recipe"
(cd "$work" && GRAFT_TRACKING=off dvc repro)
mkdir -p "$installed"
cp "$work"/models/exported/{weights.safetensors,spec.json,metrics.json,model_card.md} "$installed/"
cp "$work"/reports/records/export.json "$installed/record.json"
cp LICENSE "$installed/LICENSE"
echo "bundled: $(wc -c < "$installed/weights.safetensors") bytes in $installed; commit them"
