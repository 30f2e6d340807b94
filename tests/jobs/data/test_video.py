import struct
from fractions import Fraction

import av
import decord
import numpy as np
import pytest

from jobs.data.errors import UnreadableClipError
from jobs.data.sampling import GeneratorDraws, Sampling
from jobs.data.synthetic import CODECS, Codec, encode
from jobs.data.video import Wish, rate_of, read_clip

AV1 = Codec("mp4", "libsvtav1", {"preset": "10", "crf": "20", "svtav1-params": "lp=1"})
GIF = Codec("gif", "gif", {}, pixels="rgb8")


def greys(clip):
    return [round(float(frame.mean())) for frame in clip.frames_THWC]


def cut(path, part):
    """Keeps only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


@pytest.fixture
def ramp_mp4(grey_ramp, tmp_path):
    encode(grey_ramp, tmp_path / "ramp.mp4", CODECS[0], fps=24)
    return tmp_path / "ramp.mp4"


def cut_by_edit_list(source_path, target_path, start_s):
    """Copies a video without its start, as `ffmpeg -ss -c copy` does: nothing is re-encoded."""
    with av.open(str(source_path)) as source, av.open(str(target_path), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        shift = int(start_s / stream.time_base)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copied
                target.mux(packet)
    return target_path


def turn_right(path):
    """Says in the header that the picture is to be shown turned right by 90 degrees."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    struct.pack_into(">9i", data, matrix, 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("times_s", "declared", "rate"),
    [
        ([0.0, 0.1, 0.2, 0.3], Fraction(10), 10),
        ([0.0, 0.1, 0.2, 0.3], Fraction(100, 11), 100 / 11),  # uneven, as containers round it
        ([0.0, 0.1, 0.2, 0.3], Fraction(100), 10),
        ([0.1 * i for i in range(100)], Fraction(20), 10),
        ([0.0, 0.1], None, 10),
        ([0.0], None, 1),
    ],
)
def test_rate_is_the_declared_one_where_it_fits(times_s, declared, rate):
    assert rate_of(times_s, declared) == pytest.approx(rate)


def test_read_clip_takes_the_frames_at_the_centres(ramp_mp4):
    clip = read_clip(ramp_mp4, Wish(4))

    assert (clip.in_order, clip.frames_THWC.shape) == (False, (4, 64, 64, 3))
    assert np.allclose(greys(clip), [40 + 4 * i for i in (5, 17, 29, 41)], atol=2)
    assert np.allclose(clip.seconds, [i / 24 for i in (5, 17, 29, 41)])


def test_read_clip_stays_inside_start_and_end(ramp_mp4):
    clip = read_clip(ramp_mp4, Wish(4, start_s=0.99, end_s=1.24))

    # From the frame that is shown at 0.99 s on, the six whole ones of 0.25 s.
    assert np.allclose(clip.seconds, [23 / 24, 24 / 24, 26 / 24, 27 / 24])


def test_clip_of_uneven_frame_times_is_cut_by_them(grey_ramp, tmp_path):
    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.width = stream.height = 64
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(grey_ramp[:20]):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (100 * i if i < 10 else 40 * i + 600), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    clip = read_clip(path, Wish(3, start_s=1.05, end_s=1.15))

    assert np.allclose(clip.seconds, [1.04, 1.08, 1.12])


def test_fixed_rate_takes_so_many_frames_a_second(ramp_mp4):
    clip = read_clip(ramp_mp4, Wish(8, Sampling.parse("fps4")))

    assert np.allclose(clip.seconds, [i / 24 for i in (3, 9, 15, 21, 27, 33, 39, 45)])


def test_read_clip_outside_the_video_is_unreadable(ramp_mp4):
    with pytest.raises(UnreadableClipError, match=r"none of 48 frames lies in \[9 s, inf s\)"):
        read_clip(ramp_mp4, Wish(4, start_s=9))


def test_read_clip_pads_a_short_clip_with_its_last_frame(grey_ramp, tmp_path):
    encode(grey_ramp[:3], tmp_path / "short.mp4")

    clip = read_clip(tmp_path / "short.mp4", Wish(5))

    assert np.array_equal(clip.frames_THWC[2:], clip.frames_THWC[[2, 2, 2]])
    assert np.allclose(clip.seconds, [0, 1 / 12, 2 / 12, 2 / 12, 2 / 12])


def test_read_clip_of_the_same_generator_state_gives_the_same_frames(ramp_mp4):
    def read(seed):
        draws = GeneratorDraws(np.random.default_rng(seed))
        return read_clip(ramp_mp4, Wish(8, Sampling("rand"), draws))

    first, again, other = (read(seed) for seed in (1, 1, 2))

    assert first.seconds == again.seconds
    assert first.seconds != other.seconds


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_decord_reads_the_same_pixels(made_set, codec):
    path = next(iter(sorted((made_set.root / "clips").glob(f"*.{codec.container}"))))
    reader = decord.VideoReader(str(path), num_threads=1)

    clip = read_clip(path, Wish(len(reader)))

    assert not clip.in_order
    assert np.array_equal(clip.frames_THWC, reader.get_batch(range(len(reader))).asnumpy())


def test_cut_by_edit_list_gives_the_frames_that_it_shows(ramp_mp4, tmp_path):
    clip = read_clip(cut_by_edit_list(ramp_mp4, tmp_path / "cut.mp4", 0.75), Wish(30))

    assert np.allclose(greys(clip), [40 + 4 * i for i in range(18, 48)], atol=2)
    assert np.allclose(clip.seconds, [i / 24 for i in range(30)])


@pytest.mark.parametrize("codec", [AV1, GIF], ids=["av1", "gif"])
def test_format_of_few_readers_is_read(tmp_path, grey_ramp, codec):
    path = tmp_path / f"clip.{codec.container}"
    encode(grey_ramp[::4], path, codec)

    clip = read_clip(path, Wish(3))

    assert clip.frames_THWC.shape == (3, 64, 64, 3)
    assert np.allclose(greys(clip), [56, 120, 184], atol=20)


def test_gif_with_fewer_frames_than_asked_for_repeats_its_last(tmp_path, grey_ramp):
    encode(grey_ramp[::16], tmp_path / "short.gif", GIF)

    clip = read_clip(tmp_path / "short.gif", Wish(8))

    assert np.array_equal(clip.frames_THWC[3:], clip.frames_THWC[[2] * 5])


def test_video_filmed_sideways_is_turned_upright(tmp_path):
    stored = np.zeros((12, 64, 96, 3), np.uint8)
    stored[:, :20, :20] = 250  # top left; shown turned right it is top right
    encode(stored, tmp_path / "side.mp4")

    clip = read_clip(turn_right(tmp_path / "side.mp4"), Wish(1))

    assert clip.frames_THWC.shape == (1, 96, 64, 3)
    assert clip.frames_THWC[0, :16, 48:].mean() > 200
    assert clip.frames_THWC[0, :16, :40].mean() < 50


@pytest.mark.parametrize("part", [0.5, 0.95])
def test_truncated_mp4_is_unreadable(ramp_mp4, part):
    with pytest.raises(UnreadableClipError) as caught:
        read_clip(cut(ramp_mp4, part), Wish(4))

    assert caught.value.error_class == "InvalidDataError"
    assert caught.value.text == "Invalid data found when processing input"


@pytest.mark.parametrize(
    ("content", "error_class"), [(b"", "InvalidDataError"), (None, "FileNotFoundError")]
)
def test_what_is_no_video_is_unreadable(tmp_path, content, error_class):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UnreadableClipError) as caught:
        read_clip(path, Wish(4))

    assert (caught.value.path, caught.value.error_class) == (path, error_class)


def test_sound_without_picture_is_unreadable(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))

    with pytest.raises(UnreadableClipError, match="it holds no video"):
        read_clip(path, Wish(4))
