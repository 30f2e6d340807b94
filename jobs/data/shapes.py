"""Draws the synthetic clips: one bright object that crosses a dim background.

Letters in names: T time, H height, W width, C channel.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.data.world import Scene

Grid = NDArray[np.floating[Any]]

RGB = {
    "red": (230, 40, 40),
    "green": (40, 205, 60),
    "blue": (50, 80, 240),
    "yellow": (235, 220, 50),
}
STEP_XY = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
# The object stays whole and large enough for its shape to survive a resize to 32 pixels, and
# crosses enough of the picture for its way to show in 4 frames.
RADIUS = (0.17, 0.24)
TRAVEL = (0.7, 1.0)
ARM = 0.32
GREY = (10, 70)
TINT, SLOPE, NOISE = 10, 15, 4


def draw(
    scene: Scene, rng: np.random.Generator, *, height: int, width: int, frames: int
) -> NDArray[np.uint8]:
    """Draws a clip.

    Args:
        scene: what is to be seen.
        rng: draws size, place, speed, background and noise.
        height: in pixels.
        width: in pixels.
        frames: how many.

    Returns:
        uint8 RGB (T, H, W, C).
    """
    radius = rng.uniform(*RADIUS) * min(height, width)
    x_T, y_T = _path(scene.direction, radius, rng, height=height, width=width, frames=frames)
    x_TW = np.arange(width, dtype=np.float32)[None, :] - x_T[:, None]
    y_TH = np.arange(height, dtype=np.float32)[None, :] - y_T[:, None]
    cover_THW = _cover(scene.shape, x_TW[:, None, :], y_TH[:, :, None], radius, rng)
    colour_C = np.asarray(RGB[scene.colour], dtype=np.float32)
    back_HWC = _background(rng, height, width)
    video_THWC = back_HWC + cover_THW[..., None] * (colour_C - back_HWC)
    video_THWC += rng.normal(0, NOISE, video_THWC.shape)
    return np.clip(video_THWC, 0, 255).astype(np.uint8)


def _path(
    direction: str,
    radius: float,
    rng: np.random.Generator,
    *,
    height: int,
    width: int,
    frames: int,
) -> tuple[Grid, Grid]:
    """Centres of the object, x and y in pixels, each (T,); it never leaves the picture."""
    along = np.linspace(0.0, 1.0, frames, dtype=np.float32)
    ways = []
    for step, side in zip(STEP_XY[direction], (width, height), strict=True):
        room = side - 2 * radius
        travel = rng.uniform(*TRAVEL) * room * abs(step)
        start = radius + rng.uniform(0, room - travel)
        ways.append(start + travel * (along if step >= 0 else 1 - along))
    return ways[0], ways[1]


def _cover(shape: str, x: Grid, y: Grid, radius: float, rng: np.random.Generator) -> Grid:
    """How much of each pixel the object covers, 0 to 1, (T, H, W)."""
    if shape == "circle":
        return np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)
    lying, standing = (_box(x, y, radius, ARM * radius), _box(x, y, ARM * radius, radius))
    if shape == "cross":
        return np.maximum(lying, standing)
    return lying if rng.random() < 0.5 else standing  # noqa: PLR2004 - one half


def _box(x: Grid, y: Grid, half_width: float, half_height: float) -> Grid:
    inside_x = np.clip(half_width - np.abs(x) + 0.5, 0, 1)
    inside_y = np.clip(half_height - np.abs(y) + 0.5, 0, 1)
    inside: Grid = inside_x * inside_y
    return inside


def _background(rng: np.random.Generator, height: int, width: int) -> Grid:
    """A dim plane with a slight tint and slope, (H, W, C)."""
    colour_C = rng.uniform(*GREY) + rng.uniform(-TINT, TINT, 3)
    slope_x, slope_y = rng.uniform(-SLOPE, SLOPE, 2)
    x_W, y_H = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
    slope_HW = slope_x * x_W[None, :] + slope_y * y_H[:, None]
    plane_HWC: Grid = colour_C + slope_HW[..., None]
    return plane_HWC
