"""Frames to the grey levels that the video encoder takes.

Letters in names: T time, H height, W width, C channel.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

CROP_RATIOS = (3 / 4, 4 / 3)
CROP_TRIES = 10
FLIP_PART = 0.5


class Uniform(Protocol):
    """Where the draws of a crop come from: `GeneratorUniform`, or torch's calls for a check."""

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""

    def integer(self, end: int) -> int:
        """An integer in [0, end)."""


@dataclass(frozen=True)
class GeneratorUniform:
    """Draws of a numpy generator."""

    rng: np.random.Generator

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return float(self.rng.uniform(low, high))

    def integer(self, end: int) -> int:
        """An integer in [0, end)."""
        return int(self.rng.integers(end))


@dataclass(frozen=True)
class Augmentation:
    """What is done alike to all frames of a clip, before they are resized.

    Attributes:
        top: first row that is kept, in pixels.
        left: first column.
        height: rows kept.
        width: columns kept.
        mirrored: left and right are exchanged.
    """

    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False

    @classmethod
    def draw(
        cls, height: int, width: int, draws: Uniform, *, min_scale: float, flip: bool
    ) -> "Augmentation":
        """Draws for frames of `height` x `width`; mirrors half of the clips if `flip`.

        The crop is drawn first, then the mirroring, which is drawn also where it is not used: the
        flag changes nothing else.
        """
        box = crop_box(height, width, draws, min_scale)
        mirrored = draws.uniform(0.0, 1.0) < FLIP_PART
        return cls(*box, mirrored=mirrored and flip)

    def cut(self, video_TCHW: Tensor) -> Tensor:
        """The part that is kept, as a view."""
        bottom, right = self.top + self.height, self.left + self.width
        return video_TCHW[..., self.top : bottom, self.left : right]


def to_pixels(
    frames_THWC: NDArray[np.uint8],
    size_px: int,
    augmentation: Augmentation | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Resizes a clip.

    Args:
        frames_THWC: uint8 RGB.
        size_px: side of the square that comes out.
        augmentation: for training; None takes the whole picture (test), whatever its shape.
        out: where to write it, such as a place of a batch.

    Returns:
        uint8 (T, C, size_px, size_px); `out`, if there is one.
    """
    video_TCHW = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2)
    return resized(video_TCHW, size_px, augmentation, out)


def resized(
    video_TCHW: Tensor,
    size_px: int,
    augmentation: Augmentation | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """A clip's part at its new size, in whole grey levels, uint8.

    As in the reference (torchvision 0.14 on uint8 tensors): bicubic **without antialiasing**,
    on which the released weights were trained, and rounded, half to even, before anything else.
    """
    part_TCHW = video_TCHW if augmentation is None else augmentation.cut(video_TCHW)
    small_TCHW = functional.interpolate(
        part_TCHW.float(), size=(size_px, size_px), mode="bicubic", align_corners=False
    )
    small_TCHW = small_TCHW.clamp_(0, 255).round_()
    if augmentation is not None and augmentation.mirrored:
        small_TCHW = small_TCHW.flip(-1)
    if out is None:
        return small_TCHW.to(torch.uint8)
    if out.shape != small_TCHW.shape:  # copying would repeat one frame
        raise ValueError(f"a clip {tuple(small_TCHW.shape)} has no place in {tuple(out.shape)}")
    return out.copy_(small_TCHW)


def crop_box(
    height: int, width: int, draws: Uniform, min_scale: float
) -> tuple[int, int, int, int]:
    """Draws a box of `min_scale` to all of the area, sides 3:4 to 4:3.

    The draws and their order are those of torchvision 0.14's RandomResizedCrop.

    Returns:
        top, left, height, width in pixels.
    """
    narrowest, widest = (math.log(ratio) for ratio in CROP_RATIOS)
    for _ in range(CROP_TRIES):
        area = height * width * draws.uniform(min_scale, 1.0)
        ratio = math.exp(draws.uniform(narrowest, widest))
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_height <= height and 0 < box_width <= width:
            top = draws.integer(height - box_height + 1)
            left = draws.integer(width - box_width + 1)
            return top, left, box_height, box_width
    return _central_box(height, width)


def _central_box(height: int, width: int) -> tuple[int, int, int, int]:
    """All of the frame, without what makes it longer than the longest sides allowed."""
    narrowest, widest = CROP_RATIOS
    box_height = min(height, round(width / narrowest))
    box_width = min(width, round(height * widest))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width
