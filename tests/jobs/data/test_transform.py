import numpy as np
import pytest
import torch

from jobs.data.transform import IMAGENET_MEAN, IMAGENET_STD, crop_box, to_tensor


def picture_half_white(frames=2, height=40, width=60):
    """Left half black, right half white."""
    video = np.zeros((frames, height, width, 3), np.uint8)
    video[:, :, width // 2 :] = 255
    return video


def test_clip_for_test_is_the_whole_picture_normalised():
    video = to_tensor(np.full((3, 40, 60, 3), 255, np.uint8), 16)

    white = [(1 - mean) / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    expected = torch.tensor(white).view(1, 3, 1, 1).expand(3, 3, 16, 16)
    torch.testing.assert_close(video, expected)


def test_all_frames_of_a_clip_are_cut_alike():
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 60, 3), np.uint8)

    video = to_tensor(np.repeat(frame, 3, 0), 16, rng=np.random.default_rng(1), flip=True)

    assert torch.equal(video[0], video[1])
    assert torch.equal(video[0], video[2])


@pytest.mark.parametrize("min_scale", [0.5, 0.9])
def test_crop_lies_inside_and_keeps_the_area_asked_for(min_scale):
    for seed in range(200):
        top, left, height, width = crop_box(60, 80, np.random.default_rng(seed), min_scale)

        assert 0 <= top <= 60 - height
        assert 0 <= left <= 80 - width
        assert height * width >= 0.98 * min_scale * 60 * 80


def test_crop_of_a_strip_is_central_where_no_box_fits():
    assert crop_box(10, 400, np.random.default_rng(0), 0.9) == (0, 193, 10, 13)


def test_flip_mirrors_half_of_the_clips():
    videos = [
        to_tensor(picture_half_white(), 16, rng=np.random.default_rng(i), min_scale=0.9, flip=True)
        for i in range(100)
    ]

    mirrored = sum(bool(video[0, 0, 8, 0] > video[0, 0, 8, -1]) for video in videos)

    assert 35 <= mirrored <= 65


def test_flip_off_never_mirrors_and_changes_nothing_else():
    for seed in range(50):
        plain = to_tensor(picture_half_white(), 16, rng=np.random.default_rng(seed))
        may = to_tensor(picture_half_white(), 16, rng=np.random.default_rng(seed), flip=True)

        assert plain[0, 0, 8, 0] <= plain[0, 0, 8, -1]
        assert torch.allclose(may, plain) or torch.allclose(may, plain.flip(-1), atol=1e-5)


def test_clip_is_the_same_for_the_same_generator_state_only():
    video = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), np.uint8)

    first, again, other = (to_tensor(video, 16, rng=np.random.default_rng(i)) for i in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
