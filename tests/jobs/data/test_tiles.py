"""Grids of tiles, and the tiles themselves."""

import numpy as np
import pytest
import torch

from jobs.data.annotations import open_set
from jobs.data.dataset import ClipDataset, SampleKey
from jobs.data.tiles import grid_for, tiles_of, to_grid

S = 8


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (720, 1280, (1, 2)),  # 16:9 is nearer to 2:1 than to 3:2
        (1280, 720, (2, 1)),
        (480, 640, (2, 3)),
        (224, 224, (1, 1)),
        (500, 500, (2, 2)),  # of two squares the larger, where it has less than twice the area
        (300, 300, (1, 1)),
        (100, 1000, (1, 6)),
        (10, 20, (1, 2)),
    ],
)
def test_grid_has_the_form_of_the_picture(height, width, grid):
    assert grid_for(height, width, 224, 6) == grid


def test_one_tile_is_the_only_grid_where_one_is_the_most():
    assert grid_for(100, 1000, 224, 1) == (1, 1)


def test_clip_is_resized_to_its_grid_and_normalised():
    frames = np.full((3, 40, 60, 3), 255, np.uint8)

    video = to_grid(frames, S, 6)

    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert video.shape == (3, 3, 2 * S, 3 * S)
    assert torch.allclose(video, white.view(3, 1, 1), atol=1e-5)


def test_tiles_go_row_by_row_and_the_whole_is_last():
    video = torch.arange(6.0).view(2, 3).repeat_interleave(S, 0).repeat_interleave(S, 1)
    video = video.expand(4, 3, 2 * S, 3 * S)

    tiles = tiles_of(video, S)

    assert tiles.shape == (7, 4, 3, S, S)
    assert [tile.unique().tolist() for tile in tiles[:6]] == [[float(i)] for i in range(6)]
    assert tiles[6].mean() == pytest.approx(2.5, abs=0.1)
    assert tiles[6, 0, 0, 0, 0] < 0.5
    assert tiles[6, 0, 0, -1, -1] > 4.5


def test_pixels_of_a_tile_keep_their_places():
    video = torch.randn(2, 3, 2 * S, 2 * S)

    tiles = tiles_of(video, S)

    assert torch.equal(tiles[1], video[..., :S, S:])
    assert torch.equal(tiles[2], video[..., S:, :S])


def test_picture_of_one_tile_is_seen_twice():
    video = torch.randn(1, 3, S, S)

    tile, whole = tiles_of(video, S)

    assert torch.equal(tile, video)
    assert torch.allclose(whole, video, atol=1e-5)


def test_sample_in_tiles_is_neither_cropped_nor_mirrored(made_set):
    opened = open_set(made_set.root / "train_captions.json", made_set.root)
    dataset = ClipDataset([opened], frames=2, size_px=16, train=True, max_tiles=4, sample="middle")

    first, later = dataset[SampleKey(0, 3)], dataset[SampleKey(1, 3)]

    assert torch.equal(first.video_TCHW, later.video_TCHW)
    assert first.video_TCHW.shape == (2, 3, 32, 32)
