import numpy as np
import pytest
import torch

from jobs.data.transform import (
    Augmentation,
    GeneratorUniform,
    crop_box,
    resized,
    to_pixels,
)


def picture_half_white(frames=2, height=40, width=60):
    """Left half black, right half white."""
    video = np.zeros((frames, height, width, 3), np.uint8)
    video[:, :, width // 2 :] = 255
    return video


def seeded(seed):
    return GeneratorUniform(np.random.default_rng(seed))


def augmented(video, size_px, seed, *, min_scale=0.5, flip=False):
    height, width = video.shape[1:3]
    drawn = Augmentation.draw(height, width, seeded(seed), min_scale=min_scale, flip=flip)
    return to_pixels(video, size_px, drawn)


def test_clip_for_test_is_the_whole_picture_in_grey_levels():
    video = to_pixels(picture_half_white(3), 16)

    assert (video.shape, video.dtype) == ((3, 3, 16, 16), torch.uint8)
    assert video[..., :4].unique().tolist() == [0]
    assert video[..., -4:].unique().tolist() == [255]


@pytest.mark.parametrize("seed", range(4))
def test_clip_written_into_its_place_is_the_one_that_is_given_else(seed):
    frames = np.random.default_rng(seed).integers(0, 256, (2, 40, 60, 3), np.uint8)
    drawn = Augmentation.draw(40, 60, seeded(seed), min_scale=0.5, flip=True)
    room = torch.zeros(3, 2, 3, 16, 16, dtype=torch.uint8)

    written = to_pixels(frames, 16, drawn, room[1])

    assert written.data_ptr() == room[1].data_ptr()
    assert torch.equal(room[1], to_pixels(frames, 16, drawn))
    assert not room[[0, 2]].any()


def test_clip_of_one_frame_is_not_repeated_to_fill_a_place_for_more():
    room = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)

    with pytest.raises(ValueError, match=r"\(1, 3, 16, 16\) has no place in \(2, 3, 16, 16\)"):
        to_pixels(picture_half_white(1), 16, out=room)


def test_all_frames_of_a_clip_are_cut_alike():
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 60, 3), np.uint8)

    video = augmented(np.repeat(frame, 3, 0), 16, 1, flip=True)

    assert torch.equal(video[0], video[1])
    assert torch.equal(video[0], video[2])


@pytest.mark.parametrize("min_scale", [0.5, 0.9])
def test_crop_lies_inside_and_keeps_the_area_asked_for(min_scale):
    for seed in range(200):
        top, left, height, width = crop_box(60, 80, seeded(seed), min_scale)

        assert 0 <= top <= 60 - height
        assert 0 <= left <= 80 - width
        assert height * width >= 0.98 * min_scale * 60 * 80


def test_crop_of_a_strip_is_central_where_no_box_fits():
    assert crop_box(10, 400, seeded(0), 0.9) == (0, 193, 10, 13)


def test_flip_mirrors_half_of_the_clips():
    videos = [
        augmented(picture_half_white(), 16, seed, min_scale=0.9, flip=True) for seed in range(100)
    ]

    mirrored = sum(bool(video[0, 0, 8, 0] > video[0, 0, 8, -1]) for video in videos)

    assert 35 <= mirrored <= 65


def test_flip_off_never_mirrors_and_changes_nothing_else():
    for seed in range(50):
        plain = augmented(picture_half_white(), 16, seed)
        may = augmented(picture_half_white(), 16, seed, flip=True)

        assert plain[0, 0, 8, 0] <= plain[0, 0, 8, -1]
        assert torch.equal(may, plain) or torch.equal(may, plain.flip(-1))


def test_clip_is_the_same_for_the_same_generator_state_only():
    video = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), np.uint8)

    first, again, other = (augmented(video, 16, seed) for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_resizing_keeps_single_pixels_as_the_reference_does():
    """Without antialiasing a picture made four times smaller shows pixels, not their means."""
    stripes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    stripes[..., ::4] = 255

    small = resized(stripes, 16)

    assert small.unique().numel() <= 2
    assert small.dtype is torch.uint8
