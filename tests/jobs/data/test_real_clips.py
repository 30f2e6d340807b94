"""Clips filmed by people, out of an installable package: sizes and frame counts are known."""

import av
import numpy as np
import pytest

from jobs.data.video import Wish, read_clip


@pytest.mark.parametrize(
    ("name", "frames", "height", "width"),
    [("bikes.mp4", 250, 272, 640), ("bigbuckbunny.mp4", 132, 720, 1280)],
)
def test_real_clip_gives_distinct_frames_at_the_centres(real_clips, name, frames, height, width):
    clip = read_clip(real_clips / name, Wish(8))

    edges = np.linspace(0, frames, 9).astype(int)
    centres = (edges[:-1] + edges[1:] - 1) // 2
    assert (clip.in_order, clip.frames_THWC.shape) == (False, (8, height, width, 3))
    assert np.allclose(clip.seconds, centres / 25, atol=1e-4)
    assert len({frame.tobytes() for frame in clip.frames_THWC}) == 8


def test_real_clip_has_the_pixels_that_reading_in_order_gives(real_clips):
    clip = read_clip(real_clips / "bikes.mp4", Wish(5))

    wanted = [24, 74, 124, 174, 224]
    with av.open(str(real_clips / "bikes.mp4")) as container:
        decoded = [
            frame.to_ndarray(format="rgb24")
            for i, frame in enumerate(container.decode(video=0))
            if i in wanted
        ]
    assert np.array_equal(clip.frames_THWC, np.stack(decoded))
