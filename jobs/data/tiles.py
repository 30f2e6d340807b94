"""A picture at high resolution, as tiles that each fit the video encoder.

Notable: a tile is a clip of its own to the model, and the whole picture is one more, the last.
So a sequence holds the visual tokens of several clips in a row, and nothing else changes.

Letters in names: P tiles, T time, H height, W width, C channel.
Source: InternVL 1.5 (arXiv 2404.16821, dynamic aspect ratio matching), as `dataset/hd_utils.py`
and `videochat2_it_hd_mistral.py` of the reference use it, without padding.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.pixels import normalised


def grid_for(height: int, width: int, size_px: int, max_tiles: int) -> tuple[int, int]:
    """Rows and columns of the grid, of at most `max_tiles`, whose form is nearest to a picture's.

    Of grids of one form, such as 1 x 1 and 2 x 2, it is the largest that has less than twice the
    picture's area, or the smallest of all.
    """
    grids = [
        (rows, columns)
        for rows in range(1, max_tiles + 1)
        for columns in range(1, max_tiles // rows + 1)
    ]
    off = {grid: abs(width / height - grid[1] / grid[0]) for grid in grids}
    nearest = sorted(grid for grid in grids if off[grid] == min(off.values()))
    fit = [
        (rows, columns)
        for rows, columns in nearest
        if height * width > rows * columns * size_px**2 / 2
    ]
    return fit[-1] if fit else nearest[0]


def to_grid(frames_THWC: NDArray[np.uint8], size_px: int, max_tiles: int) -> Tensor:
    """Resizes a clip to its grid of tiles, and normalises it; nothing is cut off or mirrored.

    Args:
        frames_THWC: uint8 RGB.
        size_px: side of a tile.
        max_tiles: most tiles of the grid.

    Returns:
        float32 (T, C, rows * size_px, columns * size_px).
    """
    video_TCHW = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2)
    height, width = video_TCHW.shape[-2:]
    rows, columns = grid_for(height, width, size_px, max_tiles)
    size = (rows * size_px, columns * size_px)
    return normalised(_bicubic(video_TCHW.float(), size))


def tiles_of(video_TCHW: Tensor, size_px: int) -> Tensor:
    """The tiles of a clip, row by row from the top, and the whole clip as the last one.

    Args:
        video_TCHW: What `to_grid` gave.
        size_px: side of a tile.

    Returns:
        (P, T, C, size_px, size_px).
    """
    times, colours, height, width = video_TCHW.shape
    rows, columns = height // size_px, width // size_px
    parts = video_TCHW.reshape(times, colours, rows, size_px, columns, size_px)
    tiles_PTCHW = parts.permute(2, 4, 0, 1, 3, 5).flatten(0, 1)
    whole_TCHW = _bicubic(video_TCHW, (size_px, size_px))
    return torch.cat([tiles_PTCHW, whole_TCHW[None]])


def _bicubic(video_TCHW: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(video_TCHW, size=size, mode="bicubic", align_corners=False)
