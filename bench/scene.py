"""Makes clips that are as hard to decode as filmed ones: a textured scene, moved, with grain."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FPS, HEIGHT, WIDTH = 25, 720, 1280
MARGIN_Y, MARGIN_X = 400, 800
OBJECT_HW, OBJECTS = (200, 160), 3
GRAIN = 3.0


def make_clips(folder: Path, seed: int, seconds: float, keyints: tuple[int, ...]) -> list[Path]:
    """One scene as H.264 by x264's default settings, once for each distance of key frames."""
    paths = [folder / f"scene{seed}-keyint{keyint}.mp4" for keyint in keyints]
    containers = [av.open(str(path), "w") for path in paths]
    streams = []
    for container, keyint in zip(containers, keyints, strict=True):
        stream = container.add_stream("libx264", rate=FPS, options={"g": str(keyint)})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        streams.append(stream)
    for picture in scene(seed, seconds):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        for container, stream in zip(containers, streams, strict=True):
            container.mux(stream.encode(frame))
    for container, stream in zip(containers, streams, strict=True):
        container.mux(stream.encode(None))
        container.close()
    return paths


def scene(seed: int, seconds: float) -> Iterator[NDArray[np.uint8]]:
    """Frames of a camera that wanders over a texture, before which three things move."""
    rng = np.random.default_rng(seed)
    wide = textured(rng, HEIGHT + MARGIN_Y, WIDTH + MARGIN_X, 115, 45)
    thing = textured(rng, *OBJECT_HW, 150, 40)
    grain = rng.normal(0, GRAIN, (HEIGHT + 64, WIDTH + 64, 1)).astype(np.float32)
    for i in range(round(seconds * FPS)):
        t = i / FPS
        x, y = (
            int(m / 2 * (1 + 0.97 * np.sin(t / p))) for m, p in ((MARGIN_X, 4), (MARGIN_Y, 5.3))
        )
        picture = wide[y : y + HEIGHT, x : x + WIDTH] * np.float32(1 + 0.1 * np.sin(t))
        for k in range(OBJECTS):
            top = place(HEIGHT - OBJECT_HW[0], t * (0.5 + 0.2 * k) + 2 * k)
            left = place(WIDTH - OBJECT_HW[1], t * (0.7 + 0.3 * k) + k)
            picture[top : top + OBJECT_HW[0], left : left + OBJECT_HW[1]] = thing
        dy, dx = rng.integers(0, 64, 2)
        noisy = picture + grain[dy : dy + HEIGHT, dx : dx + WIDTH]
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def place(room: int, phase: float) -> int:
    """Where something is that swings to and fro."""
    return int(room * (0.5 + 0.5 * np.sin(phase)))


def textured(
    rng: np.random.Generator, height: int, width: int, mean: float, deviation: float
) -> NDArray[np.float32]:
    """Noise of all sizes, as clouds and leaves have, in colour: (height, width, 3)."""
    planes = [_plane(rng, height, width) for _ in range(3)]
    texture = np.stack(planes, -1)
    return (texture - texture.mean()) / texture.std() * np.float32(deviation) + np.float32(mean)


def _plane(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    plane = np.zeros((height, width), np.float32)
    for octave in range(2, 9):
        cells = 2**octave
        coarse = rng.normal(size=(cells * height // width + 2, cells + 2)).astype(np.float32)
        ys = np.linspace(0, coarse.shape[0] - 1.001, height, dtype=np.float32)
        xs = np.linspace(0, coarse.shape[1] - 1.001, width, dtype=np.float32)
        y, x = ys.astype(int), xs.astype(int)
        part_y, part_x = (ys - y)[:, None], (xs - x)[None]
        upper = coarse[y][:, x] * (1 - part_x) + coarse[y][:, x + 1] * part_x
        lower = coarse[y + 1][:, x] * (1 - part_x) + coarse[y + 1][:, x + 1] * part_x
        plane += (upper * (1 - part_y) + lower * part_y) * np.float32(0.62**octave)
    return plane
