"""Pictures: one, and a folder of them as a video."""

import numpy as np
import pytest
from PIL import Image

from jobs.data.dataset import BadClip, ClipDataset, SampleKey
from jobs.data.errors import UnreadableClipError
from jobs.data.items import CaptionItem, MediaSet
from jobs.data.pictures import read_frames, read_image
from jobs.data.sampling import Sampling
from jobs.data.video import Wish


@pytest.fixture
def folder(tmp_path):
    """12 pictures named by numbers of unequal length, each brighter than the one before."""
    for i in range(12):
        Image.fromarray(np.full((20, 30, 3), 20 * i, np.uint8)).save(tmp_path / f"img{i + 1}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def greys(clip):
    return [int(frame[0, 0, 0]) // 20 for frame in clip.frames_THWC]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_read_image_gives_one_frame(tmp_path, suffix):
    picture = np.zeros((30, 50, 3), np.uint8)
    picture[:, 20:] = (200, 30, 60)
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}", quality=98)

    clip = read_image(tmp_path / f"a.{suffix}")

    assert clip.frames_THWC.shape == (1, 30, 50, 3)
    assert np.abs(clip.frames_THWC[0].astype(int) - picture).mean() < 1.5


def test_read_image_of_a_broken_file_is_unreadable(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")

    with pytest.raises(UnreadableClipError):
        read_image(tmp_path / "a.jpg")


def test_folder_of_pictures_is_read_in_the_order_of_their_numbers(folder):
    clip = read_frames(folder, Wish(4), fps=3.0)

    assert (greys(clip), clip.frames_THWC.shape) == ([1, 4, 7, 10], (4, 20, 30, 3))
    assert np.allclose(clip.seconds, [1 / 3, 4 / 3, 7 / 3, 10 / 3])


def test_folder_of_pictures_is_read_between_start_and_end(folder):
    assert greys(read_frames(folder, Wish(3, start_s=1.0, end_s=3.0), fps=3.0)) == [3, 5, 7]


def test_folder_of_pictures_is_sampled_at_a_fixed_rate(folder):
    assert greys(read_frames(folder, Wish(3, Sampling.parse("fps1")), fps=3.0)) == [2, 4, 8]


def test_folder_with_fewer_pictures_than_frames_repeats_the_last(folder):
    assert greys(read_frames(folder, Wish(14), fps=3.0))[-3:] == [11, 11, 11]


def test_folder_without_pictures_is_unreadable(tmp_path):
    with pytest.raises(UnreadableClipError, match="it holds no pictures"):
        read_frames(tmp_path, Wish(2), fps=3.0)


def test_broken_picture_in_a_folder_is_named(folder):
    (folder / "img2.png").write_bytes(b"no picture")

    with pytest.raises(UnreadableClipError) as caught:
        read_frames(folder, Wish(12), fps=3.0)

    assert caught.value.path == folder / "img2.png"


def test_picture_of_another_size_makes_a_folder_unreadable(folder):
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "img3.png")

    with pytest.raises(UnreadableClipError, match="must have the same shape"):
        read_frames(folder, Wish(12), fps=3.0)


def test_set_of_frame_folders_gives_videos(folder):
    items = (CaptionItem("video", folder.name, "a"), CaptionItem("video", "missing", "b"))
    own = MediaSet("tv", "video", items, folder.parent, media_form="frames", fps=3.0)
    dataset = ClipDataset([own], frames=4, size_px=8, train=False)

    good, bad = dataset[SampleKey(0, 0)], dataset[SampleKey(0, 1)]

    assert good.video_TCHW.shape == (4, 3, 8, 8)
    text = "No such file or directory"
    assert bad == BadClip("tv", "missing", "FileNotFoundError", text, SampleKey(0, 1))
