#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): frames in RGB that go to an encoder tagged BT.709 are converted by BT.601, and the file says 709.
#
# Colours of a video are stored as luma and chroma, by one of two matrices; a tag in the stream says which, and players undo it.
# Setting `colorspace`, `color_primaries` and `color_trc` of the codec context writes that tag. The conversion from RGB, which PyAV
# does for frames of another pixel format than the encoder's, does not ask for it: it takes the scaler's default, BT.601. The file
# then plays with wrong colours everywhere, greens most, and nothing warns: the wrong tag is valid. Small 601-tagged tests and
# players that ignore the tag hide it. What helps: `frame.reformat(format="yuv420p", dst_colorspace="ITU709")` before encoding.
#
# Seen: of a constant picture (200, 100, 30), decoded by its tag, the plain way gives another red and green by 5 to 12, the reformatted
# one gives the colour back to 2. Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cat >encode.py <<'PY'
import av
import numpy as np

PICTURE = np.full((64, 64, 3), (200, 100, 30), np.uint8)


def write(path, reformat):
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=5, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(PICTURE, format="rgb24")
            file.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709") if reformat else frame))
        file.mux(stream.encode())


def read(path):
    """The colour that the tag of the stream asks a player to show."""
    with av.open(path) as file:
        frame = next(file.decode(video=0))
        assert frame.colorspace == 1, frame.colorspace
        luma, blue, red = (np.frombuffer(bytes(plane), np.uint8)[0].astype(float) for plane in frame.planes)
    y, cb, cr = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    rgb = y + 1.5748 * cr, y - 0.1873 * cb - 0.4681 * cr, y + 1.8556 * cb  # ITU-R BT.709
    return [round(255 * value) for value in rgb]


for name, reformat in (("plain", False), ("reformatted", True)):
    write(f"{name}.mp4", reformat)
    print(name, *read(f"{name}.mp4"))
PY
env/bin/python encode.py >seen.txt
echo "PyAV 18.1.0, (200, 100, 30) in, by the tag BT.709 out:"
cat seen.txt
awk '$1 == "plain" { wrong = ($2 >= 205 && $3 <= 112 && ($3 >= 103 || $3 <= 97)) }
     $1 == "reformatted" { right = ($2 >= 198 && $2 <= 202 && $3 >= 98 && $3 <= 102 && $4 >= 28 && $4 <= 32) }
     END { exit !(wrong && right) }' seen.txt
