#!/usr/bin/env bash
# OpenCV 5.0.0: the value of a pixel of `warpAffine` depends on how wide the output is.
#
# The same image, the same matrix, bilinear: ask for 400 columns, or for the first N of them only. Under 5.0.0 the last columns of the
# narrow output differ by one grey level for most N that are no multiple of 16: a row is computed in steps of several pixels, and what is
# left over at its end is rounded by other code. Whoever warps only the part of an image that is needed (a crop, a tile) gets other bytes
# than from warping it whole, so digests and exact comparisons fail; a width that is a multiple of 16 and a cut afterwards give the same.
#
# Under 4.11.0 no width differs.
#
# Seen (x86-64 with AVX2): 4.11.0 differs for 0 of 336 widths; 5.0.0 for 184, none of them a multiple of 16, by at most 1.
# Fails when that changes (other processors may give another number than 184).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >widths.py <<'PY'
import cv2
import numpy as np

image = np.random.default_rng(0).integers(0, 256, (120, 400, 3), np.uint8)
matrix = cv2.getRotationMatrix2D((200, 60), 7, 1.1)
whole = cv2.warpAffine(image, matrix, (400, 120)).astype(int)
most = {width: abs(cv2.warpAffine(image, matrix, (width, 120)) - whole[:, :width]).max() for width in range(64, 400)}
others = [width for width, difference in most.items() if difference]
at_steps = sum(width % 16 == 0 for width in others)
print(cv2.__version__, len(others), at_steps, max(most.values()))
PY
seen=""
for version in 4.11.0.86 5.0.0.93; do
    python3 -m venv "env-$version"
    "env-$version/bin/pip" install --quiet --disable-pip-version-check "opencv-python-headless==$version" "numpy<2.5"
    read -r name others at_steps most < <("env-$version/bin/python" widths.py)
    echo "OpenCV $name: $others of 336 widths differ, $at_steps of them multiples of 16, by at most $most"
    seen="$seen $name:$((others > 0)),$at_steps,$most"
done
[ "$seen" = " 4.11.0:0,0,0 5.0.0:1,0,1" ] || { echo "this has changed: $seen" >&2; exit 1; }
