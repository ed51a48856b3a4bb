"""Predictions for videos, streams and sequences: what is written, what is said, what is refused."""

from __future__ import annotations

import csv
import functools
import http.server
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.codec.codec import UnknownCodecError
from pyarrow import parquet

from graft.data.images.codec import encode_png
from graft.deployment.prediction_files import predict_files
from graft.deployment.video import codings
from graft.deployment.video.clip_paths import find_clips
from graft.deployment.video.clip_prediction import ClipOptions, ClipSummary, predict_clips
from graft.deployment.video.codings import CODECS_TO_SHOW
from graft.foundation.errors import GraftError
from graft.metrics.confusion import confusion_matrix, scores
from graft.scenes import render
from tests.graft.small_export import flag, small_export
from tests.graft.small_videos import read_video, waving, write_video


def predict(paths: object, model: Path, out: Path, *, rate: int | None = None, **options: object) -> list[ClipSummary]:
    named = [str(path) for path in (paths if isinstance(paths, list) else [paths])]
    told: list[ClipSummary] = []
    found = find_clips(named, out, sequence_rate=Fraction(rate) if rate else None)
    predict_clips(found, model, out, ClipOptions(**options), target="onnx", tell=told.append)  # type: ignore[arg-type]
    return told


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def predict_as_images(images: list[np.ndarray], model: Path, folder: Path) -> list[np.ndarray]:
    """The masks of the same frames, predicted as image files."""
    (folder / "in").mkdir(parents=True)
    for number, image in enumerate(images):
        (folder / f"in/{number:04d}.png").write_bytes(encode_png(image))
    predict_files([str(folder / "in")], model, folder / "out")
    return [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in sorted((folder / "out/masks").glob("*.png"))]


def test_ten_seconds_of_drawn_streets_are_predicted_frame_by_frame_as_their_images_are(tmp_path: Path) -> None:
    scenes = [render(7, "day", number, width=96, height=72) for number in range(50)]
    images, truth = [scene.image for scene in scenes], [scene.mask % 3 for scene in scenes]
    clip = write_video(tmp_path / "street.mkv", images, times_ms=[200 * number for number in range(50)])
    model = small_export(tmp_path / "model", source_values=(7, 9, 11))
    (summary,) = predict(clip, model, tmp_path / "out", masks=True, shares="csv")
    assert (summary.num_frames, summary.size) == (50, (72, 96))
    as_images = predict_as_images(images, model, tmp_path / "images")
    written = read_video(tmp_path / "out/masks/street.mkv", "gray")
    values = np.array([7, 9, 11], np.uint8)
    for (seconds, mask), single, image, number in zip(written, as_images, images, range(50), strict=True):
        np.testing.assert_array_equal(mask, single)
        np.testing.assert_array_equal(mask, values[image.argmax(axis=2)])
        assert seconds == pytest.approx(0.2 * number, abs=1e-6)
    ids = [np.searchsorted(values, mask) for _, mask in written]
    of_images = [np.searchsorted(values, mask) for mask in as_images]
    mean_iou = [scores(sum(map(confusion_matrix, found, truth, [3] * 50)))["mean_iou"] for found in (ids, of_images)]
    assert mean_iou[0] == mean_iou[1] > 0.1
    rows = table(tmp_path / "out/shares/street.csv")
    assert [(row["frame"], float(row["seconds"])) for row in rows[:3]] == [("0", 0), ("1", 0.2), ("2", 0.4)]
    assert float(rows[49]["share_blue"]) == pytest.approx((images[49].argmax(axis=2) == 2).mean(), abs=1e-6)


def test_the_overlay_is_what_the_overlays_of_images_are_in_h264_that_browsers_play(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "flag.mkv", waving(10))
    model = small_export(tmp_path / "model")
    predict([clip], model, tmp_path / "out")
    with av.open(str(tmp_path / "out/overlays/flag.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)
    predict_as_images(waving(10), model, tmp_path / "images")
    shown = cv2.imread(str(tmp_path / "images/out/overlays/0007.png"))[..., ::-1]
    difference = np.abs(read_video(tmp_path / "out/overlays/flag.mp4")[7][1].astype(int) - shown)
    assert difference.mean() < 6  # lossy, and colours have half the resolution


def test_frames_that_were_coded_with_loss_are_predicted_as_the_images_a_decoder_makes_of_them(tmp_path: Path) -> None:
    scenes = [render(7, "night", number, width=96, height=72).image for number in range(6)]
    clip, model = write_video(tmp_path / "night.mp4", scenes), small_export(tmp_path / "model")
    predict(clip, model, tmp_path / "out", masks=True)
    as_images = predict_as_images([image for _, image in read_video(clip)], model, tmp_path / "images")
    for (_, mask), single in zip(read_video(tmp_path / "out/masks/night.mkv", "gray"), as_images, strict=True):
        np.testing.assert_array_equal(mask, single)


def test_variable_time_stamps_are_kept(tmp_path: Path) -> None:
    times = [0, 20, 110, 111, 500, 540, 1300]
    clip = write_video(tmp_path / "clip.mp4", waving(7), times_ms=times)
    predict(clip, small_export(tmp_path / "model"), tmp_path / "out", masks=True, shares="csv")
    for kind, name in (("overlays", "clip.mp4"), ("masks", "clip.mkv")):
        written = [seconds for seconds, _ in read_video(tmp_path / "out" / kind / name)]
        assert written == pytest.approx([time / 1000 for time in times], abs=1e-4)
    seconds = [float(row["seconds"]) for row in table(tmp_path / "out/shares/clip.csv")]
    assert seconds == pytest.approx([time / 1000 for time in times], abs=1e-4)


@pytest.mark.parametrize("ending", [".avi", ".flv", ".ts", ".mp4"])
def test_frames_that_are_coded_in_another_order_keep_their_times_and_nothing_is_missing(
    tmp_path: Path, ending: str
) -> None:
    clip = write_video(tmp_path / f"clip{ending}", waving(50))
    with av.open(str(clip)) as container:
        assert container.streams.video[0].codec_context.has_b_frames
    (summary,) = predict(clip, small_export(tmp_path / "model"), tmp_path / "out", masks=True)
    assert summary.notes == []
    written = read_video(tmp_path / "out/masks/clip.mkv", "gray")
    assert [seconds for seconds, _ in written] == pytest.approx([0.04 * number for number in range(50)], abs=1e-6)
    for (_, mask), image in zip(written, waving(50), strict=True):
        assert (mask == image.argmax(axis=2)).mean() > 0.98


def test_two_recordings_in_one_file_follow_each_other(tmp_path: Path) -> None:
    """As `cat a.ts a.ts` makes them: the second one's time stamps begin where the first one's did."""
    once = write_video(tmp_path / "a.ts", waving(30)).read_bytes()
    (tmp_path / "a.ts").write_bytes(once + once)
    (summary,) = predict(tmp_path / "a.ts", small_export(tmp_path / "model"), tmp_path / "out")
    assert "1 new beginning of the time stamps" in str(summary)
    written = [seconds for seconds, _ in read_video(tmp_path / "out/overlays/a.mp4")]
    assert written == pytest.approx([0.04 * number for number in range(60)], abs=1e-4)


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_what_a_turned_phone_records_is_predicted_upright(tmp_path: Path, turn: int) -> None:
    upright = flag(160, 90)
    upright[:20] = (20, 20, 220)  # blue sky, so that top and bottom differ
    lying = np.ascontiguousarray(np.rot90(upright, -turn // 90))
    clip = write_video(tmp_path / "phone.mp4", [lying] * 4, turn=turn)
    (summary,) = predict(clip, small_export(tmp_path / "model"), tmp_path / "out", masks=True)
    assert summary.size == (160, 90)
    assert "frames are turned as the video says" in str(summary)
    mask = read_video(tmp_path / "out/masks/phone.mkv", "gray")[3][1]
    assert (mask == upright.argmax(axis=2)).mean() > 0.98  # colours at the edges are coded with loss
    assert read_video(tmp_path / "out/overlays/phone.mp4")[0][1].shape == (160, 90, 3)


@pytest.mark.parametrize("codec", CODECS_TO_SHOW)
def test_every_codec_that_may_stand_in_takes_the_time_base_of_a_broadcast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    try:
        av.codec.Codec(codec, "w")
    except UnknownCodecError:
        pytest.skip(f"this FFmpeg has no {codec}")
    monkeypatch.setattr(codings, "CODECS_TO_SHOW", {codec: CODECS_TO_SHOW[codec]})
    clip = write_video(tmp_path / "clip.ts", waving(12))
    with av.open(str(clip)) as container:
        assert container.streams.video[0].time_base == Fraction(1, 90000)
    predict(clip, small_export(tmp_path / "model"), tmp_path / "out")
    written = [seconds for seconds, _ in read_video(tmp_path / "out/overlays/clip.mp4")]
    assert written == pytest.approx([0.04 * number for number in range(12)], abs=1e-4)


def test_the_next_codec_stands_in_for_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codings, "CODECS_TO_SHOW", {"no_codec": {}, "libx264": {"crf": "21"}})
    assert codings.coding_to_show().codec == "libx264"
    monkeypatch.setattr(codings, "CODECS_TO_SHOW", {"no_codec": {}})
    with pytest.raises(GraftError, match="encodes no video that a browser plays"):
        codings.coding_to_show()


def test_odd_sides_are_padded_in_the_overlay_alone(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "odd.mkv", waving(3, 71, 93))
    (summary,) = predict(clip, small_export(tmp_path / "model"), tmp_path / "out", masks=True)
    assert "padded to even sides" in str(summary)
    assert read_video(tmp_path / "out/overlays/odd.mp4")[0][1].shape == (72, 94, 3)
    for (_, mask), image in zip(read_video(tmp_path / "out/masks/odd.mkv", "gray"), waving(3, 71, 93), strict=True):
        np.testing.assert_array_equal(mask, image.argmax(axis=2))


@pytest.mark.parametrize(
    ("values", "form"), [((0, 300, 65535), "gray16le"), (((128, 0, 3), (0, 64, 0), (7, 8, 9)), "rgb24")]
)
def test_masks_in_any_values_of_a_source_read_back_equal(tmp_path: Path, values: tuple, form: str) -> None:
    clip = write_video(tmp_path / "clip.mkv", waving(3, 70, 94))
    model = small_export(tmp_path / "model", source_values=tuple((value,) for value in values))
    predict(clip, model, tmp_path / "out", masks=True)
    for (_, mask), image in zip(read_video(tmp_path / "out/masks/clip.mkv", form), waving(3, 70, 94), strict=True):
        np.testing.assert_array_equal(mask, np.array(values)[image.argmax(axis=2)])


def test_colours_of_untagged_video_are_those_a_player_shows(tmp_path: Path) -> None:
    """Below 720 lines BT.601, from there on BT.709: luma 116, chroma 87 and 175 are (200, 100, 30) in the latter."""
    planes = [np.full((720, 64), 116, np.uint8), np.full((360, 32), 87, np.uint8), np.full((360, 32), 175, np.uint8)]
    frame = av.VideoFrame(64, 720, "yuv420p")
    for plane, values in zip(frame.planes, planes, strict=True):
        plane.update(np.pad(values, ((0, 0), (0, plane.line_size - values.shape[1]))).tobytes())
    with av.open(str(tmp_path / "hd.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 720, "yuv420p"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = find_clips([str(tmp_path / "hd.mkv")])
    (opened,) = found.clips.values()
    (decoded,) = opened().frames()
    np.testing.assert_allclose(decoded.image[300, 30], (200, 100, 30), atol=2)


def test_images_of_a_folder_are_a_clip_in_natural_order(tmp_path: Path) -> None:
    for name, image in zip(("frame_1", "frame_2", "frame_10"), waving(3), strict=True):
        (tmp_path / "night").mkdir(exist_ok=True)
        (tmp_path / "night" / f"{name}.png").write_bytes(encode_png(image))
    (tmp_path / "night/frame_3.png").write_bytes(b"no image")
    (summary,) = predict(
        tmp_path / "night", small_export(tmp_path / "model"), tmp_path / "out", rate=10, masks=True, shares="csv"
    )
    assert "1 image left out, as unreadable: " in str(summary)
    for (_, mask), image in zip(read_video(tmp_path / "out/masks/night.mkv", "gray"), waving(3), strict=True):
        np.testing.assert_array_equal(mask, image.argmax(axis=2))
    seconds = [row["seconds"] for row in table(tmp_path / "out/shares/night.csv")]
    assert seconds == ["0.000000", "0.100000", "0.300000"]  # the broken one keeps its time


def test_a_classifier_writes_the_label_of_each_frame(tmp_path: Path) -> None:
    images = [np.full((40, 40, 3), (0, 3, 0), np.uint8), np.full((40, 40, 3), (0, 0, 3), np.uint8)]
    clip = write_video(tmp_path / "clip.mkv", images)
    model = small_export(tmp_path / "model", "classification", ("r", "g", "b"))
    predict(clip, model, tmp_path / "out")
    rows = table(tmp_path / "out/labels/clip.csv")
    assert [row["label"] for row in rows] == ["green", "blue"]
    assert float(rows[0]["probability_green"]) == pytest.approx(np.exp(3) / (np.exp(3) + 2), abs=1e-6)
    with pytest.raises(GraftError, match="gives labels, no masks"):
        predict(clip, model, tmp_path / "out", masks=True)


def test_smoothing_takes_flicker_away_and_the_summary_says_how_much(tmp_path: Path) -> None:
    """A grey image whose green is one level above or below its red, in turn: the plain class flips in every frame."""
    frames = [np.full((48, 64, 3), (100, 100 + (-1) ** number, 0), np.uint8) for number in range(12)]
    clip = write_video(tmp_path / "clip.mkv", frames)
    (summary,) = predict(clip, small_export(tmp_path / "model"), tmp_path / "out", smooth=0.9, masks=True)
    before, after = summary.flicker or ()
    assert (before.share, before.still_fraction, after.share) == (1, 1, 0)
    assert "100.00% changed class from frame to frame, 0.00% after smoothing" in str(summary)
    assert {int(mask.max()) for _, mask in read_video(tmp_path / "out/masks/clip.mkv", "gray")} == {1}


def test_parquet_holds_what_csv_does(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", waving(5))
    model = small_export(tmp_path / "model")
    predict(clip, model, tmp_path / "a", shares="csv")
    predict(clip, model, tmp_path / "b", shares="parquet")
    rows = parquet.read_table(tmp_path / "b/shares/clip.parquet").to_pylist()
    lines = table(tmp_path / "a/shares/clip.csv")
    assert [{key: f"{row[key]:.6f}" for key in row if key != "frame"} for row in rows] == [
        {key: line[key] for key in line if key != "frame"} for line in lines
    ]
    assert [row["frame"] for row in rows] == [0, 1, 2, 3, 4]


def test_sound_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", waving(30), sound=True)
    (summary,) = predict(clip, small_export(tmp_path / "model"), tmp_path / "out")
    assert "sound is left out" in str(summary)
    with av.open(str(tmp_path / "out/overlays/clip.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_a_last_frame_that_was_not_finished_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", waving(50))
    start, size = packets(clip)[48]
    clip.write_bytes(clip.read_bytes()[: start + size // 2])
    (summary,) = predict(clip, small_export(tmp_path / "model"), tmp_path / "out")
    assert summary.num_frames == 48
    assert "the last 0.08 s are missing in the file" in str(summary)
    assert len(read_video(tmp_path / "out/overlays/clip.mp4")) == 48


def packets(clip: Path) -> list[tuple[int, int]]:
    """Place and size of each packet in the file."""
    with av.open(str(clip)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]


def broken_videos(folder: Path) -> Iterator[tuple[Path, str]]:
    whole = write_video(folder / "whole.mkv", waving(50)).read_bytes()
    (folder / "half.mkv").write_bytes(whole[: len(whole) // 2])
    yield folder / "half.mkv", "cut off: "
    phone = write_video(folder / "phone.mp4", waving(50)).read_bytes()
    (folder / "index.mp4").write_bytes(phone[: len(phone) // 2])
    yield folder / "index.mp4", "cut off before its table of frames was written"
    write_video(folder / "talk.mp4", waving(2), sound=True)
    yield only_sound(folder / "talk.mp4", folder / "song.mp4"), "no video stream: it holds audio"
    (folder / "empty.mp4").touch()
    yield folder / "empty.mp4", "this is no video"
    yield no_frames(folder / "none.mp4"), "no frames"
    yield folder / "absent.mp4", "no such video"


def only_sound(source: Path, target: Path) -> Path:
    """The sound of a video, copied."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream_from_template(read.streams.audio[0])
        for packet in read.demux(read.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    return target


def no_frames(path: Path) -> Path:
    """A video that was begun and not recorded: a header that promises frames, and none."""
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def test_a_video_that_cannot_be_used_is_one_message_and_nothing_is_written(tmp_path: Path) -> None:
    model, problems = small_export(tmp_path / "model"), []
    for path, what in broken_videos(tmp_path):
        with pytest.raises(GraftError) as refused:
            predict(path, model, tmp_path / "out")
        assert what in str(refused.value), path
        problems.append(path)
    with pytest.raises(GraftError, match="videos that cannot be used") as refused:
        predict([*problems, tmp_path / "whole.mkv"], model, tmp_path / "out")
    assert all(path.name in str(refused.value) for path in problems)
    assert not (tmp_path / "out").exists()


def test_a_frame_that_is_damaged_costs_that_frame(tmp_path: Path) -> None:
    images = [np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8) for number in range(30)]
    clip = write_video(tmp_path / "clip.mkv", images)
    data, (start, size) = bytearray(clip.read_bytes()), packets(clip)[12]
    data[start + 40 : start + size] = bytes(size - 40)
    clip.write_bytes(data)
    (summary,) = predict(clip, small_export(tmp_path / "model"), tmp_path / "out", masks=True)
    assert summary.num_frames in (29, 30)  # left out, or concealed by the decoder
    masks = read_video(tmp_path / "out/masks/clip.mkv", "gray")
    np.testing.assert_array_equal(masks[-1][1], images[-1].argmax(axis=2))
    np.testing.assert_array_equal(masks[11][1], images[11].argmax(axis=2))


def test_no_prediction_replaces_a_video_that_is_named(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "out/overlays/clip.mp4", waving(3))
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/clip.mp4").symlink_to(clip)
    model, before = small_export(tmp_path / "model"), clip.read_bytes()
    for named in (clip, tmp_path / "clips/clip.mp4"):
        with pytest.raises(GraftError, match="would replace this video") as refused:
            predict(named, model, tmp_path / "out", masks=True)
        assert str(named) in str(refused.value)
    assert clip.read_bytes() == before
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [clip]
    predict(clip, model, tmp_path / "elsewhere")
    assert len(read_video(tmp_path / "elsewhere/overlays/clip.mp4")) == 3


@contextmanager
def served(folder: Path, most_bytes: int | None = None, *, says_size: bool = True) -> Iterator[str]:
    """A server of files that hangs up after so many bytes of one."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def send_header(self, keyword: str, value: str) -> None:
            if says_size or keyword != "Content-Length":
                super().send_header(keyword, value)

        def copyfile(self, source, outputfile) -> None:
            outputfile.write(source.read() if most_bytes is None else source.read(most_bytes))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_address_is_predicted_as_its_file_is(tmp_path: Path) -> None:
    write_video(tmp_path / "cam.mkv", waving(20))
    with served(tmp_path) as host:
        (summary,) = predict(f"{host}/cam.mkv", small_export(tmp_path / "model"), tmp_path / "out", masks=True)
    (mask,) = (tmp_path / "out/masks").glob("http-127-0-0-1-*-cam-mkv.mkv")
    np.testing.assert_array_equal(read_video(mask, "gray")[19][1], waving(20)[19].argmax(axis=2))
    assert summary.num_frames == 20


def test_cameras_of_one_server_are_all_predicted(tmp_path: Path) -> None:
    for number in (1, 2):
        write_video(tmp_path / "cams" / f"{number}.mkv", waving(number))
    write_video(tmp_path / "http-cam-live.mkv", waving(3))
    addresses = [f"http://{named}" for named in ("cam/live?ch=1", "cam/live?ch=2", "me:pw@cam/live", "cam/live?ch=1")]
    found = find_clips([*addresses, str(tmp_path / "http-cam-live.mkv")])
    places = ["http-cam-live", "http-cam-live-2", "http-cam-live-3", "http-cam-live-4"]
    assert [str(place) for place in found.clips] == places
    with served(tmp_path / "cams") as host:
        addresses = [f"{host}/{number}.mkv?user=me" for number in (1, 2)]
        told = predict([*addresses, f"{host}/2.mkv?user=you"], small_export(tmp_path / "model"), tmp_path / "out")
    assert [summary.num_frames for summary in told] == [1, 2, 2]
    assert len({file for summary in told for file in summary.files}) == 3


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_export(tmp_path / "model")
    write_video(tmp_path / "clip.mkv", waving(3)).rename(tmp_path / "12:30.mkv")
    monkeypatch.chdir(tmp_path)
    for out in ("out", "data:out"):
        predict("12:30.mkv", model, Path(out))
        assert len(read_video(tmp_path / out / "overlays/12:30.mp4")) == 3


def test_a_server_that_does_not_say_how_long_a_video_is_loses_no_frame(tmp_path: Path) -> None:
    """As with chunked MJPEG over http: the sender waits, so that nothing is ever passed over."""
    write_video(tmp_path / "cam.ts", waving(60))
    with served(tmp_path, says_size=False) as host:
        with av.open(f"{host}/cam.ts") as container:
            assert container.duration is None
        with pytest.raises(GraftError, match=r"the clip broke off after 2\.40 s"):  # nobody said that it ends here
            predict(f"{host}/cam.ts", small_export(tmp_path / "model"), tmp_path / "out")
    (overlay,) = (tmp_path / "out/overlays").iterdir()
    assert len(read_video(overlay)) == 60


def test_a_connection_that_ends_keeps_what_came_and_is_told(tmp_path: Path) -> None:
    images = [np.random.default_rng(number).integers(0, 255, (90, 160, 3), np.uint8) for number in range(50)]
    size = write_video(tmp_path / "cam.mkv", images).stat().st_size
    model = small_export(tmp_path / "model")
    with served(tmp_path, size // 2) as host, pytest.raises(GraftError, match="the clip broke off after") as refused:
        predict(f"{host}/cam.mkv", model, tmp_path / "out")
    assert "what came until then is written" in str(refused.value)
    (overlay,) = (tmp_path / "out/overlays").iterdir()
    assert 10 < len(read_video(overlay)) < 40


def test_an_address_that_does_not_answer_says_why_and_shows_no_password(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="Connection refused") as refused:
        predict("rtsp://me:secret@127.0.0.1:1/live", small_export(tmp_path / "model"), tmp_path / "out")
    assert "rtsp://127.0.0.1:1/live" in str(refused.value)
    assert "secret" not in str(refused.value)
    with pytest.raises(GraftError, match="scheme that FFmpeg knows"):
        predict("rstp://camera/live", tmp_path / "model", tmp_path / "out")


COMMAND = [sys.executable, "-c", "from graft.cli import main; main()", "predict"]


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Six hundred frames more, 138 MB decoded, add less than 40 MB to the peak."""
    small_export(tmp_path / "model")
    told = textwrap.dedent("""
        import resource, sys
        from graft.cli import main
        try:
            main()
        except SystemExit:
            pass
        print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """)
    peaks_kib = []
    for num_frames in (100, 700):
        write_video(tmp_path / f"{num_frames}.mp4", (flag(240, 320) for _ in range(num_frames)))
        command = [sys.executable, "-c", told, "predict", f"{num_frames}.mp4", "--model", "model", "--out", "out"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert f"{num_frames} frames" in done.stdout
        peaks_kib.append(int(done.stdout.split()[-1]))
    assert peaks_kib[1] - peaks_kib[0] < 40_000, peaks_kib


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_terminate_leave_a_file_that_plays_and_say_how_far_it_came(
    tmp_path: Path, wish: signal.Signals
) -> None:
    small_export(tmp_path / "model")
    write_video(tmp_path / "long.mp4", (flag(360, 640) for _ in range(1500)))
    command = [*COMMAND, "long.mp4", "--model", "model", "--out", "out", "--shares", "csv"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )
    for _ in range(600):
        if list((tmp_path / "out/shares").glob(".tmp-*")) or process.poll() is not None:
            break
        time.sleep(0.1)
    time.sleep(0.3)
    process.send_signal(wish)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted: the files end there, and play until there" in out
    frames = read_video(tmp_path / "out/overlays/long.mp4")
    assert 0 < len(frames) < 1500
    assert f"long.mp4: {len(frames)} frames" in out
    assert len(table(tmp_path / "out/shares/long.csv")) == len(frames)
    assert not list((tmp_path / "out").rglob(".tmp-*"))


@pytest.mark.parametrize(("num_frames", "room"), [(60, 500_000), (10, 3_000)], ids=["half-way", "at the end"])
def test_a_disk_that_fills_leaves_nothing_half_written(tmp_path: Path, num_frames: int, room: int) -> None:
    small_export(tmp_path / "model")
    images = (np.random.default_rng(number).integers(0, 255, (240, 320, 3), np.uint8) for number in range(num_frames))
    write_video(tmp_path / "noise.mkv", images)
    limited = textwrap.dedent(f"""
        import resource, signal, sys
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {resource.RLIM_INFINITY}))
        from graft.cli import main
        main()
    """)
    command = [sys.executable, "-c", limited, "predict", "noise.mkv", "--model", "model", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot write predictions of noise.mkv (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert [file for file in (tmp_path / "out").rglob("*") if file.suffix in (".mp4", ".mkv")] == []
    assert list((tmp_path / "out").rglob(".tmp-*")) == []


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["a.png", "--smooth", "0.5"], "--smooth is for videos"),
        (["a.png", "--masks", "--shares", "csv"], "--masks and --shares are for videos"),
        (["a.mkv", "--confidence"], "--confidence is for images"),
        (["a.png", "--sequence"], "--sequence is for folders of images, and none is named here"),
        (["a.mkv", "--sequence", "--rate", "10"], "--sequence and --rate are for folders of images, and none"),
        ([".", "--rate", "10"], "--rate is for folders of images with --sequence"),
        (["a.mkv", "--shares", "xlsx"], "it is one of csv, parquet"),
    ],
)
def test_options_of_the_other_kind_are_refused(tmp_path: Path, options: list[str], what: str) -> None:
    small_export(tmp_path / "model")
    write_video(tmp_path / "a.mkv", waving(2))
    (tmp_path / "a.png").write_bytes(encode_png(flag(20, 20)))
    command = [*COMMAND, *options, "--model", "model", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert what in done.stderr
    assert not (tmp_path / "out").exists()
