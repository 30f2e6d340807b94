"""Pixels to the tensor that the video encoder takes.

Letters in names: T time, H height, W width, C channel.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CROP_RATIOS = (3 / 4, 4 / 3)
CROP_TRIES = 10
FLIP_PART = 0.5


def to_tensor(
    frames_THWC: NDArray[np.uint8],
    size_px: int,
    *,
    rng: np.random.Generator | None = None,
    min_scale: float = 0.5,
    flip: bool = False,
) -> Tensor:
    """Resizes and normalises a clip; with `rng` crops it, and perhaps mirrors it, at random.

    One draw a clip: all its frames are cut and mirrored alike.

    Args:
        frames_THWC: uint8 RGB.
        size_px: side of the square that comes out.
        rng: for training; None resizes the whole picture (test).
        min_scale: smallest part of the area that a crop keeps.
        flip: whether to mirror half of the clips; ignored without `rng`.

    Returns:
        float32 (T, C, size_px, size_px), ImageNet mean 0 and deviation 1.
    """
    video_TCHW = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2)
    if rng is not None:
        whole_height, whole_width = video_TCHW.shape[-2:]
        top, left, height, width = crop_box(whole_height, whole_width, rng, min_scale)
        video_TCHW = video_TCHW[..., top : top + height, left : left + width]
        # Drawn also where it is not used, so that the flag changes nothing else.
        if rng.random() < FLIP_PART and flip:
            video_TCHW = video_TCHW.flip(-1)
    return _normalise(_resize(video_TCHW, size_px))


def crop_box(
    height: int, width: int, rng: np.random.Generator, min_scale: float
) -> tuple[int, int, int, int]:
    """Draws a box of `min_scale` to all of the area, sides 3:4 to 4:3 (as torchvision does).

    Returns:
        top, left, height, width in pixels.
    """
    for _ in range(CROP_TRIES):
        area = height * width * rng.uniform(min_scale, 1.0)
        ratio = math.exp(rng.uniform(math.log(CROP_RATIOS[0]), math.log(CROP_RATIOS[1])))
        box_height, box_width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < box_height <= height and 0 < box_width <= width:
            top = int(rng.integers(0, height - box_height + 1))
            left = int(rng.integers(0, width - box_width + 1))
            return top, left, box_height, box_width
    return _central_box(height, width)


def _central_box(height: int, width: int) -> tuple[int, int, int, int]:
    narrowest, widest = CROP_RATIOS
    box_height = min(height, round(width / narrowest))
    box_width = min(width, round(height * widest))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def _resize(video_TCHW: Tensor, size_px: int) -> Tensor:
    """uint8 to float32 in [0, 1] at the new size; bicubic overshoots, so it is cut off."""
    resized = functional.interpolate(
        video_TCHW.float() / 255,
        size=(size_px, size_px),
        mode="bicubic",
        align_corners=False,
        antialias=True,
    )
    return resized.clamp_(0.0, 1.0)


def _normalise(video_TCHW: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (video_TCHW - mean) / std
