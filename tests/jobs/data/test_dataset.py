import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.data.annotations import open_set
from jobs.data.dataset import BadClip, ClipDataset, Sample, SampleKey, keyed_rng, may_flip
from jobs.data.items import CaptionItem, ConversationItem, MediaSet, Turn
from jobs.data.synthetic import encode


@pytest.fixture
def captions(made_set):
    return open_set(made_set.root / "train_captions.json", made_set.root)


def chat(*texts):
    turns = tuple(Turn("", text, "yes") for text in texts)
    return ConversationItem("text", None, turns)


def test_sample_has_the_clip_its_text_and_its_key(captions):
    dataset = ClipDataset([captions], frames=4, size_px=32, train=True)

    sample = dataset[SampleKey(1, 5)]

    assert sample.video_TCHW.shape == (4, 3, 32, 32)
    assert (sample.item, sample.key) == (captions.items[5], SampleKey(1, 5))
    assert (sample.kind, sample.set_name, len(sample.seconds)) == ("video", "train_captions", 4)


def test_samples_read_together_are_those_read_alone_and_lie_side_by_side(captions):
    dataset = ClipDataset([captions], frames=4, size_px=32, train=True)
    keys = [SampleKey(1, index) for index in (5, 2, 7)]

    together = dataset.read_all(keys)

    first = together[0].video_TCHW
    for place, (key, one) in enumerate(zip(keys, together, strict=True)):
        assert torch.equal(one.video_TCHW, dataset[key].video_TCHW)
        assert one.video_TCHW.data_ptr() == first.data_ptr() + place * first.numel()


def test_samples_of_different_shapes_are_read_together_too(captions, tmp_path):
    Image.fromarray(np.full((20, 30, 3), 99, np.uint8)).save(tmp_path / "a.png")
    pictures = MediaSet("photos", "image", (CaptionItem("image", "a.png", "grey"),), tmp_path)
    dataset = ClipDataset([captions, pictures], frames=4, size_px=8, train=False)

    found = dataset.read_all([SampleKey(0, 0), SampleKey(0, 96)])

    assert [one.video_TCHW.shape[0] for one in found] == [4, 1]


def test_sample_depends_on_seed_epoch_and_index_only(captions):
    def video(seed, epoch):
        dataset = ClipDataset([captions], frames=4, size_px=32, train=True, seed=seed)
        torch.rand(3)
        return dataset[SampleKey(epoch, 5)].video_TCHW

    first = video(0, 1)

    assert torch.equal(video(0, 1), first)
    assert not torch.equal(video(0, 2), first)
    assert not torch.equal(video(1, 1), first)


def test_sample_for_test_is_the_same_in_every_epoch(captions):
    dataset = ClipDataset([captions], frames=4, size_px=32, train=False)

    first, later = dataset[SampleKey(0, 3)], dataset[SampleKey(9, 3)]

    assert torch.equal(first.video_TCHW, later.video_TCHW)


def test_sample_of_another_sampling_has_its_frames(captions):
    dataset = ClipDataset([captions], frames=3, size_px=32, train=True, sample="fps6")

    first, later = dataset[SampleKey(0, 3)], dataset[SampleKey(1, 3)]

    assert first.seconds == later.seconds
    assert np.allclose(np.diff(first.seconds), 2 / 12, atol=2e-3)


def test_indices_count_through_all_sets(captions):
    talk = MediaSet("chat", "text", (chat("a"), chat("b")), captions.root)
    dataset = ClipDataset([talk, captions, talk], frames=2, size_px=8, train=False)

    found = [dataset.find(i) for i in (0, 1, 2, 97, 98, 99)]

    assert len(dataset) == 100
    assert found == [
        (talk, talk.items[0]),
        (talk, talk.items[1]),
        (captions, captions.items[0]),
        (captions, captions.items[95]),
        (talk, talk.items[0]),
        (talk, talk.items[1]),
    ]


def test_index_after_the_last_is_refused(captions):
    with pytest.raises(IndexError, match=r"sample 96 is not in \[0, 96\)"):
        ClipDataset([captions], frames=2, size_px=8, train=False)[SampleKey(0, 96)]


def test_text_sample_has_no_video(tmp_path):
    talk = MediaSet("chat", "text", (chat("a"),), tmp_path)

    sample = ClipDataset([talk], frames=2, size_px=8, train=True)[SampleKey(0, 0)]

    assert sample == Sample(None, chat("a"), SampleKey(0, 0), "chat")


def test_image_sample_has_one_frame(tmp_path):
    Image.fromarray(np.full((20, 30, 3), 99, np.uint8)).save(tmp_path / "a.png")
    pictures = MediaSet("photos", "image", (CaptionItem("image", "a.png", "grey"),), tmp_path)

    sample = ClipDataset([pictures], frames=4, size_px=8, train=True)[SampleKey(0, 0)]

    assert sample.video_TCHW.shape == (1, 3, 8, 8)


def test_clip_of_a_span_is_read_inside_it(captions):
    item = ConversationItem("video", captions.items[0].media, (Turn("", "", "x"),), 0.3, 0.7)
    part = MediaSet("part", "video", (item,), captions.root)

    sample = ClipDataset([part], frames=3, size_px=8, train=False)[SampleKey(0, 0)]

    # From the frame that is shown at 0.3 s on, the four whole ones of 0.4 s, at 12 a second.
    assert np.allclose(sample.seconds, [3 / 12, 4 / 12, 5 / 12], atol=2e-3)


def test_broken_clip_is_reported_without_its_text_and_without_another_clip(tmp_path, captions):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    shutil.copy(captions.root / captions.items[0].media, tmp_path / "good.mp4")
    items = tuple(CaptionItem("video", f"{name}.mp4", name) for name in ("broken", "good"))
    dataset = ClipDataset(
        [MediaSet("some", "video", items, tmp_path)], frames=2, size_px=8, train=True
    )

    bad, good = dataset[SampleKey(3, 0)], dataset[SampleKey(3, 1)]

    text = "Invalid data found when processing input"
    assert bad == BadClip("some", "broken.mp4", "InvalidDataError", text, SampleKey(3, 0))
    assert good.item.caption == "good"


def test_blank_sample_has_the_shape_and_text_of_its_own_but_black_frames(captions, tmp_path):
    pictures = MediaSet("photos", "image", (CaptionItem("image", "no.png", "grey"),), tmp_path)
    talk = MediaSet("chat", "text", (chat("a"),), tmp_path)
    dataset = ClipDataset([captions, pictures, talk], frames=4, size_px=8, train=True)

    clip, picture, text = (dataset.blank(SampleKey(2, index)) for index in (5, 96, 97))

    own = dataset[SampleKey(2, 5)]
    assert (clip.item, clip.key, clip.set_name) == (own.item, own.key, own.set_name)
    assert (clip.video_TCHW.shape, clip.video_TCHW.dtype) == (own.video_TCHW.shape, torch.uint8)
    assert len(clip.seconds) == len(own.seconds)
    assert picture.video_TCHW.shape == (1, 3, 8, 8)
    assert not clip.video_TCHW.any()
    assert text == dataset[SampleKey(2, 97)]


def test_blank_sample_in_tiles_has_one_tile_normalised_as_theirs(captions):
    dataset = ClipDataset([captions], frames=2, size_px=16, train=True, max_tiles=4)

    blank, own = dataset.blank(SampleKey(0, 0)), dataset[SampleKey(0, 0)]

    assert blank.video_TCHW.shape == (2, 3, 16, 16)
    assert blank.video_TCHW.dtype == own.video_TCHW.dtype == torch.float32


@pytest.mark.parametrize(
    ("caption", "directional", "expected"),
    [
        ("a dog runs", False, True),
        ("a dog runs", True, False),
        ("a dog runs to the Left", False, False),
        ("seen from the rightmost seat", False, False),
    ],
)
def test_may_flip_only_where_sides_do_not_matter(tmp_path, caption, directional, expected):
    item = CaptionItem("video", "a.mp4", caption)

    own = MediaSet("some", "video", (item,), tmp_path, directional=directional)

    assert may_flip(own, item) is expected


def test_keyed_rng_differs_by_stream():
    draws = {keyed_rng(0, SampleKey(1, 2), stream).random() for stream in range(3)}

    assert len(draws) == 3


@pytest.mark.parametrize(("directional", "mirrored"), [(True, 0), (False, 20)])
def test_clip_of_a_directional_set_is_never_mirrored(tmp_path, directional, mirrored):
    half = np.zeros((12, 64, 64, 3), np.uint8)
    half[:, :, 32:] = 250
    encode(half, tmp_path / "half.mp4")
    item = CaptionItem("video", "half.mp4", "a wall")
    own = MediaSet("walls", "video", (item,), tmp_path, directional=directional)
    dataset = ClipDataset([own], frames=1, size_px=16, train=True, min_scale=0.9)

    videos = [dataset[SampleKey(epoch, 0)].video_TCHW for epoch in range(40)]

    found = sum(bool(video[0, 0, 8, 0] > video[0, 0, 8, -1]) for video in videos)
    assert abs(found - mirrored) <= (10 if mirrored else 0)
