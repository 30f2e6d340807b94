"""Clips prepared once: what is in them, and that the work stands being killed, shared, resumed."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest

from jobs.contract.manifest import done_marker
from jobs.data.annotations import open_set
from jobs.data.decoding import open_video
from jobs.data.prepare import judge, main
from jobs.data.preparing.encoding import Recipe, Shown, UnfaithfulError, compare, encode_clip
from jobs.data.preparing.share import ABANDONED_S, Media, Shelf, is_kept_time
from jobs.data.preparing.work import Preparing, Tally
from jobs.data.sampling import Sampling
from jobs.data.synthetic import CODECS, Codec, encode
from jobs.data.video import Wish, read_clip
from tests.jobs.programs import command_spec
from tests.jobs.running import ROOT, run_stage

GIF = Codec("gif", "gif", {}, pixels="rgb8")
LONG_FRAMES = 600
HD = Codec("mp4", "libx264", {"preset": "ultrafast", "bf": "2", "g": "250"})


def moving(frames, height, width):
    """A bright bar that crosses a slope, in colour: (frames, height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    slope = np.stack([60 + 60 * x / width, 50 + 70 * y / height, 90 + 0 * x], -1)
    video = np.repeat(slope[None], frames, 0)
    for i in range(frames):
        at = int((width - width // 8) * i / frames)
        video[i, :, at : at + width // 8] = (220, 180, 40)
    return video.astype(np.uint8)


def uneven(path, frames):
    """Frames that last 30 to 90 ms and begin at 1.5 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"bf": "2"})
        stream.height, stream.width = frames.shape[1:3]
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 1500 + 60 * i + 30 * (i % 2), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def annotate(root, *media, name="train.json"):
    rows = [{"video": path, "caption": "a bar"} for path in media]
    (root / name).write_text(json.dumps(rows))
    return root / name


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A few small media files of all kinds; gives the annotation file."""
    root = tmp_path_factory.mktemp("raw")
    (root / "a" / "frames").mkdir(parents=True)
    encode(moving(40, 300, 400), root / "a" / "large.mp4", HD, fps=25)
    encode(moving(20, 64, 96), root / "small.webm", CODECS[1], fps=12)
    uneven(root / "uneven.mkv", moving(30, 280, 320))
    encode(moving(6, 64, 96), root / "loop.gif", GIF)
    for i in range(3):
        av.VideoFrame.from_ndarray(moving(3, 32, 48)[i], format="rgb24").save(
            str(root / "a" / "frames" / f"{i}.jpg")
        )
    return annotate(root, "a/large.mp4", "small.webm", "uneven.mkv", "loop.gif", "a/frames")


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    """What is made of them."""
    out = tmp_path_factory.mktemp("prepared")
    assert prepare(corpus, out) == 0
    return out


def prepare(annotations, out, *options):
    root = annotations.parent
    return main([str(annotations), "--media", str(root), "--out", str(out), *options])


@pytest.mark.parametrize("name", ["a/large.mp4", "small.webm", "uneven.mkv"])
@pytest.mark.parametrize("way", ["middle", "fps8"])
def test_prepared_clip_shows_the_same_moments(corpus, prepared, name, way):
    wish = Wish(6, Sampling.parse(way), start_s=0.2)

    raw, clip = read_clip(corpus.parent / name, wish), read_clip(prepared / name, wish)

    assert np.allclose(clip.seconds, raw.seconds, atol=0.001)
    height, width = clip.frames_THWC.shape[1:3]
    for picture, source in zip(clip.frames_THWC, raw.frames_THWC, strict=True):
        frame = av.VideoFrame.from_ndarray(source, format="rgb24")
        small = frame.reformat(width, height, interpolation="BICUBIC").to_ndarray()
        assert np.abs(picture.astype(int) - small).mean() < 4


def test_prepared_clips_are_small_with_a_key_frame_every_few_frames(prepared):
    with open_video(prepared / "a" / "large.mp4") as video:
        look, stream = video.look(), video.stream
        longest = max(len(look.stretches([number])[0]) for number in look.presented())

    assert (stream.height, stream.width, stream.codec_context.name) == (256, 342, "h264")
    assert len(look.keys) >= 3
    assert longest <= 16


def test_annotations_and_other_media_serve_as_they_are(corpus, prepared):
    opened = open_set(annotate(corpus.parent, "a/large.mp4", name="two.json"), prepared)
    frames = sorted(path.name for path in (prepared / "a" / "frames").iterdir())

    assert len(opened.items) == 1
    assert frames == ["0.jpg", "1.jpg", "2.jpg"]
    assert (prepared / "loop.gif").read_bytes() == (corpus.parent / "loop.gif").read_bytes()


def test_second_call_does_nothing_until_a_source_changes(tmp_path, capsys):
    root, out = tmp_path / "raw", tmp_path / "out"
    (root).mkdir()
    encode(moving(12, 64, 96), root / "a.mp4")
    encode(moving(12, 64, 96), root / "b.gif", GIF)
    rows = annotate(root, "a.mp4", "b.gif")
    prepare(rows, out)
    inodes = {path: path.stat().st_ino for path in out.rglob("*.*")}

    prepare(rows, out)
    unchanged = {path: path.stat().st_ino for path in out.rglob("*.*")} == inodes
    encode(moving(14, 64, 96), root / "a.mp4")
    prepare(rows, out)

    assert unchanged
    assert [line.split(",")[0:3] for line in capsys.readouterr().out.splitlines()] == [
        ["2/2 media: 1 encoded", " 1 kept as they are", " 0 done before"],
        ["2/2 media: 0 encoded", " 0 kept as they are", " 2 done before"],
        ["2/2 media: 1 encoded", " 0 kept as they are", " 1 done before"],
    ]


@pytest.mark.parametrize(("part", "code"), [("0.1", 1), ("0.5", 0)])
def test_unreadable_clips_are_told_counted_and_kept(corpus, tmp_path, capsys, part, code):
    (corpus.parent / "bad.mp4").write_bytes(b"no video")
    media = ("small.webm", "bad.mp4", "missing.mp4", "loop.gif")
    rows = annotate(corpus.parent, *media, name="bad.json")

    codes = [prepare(rows, tmp_path / "out", "--max-bad", part) for _ in range(2)]

    told = capsys.readouterr()
    assert codes == [code, code]
    assert (tmp_path / "out" / "bad.mp4").read_bytes() == b"no video"
    assert told.out.count("2 unreadable") == 2
    assert told.err.count("unreadable: bad.mp4: InvalidDataError") == 2
    assert told.err.count("unreadable: missing.mp4: FileNotFoundError") == 2


def test_clip_that_took_too_long_is_tried_again_by_the_next_call(corpus, tmp_path):
    shelf, media = Shelf(corpus.parent, tmp_path), [Media("small.webm", moving=True)]
    shelf.begin(Recipe())
    before = set(threading.enumerate())

    late = Preparing(shelf, Recipe(), timeout_s=0.0).run(media, workers=1)
    for thread in set(threading.enumerate()) - before:  # the next call would be another process
        thread.join(timeout=120)
    again = Preparing(shelf, Recipe()).run(media, workers=1)

    assert late.bad["small.webm"].startswith("Timeout")
    assert (again.encoded, again.bad) == (1, {})


def test_part_that_has_just_got_its_name_is_not_swept_however_old_its_source_is(tmp_path):
    part = tmp_path / "out" / ".prepared" / "parts" / "a.elsewhere.1"
    part.parent.mkdir(parents=True)
    part.touch()
    os.utime(part, (0, time.time() - 2 * ABANDONED_S))

    Shelf(tmp_path, tmp_path / "out").begin(Recipe())

    assert part.exists()


def test_clip_that_took_too_long_is_not_encoded_on_and_leaves_no_part(long, tmp_path):
    shelf, media = Shelf(long, tmp_path / "out"), [Media("long.mp4", moving=True)]
    shelf.begin(Recipe())
    before = set(threading.enumerate())

    late = Preparing(shelf, Recipe(), timeout_s=0.0).run(media, workers=1)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=120)

    assert late.bad["long.mp4"].startswith("Timeout")
    assert late.frames < LONG_FRAMES
    assert list((tmp_path / "out" / ".prepared" / "parts").iterdir()) == []


def test_long_clip_is_told_of_while_it_is_encoded(long, tmp_path, capsys):
    shelf, media = Shelf(long, tmp_path / "out"), [Media("long.mp4", moving=True)]
    shelf.begin(Recipe())

    Preparing(shelf, Recipe(), told_every_s=0.01).run(media, workers=1)

    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("0/1 media")]
    assert len(set(told)) > 1


def test_second_call_does_nothing_on_a_disk_that_keeps_whole_seconds(corpus, tmp_path, capsys):
    rows = annotate(corpus.parent, "small.webm", name="seconds.json")
    prepare(rows, tmp_path)
    made = tmp_path / "small.webm"
    os.utime(made, ns=(0, made.stat().st_mtime_ns // 10**9 * 10**9))

    prepare(rows, tmp_path)

    assert "0 encoded, 0 kept as they are, 1 done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kept_ns", "is_kept"),
    [
        (1_700_000_001_987_654_321, True),
        (1_700_000_001_987_654_300, True),
        (1_700_000_001_987_654_000, True),
        (1_700_000_001_000_000_000, True),
        (1_700_000_002_000_000_000, True),  # rounded up
        (1_700_000_000_000_000_000, True),
        (1_700_000_001_987_654_320, False),
        (1_700_000_001_500_000_000, False),
        (1_699_999_999_000_000_000, False),
    ],
)
def test_time_of_change_may_be_kept_in_coarser_units(kept_ns, is_kept):
    assert is_kept_time(kept_ns, 1_700_000_001_987_654_321) is is_kept


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("a.{own}+7.0@elsewhere.1", False),
        ("a.{own}+7.1@elsewhere.1", True),
        ("a.0123456789abcdef+7.0@elsewhere.1", True),
        ("a.elsewhere.1", True),
    ],
)
def test_parts_of_earlier_attempts_are_swept_wherever_they_ran(tmp_path, monkeypatch, name, stays):
    monkeypatch.setenv("LAUNCHER_STAGE_FOLDER", "/runs/r/stages/s")
    monkeypatch.setenv("LAUNCHER_ATTEMPT", "7.1")
    shelf = Shelf(tmp_path, tmp_path / "out")
    own = shelf.part(Media("b", moving=True)).name.split(".", 1)[1].partition("+")[0]
    part = tmp_path / "out" / ".prepared" / "parts" / name.format(own=own)
    part.parent.mkdir(parents=True)
    part.touch()

    shelf.begin(Recipe())

    assert part.exists() is stays


def test_part_that_nobody_has_written_to_for_days_is_swept(tmp_path):
    part = tmp_path / "out" / ".prepared" / "parts" / "a.elsewhere.1"
    part.parent.mkdir(parents=True)
    part.touch()

    Shelf(tmp_path, tmp_path / "out").begin(Recipe(), now=lambda: time.time() + 2 * ABANDONED_S)

    assert not part.exists()


def test_clip_that_is_left_raw_is_no_unreadable_one(capsys):
    tally = Tally(1, raw={"a.mp4": "Unfaithful: frame 3 is shown at 0.1 s"})

    assert judge(tally, 0.0, alone=True) == 0
    assert "left raw: a.mp4: Unfaithful" in capsys.readouterr().err


def test_empty_folder_of_frames_stays_the_bad_clip_that_it_was(tmp_path):
    (tmp_path / "raw" / "empty").mkdir(parents=True)
    rows = annotate(tmp_path / "raw", "empty")

    codes = [prepare(rows, tmp_path / "out") for _ in range(2)]

    assert codes == [0, 0]
    assert list((tmp_path / "out" / "empty").iterdir()) == []


@pytest.mark.parametrize(
    ("bad", "alone", "code"), [(1, True, 1), (1, False, 0), (3, False, 0), (4, False, 1)]
)
def test_part_of_many_may_hold_more_of_the_unreadable_clips_by_chance(bad, alone, code):
    tally = Tally(60, bad={f"{number}.mp4": "no video" for number in range(bad)})

    assert judge(tally, 0.01, alone=alone) == code


def test_path_out_of_the_media_root_is_not_written(corpus, tmp_path, capsys):
    outside = f"../{corpus.parent.name}/small.webm"
    rows = annotate(corpus.parent, outside, name="outside.json")

    prepare(rows, tmp_path / "deep" / "out")

    assert "leads out of the media root" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_folder_of_another_recipe_is_refused(corpus, prepared, capsys):
    assert prepare(corpus, prepared, "--gop", "8") == 2
    assert "give another folder" in capsys.readouterr().err


def test_media_root_itself_is_refused(corpus):
    assert prepare(corpus, corpus.parent) == 2


@pytest.mark.parametrize("wrong", ["frames", "times", "pictures"])
def test_clip_that_differs_from_its_source_is_found_out(corpus, prepared, tmp_path, wrong):
    source = corpus.parent / "a" / "large.mp4"
    other, target = tmp_path / "other.mp4", tmp_path / "made.mp4"
    frames = moving(39 if wrong == "frames" else 40, 300, 400)
    pictures = 255 - frames if wrong == "pictures" else frames
    encode(pictures, other, HD, fps=24 if wrong == "times" else 25)
    with open_video(source) as video:
        shown = shown_by(video, Recipe())
    compare(prepared / "a" / "large.mp4", shown)

    encode_clip(other, target, Recipe())

    with pytest.raises(UnfaithfulError):
        compare(target, shown)


def shown_by(video, recipe):
    shown = Shown([], {})
    for i, frame in enumerate(video.frames()):
        shown.times_s.append(float(frame.time))
        if i == 0:
            height, width = recipe.size(frame.height, frame.width)
            shown.pictures[0] = frame.to_ndarray(width=width, height=height, format="rgb24")
    return shown


def started(annotations, out, **how):
    command = [sys.executable, "-m", "jobs.data.prepare", str(annotations)]
    where = ["--media", str(annotations.parent), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(
        [*command, *where], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how,
    )  # fmt: skip


@pytest.fixture
def many(tmp_path):
    root = tmp_path / "many"
    root.mkdir()
    names = [f"{i:02d}.mp4" for i in range(12)]
    encode(moving(40, 280, 360), root / names[0], HD, fps=25)
    for name in names[1:]:
        (root / name).write_bytes((root / names[0]).read_bytes())
    return annotate(root, *names)


@pytest.fixture
def long(tmp_path):
    """A folder with a clip that takes a while."""
    encode(moving(LONG_FRAMES, 280, 360), tmp_path / "long.mp4", HD, fps=25)
    return tmp_path


def visible(out):
    return sorted(path for path in out.glob("*.mp4"))


def wait_for(out, count):
    until = time.monotonic() + 60
    while len(visible(out)) < count and time.monotonic() < until:
        time.sleep(0.02)
    assert len(visible(out)) >= count


def test_killed_call_leaves_whole_clips_and_the_next_one_does_the_rest(many, tmp_path):
    out = tmp_path / "out"
    process = started(many, out)
    wait_for(out, 3)
    process.kill()
    process.communicate(timeout=180)
    done = {path: path.stat().st_ino for path in visible(out)}
    assert 3 <= len(done) < 12
    for path in done:
        assert len(set(read_clip(path, Wish(40)).seconds)) == 40

    assert prepare(many, out) == 0

    assert len(visible(out)) == 12
    assert {path: path.stat().st_ino for path in done} == done
    assert list((out / ".prepared" / "parts").iterdir()) == []


def test_call_that_is_told_to_stop_ends_with_75(many, tmp_path):
    process = started(many, tmp_path / "out")
    wait_for(tmp_path / "out", 1)

    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=180)

    assert process.returncode == 75, told
    assert list((tmp_path / "out" / ".prepared" / "parts").iterdir()) == []


def test_disk_that_takes_no_more_is_no_fault_of_the_clips(many, tmp_path):
    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    process = started(many, tmp_path / "out", preexec_fn=small_files_only)
    told = process.communicate(timeout=180)[1]

    assert process.returncode == 1
    assert told.startswith("error: writing fails: ")
    assert "make room" in told
    assert visible(tmp_path / "out") == []
    assert not (tmp_path / "out" / ".prepared" / "bad").exists()
    assert list((tmp_path / "out" / ".prepared" / "parts").iterdir()) == []


def test_pipeline_stage_shares_the_work_among_its_ranks(run, many, tmp_path):
    out = tmp_path / "out"
    few = annotate(many.parent, "00.mp4", "01.mp4", "02.mp4", "03.mp4", name="few.json")
    argv = ["{python}", "-m", "jobs.data.prepare", few, "--media", few.parent, "--out", out]
    command = {
        "argv": [str(word) for word in argv],
        "cwd": str(ROOT),
        "checkpoints": "none",
        "progress": r"(?P<step>\d+)/(?P<total>\d+) media",
    }

    attempt = run_stage(run, command_spec("s", command), ranks=2)

    assert (attempt.codes, attempt.story.outcome) == ([0, 0], "done")
    assert done_marker(run.stage("s").checkpoints, digests=True) is not None
    assert len(visible(out)) == 4
    shares = [attempt.log(rank).split(" media: ")[1].split()[0] for rank in (0, 1)]
    assert sum(map(int, shares)) == 4
    assert "0" not in shares
