"""Reads pictures: one as a clip of one frame, a folder of them as the frames of a video."""

import re
from pathlib import Path

import numpy as np

from jobs.data.video import Clip, Wish, read_picture, telling_decoder_errors

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_digits = re.compile(r"\d+").findall


def read_image(path: Path) -> Clip:
    """Reads a picture as a clip of one frame.

    Raises:
        UnreadableClipError: for whatever is wrong with the file.
    """
    with telling_decoder_errors(path):
        return Clip(read_picture(path)[None], (0.0,), in_order=True)


def read_frames(folder: Path, wish: Wish, *, fps: float) -> Clip:
    """Reads the frames that are wished for out of a folder of numbered pictures.

    Only those are opened. They are ordered by the numbers in their names, so that `9.jpg` comes
    before `10.jpg`; the first is shown at second 0, whatever its number.

    Args:
        folder: of pictures of one size; other files in it are passed over.
        wish: which are wanted.
        fps: how many of them make a second.

    Raises:
        UnreadableClipError: for whatever is wrong with the folder or a picture; the text names it.
    """
    with telling_decoder_errors(folder):
        found = (path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
        paths = sorted(found, key=lambda path: ([int(each) for each in _digits(path.stem)], path))
        if not paths:
            raise ValueError(f"it holds no pictures ({', '.join(sorted(PICTURES))})")
        times_s = [i / fps for i in range(len(paths))]
        indices = wish.choose(times_s, fps)
    pictures = {}
    for i in sorted(set(indices)):
        with telling_decoder_errors(paths[i]):
            pictures[i] = read_picture(paths[i])
    with telling_decoder_errors(folder):
        frames_THWC = np.stack([pictures[i] for i in indices])
    return Clip(frames_THWC, tuple(times_s[i] for i in indices), in_order=True)
