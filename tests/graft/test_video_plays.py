"""The overlay video in a browser: skipped where no Chromium is found."""

from __future__ import annotations

import functools
import http.server
import queue
import shutil
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from graft.deployment.video.clip_paths import find_clips
from graft.deployment.video.clip_prediction import ClipOptions, predict_clips
from tests.graft.small_export import small_export
from tests.graft.small_videos import write_video

NAMES = ("chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium")
PAGE = """<!doctype html><video id="v" muted autoplay src="out/overlays/clip.mp4"></video><script>
const tell = (...told) => fetch("/told?" + encodeURIComponent(told.join(" ")));
v.onerror = () => tell("error", v.error.message);
v.onended = () => {
  const c = new OffscreenCanvas(v.videoWidth, v.videoHeight).getContext("2d");
  c.drawImage(v, 0, 0);
  tell(v.videoWidth, v.videoHeight, v.currentTime.toFixed(2), ...c.getImageData(20, 20, 1, 1).data.slice(0, 3));
};
</script>"""


@contextmanager
def telling_server(folder: Path) -> Iterator[tuple[str, queue.Queue[str]]]:
    """A server of files, and what pages tell it."""
    told: queue.Queue[str] = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            address, _, message = self.path.partition("?")
            if address == "/told":
                told.put(urllib.parse.unquote(message))
            super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        server.shutdown()
        server.server_close()


def test_an_overlay_plays_to_its_end_in_a_browser_in_the_right_colours(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip(f"no browser is here: {', '.join(NAMES)}")
    image = np.full((48, 95, 3), (40, 200, 20), np.uint8)  # green; the class that covers most stays untinted
    image[:, 60:] = (20, 20, 220)
    clip = write_video(tmp_path / "clip.mkv", [image] * 25)
    model, found = small_export(tmp_path / "model"), find_clips([str(clip)])
    predict_clips(found, model, tmp_path / "out", ClipOptions(), target="onnx", tell=str)
    (tmp_path / "page.html").write_text(PAGE)
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--autoplay-policy=no-user-gesture-required"]
    with telling_server(tmp_path) as (host, told):
        process = subprocess.Popen(
            [browser, *flags, f"{host}/page.html"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            width, height, seconds, *colour = told.get(timeout=60).split()
        finally:
            process.kill()
            process.wait()
    assert (width, height) == ("96", "48")
    assert float(seconds) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose([int(value) for value in colour], (40, 200, 20), atol=6)
