import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from jobs.data.annotations import open_set
from jobs.data.index import FOLDER
from jobs.data.items import texts_of
from jobs.data.shapes import RGB, STEP_XY, draw
from jobs.data.synthetic import encode, main, make_set
from jobs.data.transform import to_pixels
from jobs.data.video import Wish, read_clip
from jobs.data.world import scenes, vocabulary, words

ROOT = Path(__file__).parents[3]
TRAIN_FILES = ("train_motion", "train_pairs", "train_captions", "train_qa")
TEST_FILES = ("test_direction", "test_colour", "test_shape")


def see(path):
    """Colour and direction as they show in 4 frames of 32 x 32 pixels, by plain arithmetic."""
    video = to_pixels(read_clip(path, Wish(4)).frames_THWC, 32).permute(0, 2, 3, 1)
    pixels = video.numpy().astype(float)
    weight = np.ptp(pixels, axis=-1) > 90
    colour = np.median(pixels[weight], axis=0)
    named = min(RGB, key=lambda name: np.abs(colour - RGB[name]).sum())
    where = np.array([np.argwhere(frame).mean(0) for frame in weight])
    step_y, step_x = where[-1] - where[0]
    moved = max(STEP_XY, key=lambda name: STEP_XY[name][0] * step_x + STEP_XY[name][1] * step_y)
    steady = np.all(np.diff(where @ np.array(STEP_XY[moved][::-1])) > 0)
    return named, moved, bool(steady)


def folder_content(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.parent.name != FOLDER  # the index of whoever opened a set
    }


def test_every_scene_shows_its_colour_and_direction_at_32_pixels(tmp_path):
    seen, expected = [], []
    for i, scene in enumerate(scenes()):
        clip = draw(scene, np.random.default_rng(i), height=64, width=96, frames=12)
        encode(clip, tmp_path / "a.mp4")
        seen.append(see(tmp_path / "a.mp4"))
        expected.append((scene.colour, scene.direction, True))

    assert seen == expected


def test_clips_of_the_set_show_what_their_questions_say(made_set):
    colours = open_set(made_set.root / "test_colour.json", made_set.root).items
    directions = open_set(made_set.root / "test_direction.json", made_set.root).items

    seen = [see(made_set.root / item.media) for item in colours]

    assert [found[:2] for found in seen] == [
        (colour.answer, way.answer) for colour, way in zip(colours, directions, strict=True)
    ]


def test_set_has_one_row_a_clip_in_each_file_and_all_are_read(made_set):
    sizes = {
        name: len(open_set(made_set.root / f"{name}.json", made_set.root).items)
        for name in (*TRAIN_FILES, *TEST_FILES)
    }

    assert sizes == dict.fromkeys(TRAIN_FILES, 96) | dict.fromkeys(TEST_FILES, 48)


def test_set_mixes_codecs_sizes_and_lengths(made_set):
    clips = sorted((made_set.root / "clips").iterdir())
    shapes = {read_clip(path, Wish(1)).frames_THWC.shape[1:3] for path in clips[:12]}

    assert Counter(path.suffix for path in clips) == {".mp4": 72, ".webm": 72}
    assert shapes == {(64, 64), (64, 96), (112, 80)}


def test_set_holds_every_scene_equally_often(made_set):
    captions = open_set(made_set.root / "train_captions.json", made_set.root).items

    names = {value for scene in scenes() for value in (scene.direction, scene.colour, scene.shape)}
    found = Counter(frozenset(names & set(words(item.caption))) for item in captions)

    assert (len(found), set(found.values())) == (48, {2})


def test_held_out_clips_are_not_among_the_training_clips(made_set):
    train = {path.read_bytes() for path in (made_set.root / "clips").glob("train-*")}
    test = {path.read_bytes() for path in (made_set.root / "clips").glob("test-*")}

    assert (len(train), len(test), train & test) == (96, 48, set())


def test_texts_of_the_set_keep_to_the_vocabulary(made_set):
    known = set(vocabulary())
    used = {
        word
        for name in (*TRAIN_FILES, *TEST_FILES)
        for item in open_set(made_set.root / f"{name}.json", made_set.root).items
        for text in texts_of(item)
        for word in words(text)
    }

    assert used <= known


def test_set_that_is_there_is_left_alone(made_set):
    before = {path: path.stat().st_mtime_ns for path in made_set.root.rglob("*")}

    made = make_set(made_set.root, train=96, test=48, seed=made_set.seed)

    assert made is False
    assert {path: path.stat().st_mtime_ns for path in made_set.root.rglob("*")} == before


def test_set_of_other_arguments_is_not_overwritten(made_set, capsys):
    code = main([str(made_set.root), "--train", "96", "--test", "48", "--seed", "6"])

    assert code == 2
    assert "give another folder or remove this one" in capsys.readouterr().err


def test_same_seed_makes_the_same_files_and_another_seed_others(tmp_path):
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        make_set(tmp_path / name, train=6, test=2, seed=seed)
    first, again, other = (folder_content(tmp_path / name) for name in ("first", "again", "other"))

    assert first == again
    assert not {first[name] for name in first if name.startswith("clips")} & set(other.values())


def test_killed_generator_can_be_called_again(tmp_path, made_set):
    command = [sys.executable, "-m", "jobs.data.synthetic", str(tmp_path / "set")]
    options = ["--train", "96", "--test", "48", "--seed", str(made_set.seed)]
    with subprocess.Popen([*command, *options], cwd=ROOT) as process:
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "set").glob("clips/train-*.mp4"))) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "set" / "made.json").exists()

    done = subprocess.run([*command, *options], cwd=ROOT, check=True, timeout=180)

    assert done.returncode == 0
    assert folder_content(tmp_path / "set") == folder_content(made_set.root)


@pytest.mark.parametrize("name", TEST_FILES)
def test_test_files_are_in_mvbench_format(made_set, name):
    rows = json.loads((made_set.root / f"{name}.json").read_text())

    assert {tuple(row) for row in rows} == {("video", "question", "candidates", "answer")}


def test_set_of_an_older_version_is_made_again(tmp_path):
    make_set(tmp_path, train=2, test=1, seed=0)
    made = tmp_path / "made.json"
    made.write_text(json.dumps(json.loads(made.read_text()) | {"version": 0}))

    assert make_set(tmp_path, train=2, test=1, seed=0) is True
    assert make_set(tmp_path, train=2, test=1, seed=0) is False


def test_folder_that_cannot_be_made_is_told_with_what_to_do(capsys):
    code = main(["/dev/null/clips"])

    assert (code, capsys.readouterr().err) == (
        1,
        "error: /dev/null/clips: cannot be written: Not a directory; give another folder\n",
    )
