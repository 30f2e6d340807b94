"""Frames decoded alone are, byte for byte, those that decoding everything in order gives."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from jobs.data import decoding
from jobs.data.decoding import DoubtError, Look, open_video, upright
from jobs.data.errors import UnreadableClipError
from jobs.data.video import Wish, read_clip

COUNT = 60


@dataclass(frozen=True)
class Made:
    """How a file is made, and what becomes of it.

    Attributes:
        doubtful: its packets mislead, so all is decoded in order.
        saves: most packets that the frames 17 and 41 need; None: all up to the last.
    """

    name: str
    container: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"
    uneven: bool = False
    doubtful: bool = False
    saves: int | None = None


OPEN = {"g": "10", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}
X265 = "keyint=12:log-level=none:pools=none"
LAYERS = {"x265-params": f"{X265}:temporal-layers=3:b-adapt=0:bframes=7"}
VP9 = {"g": "12", "cpu-used": "8", "lag-in-frames": "10", "b": "200k"}
INTERLACED = {"g": "12", "flags": "+ildct+ilme"}
REFRESHED = {"g": "10", "x264-params": "intra-refresh=1"}
SVT = {"preset": "12", "g": "12", "svtav1-params": "lp=1"}
GROUPED = {"g": "12", "bf": "2"}
MADE = (
    Made("h264", "mp4", "libx264", {"g": "250"}),
    Made("h264, short groups", "mp4", "libx264", {"g": "10", "bf": "3"}, saves=24),
    Made("h264, open groups", "mp4", "libx264", OPEN, saves=44),
    Made("h264, no groups", "mkv", "libx264", REFRESHED, doubtful=True),
    Made("h264, intra only", "mp4", "libx264", {"g": "1"}, saves=2),
    Made("h264, uneven times", "mkv", "libx264", {"g": "12"}, uneven=True, saves=28),
    Made("h264, interlaced", "ts", "libx264", INTERLACED, saves=28),
    Made("h264 in avi", "avi", "libx264", {"g": "12"}, doubtful=True),
    Made("hevc", "mp4", "libx265", {"x265-params": X265}, saves=28),
    Made("hevc, layers", "mkv", "libx265", LAYERS, saves=44),
    Made("vp9", "webm", "libvpx-vp9", VP9, saves=28),
    Made("vp8", "webm", "libvpx", VP9 | {"auto-alt-ref": "1"}, saves=40),
    Made("av1", "mp4", "libsvtav1", SVT, saves=44),
    Made("mpeg4", "mp4", "mpeg4", GROUPED | {"q": "5"}, saves=44),
    Made("mpeg4 in avi", "avi", "mpeg4", {"g": "12"}, saves=28),
    Made("mpeg2", "ts", "mpeg2video", GROUPED, saves=44),
    Made("mjpeg", "avi", "mjpeg", pixels="yuvj420p"),
    Made("gif", "gif", "gif", pixels="rgb8"),
)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A texture that glides and turns bright: (60, 80, 112, 3), each frame unlike all others."""
    rng = np.random.default_rng(3)
    wide = np.kron(rng.integers(0, 200, (40, 60, 3)), np.ones((4, 4, 1), int))
    frames = [wide[i : i + 80, 2 * i // 3 : 2 * i // 3 + 112] + i // 2 for i in range(COUNT)]
    grain = rng.integers(0, 12, (COUNT, 80, 112, 3))
    return np.clip(np.stack(frames) + grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def made_file(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codecs")

    def make(made: Made) -> Path:
        path = folder / f"{made.name.replace(' ', '_')}.{made.container}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(made.codec, rate=25, options=made.options)
            stream.height, stream.width = scene.shape[1:3]
            stream.pix_fmt = made.pixels
            stream.codec_context.thread_count = 1
            if made.uneven:
                stream.codec_context.time_base = Fraction(1, 1000)
            for i, picture in enumerate(scene):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                if made.uneven:
                    frame.pts, frame.time_base = 40 * i + 7 * i % 30, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


def all_frames(path):
    with open_video(path) as video:
        return [(frame.pts, upright(frame)) for frame in video.frames()]


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.name)
def test_needed_frames_are_those_of_decoding_in_order(made_file, made):
    path = made_file(made)
    in_order = all_frames(path)

    for frames in (1, 2, 5, 13, len(in_order)):
        clip = read_clip(path, Wish(frames))

        edges = np.linspace(0, len(in_order), frames + 1).astype(int)
        centres = (edges[:-1] + np.maximum(edges[1:] - 1, edges[:-1])) // 2
        assert np.array_equal(clip.frames_THWC, np.stack([in_order[i][1] for i in centres]))
        if frames == 1:  # of many frames, those that need all before them may be among them
            assert clip.in_order is made.doubtful


@pytest.mark.parametrize(
    "made", [made for made in MADE if not made.doubtful], ids=lambda made: made.name
)
def test_any_two_frames_are_those_of_decoding_in_order(made_file, made):
    path = made_file(made)
    expected = dict(all_frames(path))
    draws = np.random.default_rng(1)

    with open_video(path) as video:
        look = video.look()
        for _ in range(25):
            wanted = draws.choice(look.presented(), 2, replace=False).tolist()
            pictures = video.pictures(look, wanted)

            assert sorted(pictures) == sorted(wanted)
            assert all(np.array_equal(pictures[i], expected[look.shown_at[i]]) for i in wanted)


SAVING = [made for made in MADE if made.saves]


@pytest.mark.parametrize("made", SAVING, ids=lambda made: made.name)
def test_no_more_is_decoded_than_two_frames_need(made_file, made):
    with open_video(made_file(made)) as video:
        look = video.look()
        order = look.presented()

        sent = sum(len(stretch) for stretch in look.stretches([order[17], order[41]]))

    assert sent <= made.saves


def test_large_file_is_read_again_instead_of_kept(made_file, monkeypatch):
    monkeypatch.setattr(decoding, "KEPT_BYTES", 1000)
    path = made_file(MADE[1])
    expected = dict(all_frames(path))

    with open_video(path) as video:
        look = video.look()
        wanted = look.presented()[::7]
        pictures = video.pictures(look, wanted)

    assert look.kept is None
    assert all(np.array_equal(pictures[i], expected[look.shown_at[i]]) for i in wanted)


def test_frame_before_its_key_frame_needs_the_group_before():
    #      I0 P3 B1 B2 | I6 B4 B5 P9: the second group is open, B4 and B5 also need P3
    look = Look([0, 3, 1, 2, 6, 4, 5, 9], keys=[0, 4], hidden=frozenset(), kept=None)

    assert look.stretches([5]) == [range(6)]
    assert look.stretches([7]) == [range(4, 8)]
    assert look.stretches([1, 7]) == [range(2), range(4, 8)]
    assert look.stretches([4, 5]) == [range(6)]


@pytest.mark.parametrize("times", [[0, 1, 1], []], ids=["twice", "none"])
def test_times_that_cannot_be_are_doubted(times):
    with pytest.raises(DoubtError):
        Look(times, keys=[0], hidden=frozenset(), kept=None).presented()


def test_key_frame_that_is_none_is_doubted(made_file):
    with open_video(made_file(MADE[0])) as video:
        look = video.look()
        number = look.presented()[41]
        lying = Look(look.shown_at, [0, number], look.hidden, look.kept)

        with pytest.raises(DoubtError):
            video.pictures(lying, [number])


@pytest.mark.parametrize("part", [0.4, 0.9])
def test_file_that_was_cut_off_behind_its_header_is_unreadable(made_file, tmp_path, part):
    path = tmp_path / "cut.mp4"
    fast = {"movflags": "faststart"}
    with av.open(str(made_file(MADE[1]))) as source, av.open(str(path), "w", options=fast) as copy:
        copied = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                copy.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])

    with pytest.raises(UnreadableClipError) as caught:
        read_clip(path, Wish(4))

    assert caught.value.error_class == "InvalidDataError"
