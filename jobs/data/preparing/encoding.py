"""Encodes one video so that any frame of it is cheap to read, and verifies what came out.

Measured for reading 8 frames of 30 s: groups of 16 with seven B-frames in a row, none of which is
a reference, need at most five decoded frames for one that is wanted; the simpler entropy code
(`coder=vlc`) takes another third off. Against groups of 32 with x264's defaults the file is a third
larger and costs half. Only intra frames would cost a sixth less, but take three times the room.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from jobs.data.decoding import DoubtError, Frame, open_video, upright
from jobs.data.video import read_picture

UNSPECIFIED = 2
"""A colour space that nobody has said, in FFmpeg's numbers."""
TIME_TOLERANCE_S = 0.001
MEAN_LEVELS = 16.0
"""Grey levels that a picture may differ by on average: noise goes, another picture shows."""
CHECKED_AT = (0, 37, 400)
"""Numbers of the frames whose pixels are compared."""
VIDEO_OPTIONS = {
    "preset": "medium",
    "bf": "7",
    "b_strategy": "0",
    "b-pyramid": "none",
    "coder": "vlc",
}


class UnfaithfulError(Exception):
    """The encoded clip does not show what its source shows."""


class StoppedError(Exception):
    """It was told to stop."""


@dataclass(frozen=True)
class Recipe:
    """How clips are encoded.

    Attributes:
        short_side: of the pictures, in pixels; smaller ones stay as they are.
        gop: frames from one key frame to the next.
        crf: x264's quality; lower is better and larger.
    """

    short_side: int = 256
    gop: int = 16
    crf: int = 20

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that come out, both even."""
        scale = min(1.0, self.short_side / min(height, width))
        even = [max(2, 2 * round(side * scale / 2)) for side in (height, width)]
        return even[0], even[1]

    def options(self) -> dict[str, str]:
        """For the encoder."""
        return VIDEO_OPTIONS | {"g": str(self.gop), "crf": str(self.crf)}


@dataclass
class Shown:
    """What a source shows: gathered while it is encoded.

    Attributes:
        times_s: when each frame is shown.
        pictures: some frames at their new size, RGB, by number.
    """

    times_s: list[float]
    pictures: dict[int, Frame]


def encode_clip(
    source: Path, target: Path, recipe: Recipe, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Encodes `source` into the mp4 file `target` and compares the two.

    Sound is left out. Every frame that is shown is there, at its time, upright.

    Args:
        source: any video.
        target: written over; half there when an error is raised.
        recipe: how.
        stopped: asked between two frames.

    Raises:
        UnfaithfulError: what came out shows something else.
        StoppedError: `stopped` said so.
        Exception: `jobs.data.video.DECODER_ERRORS`: the source cannot be read.
    """
    with open_video(source) as video:
        rate = video.stream.average_rate or Fraction(25)
        encoder = _Encoder(target, recipe, rate)
        try:
            for frame in video.frames():
                if stopped():
                    raise StoppedError
                encoder.add(frame)
        finally:
            encoder.close()
    if not encoder.shown.times_s:
        raise ValueError("it holds no frames")
    compare(target, encoder.shown)


def compare(target: Path, shown: Shown) -> None:
    """Raises UnfaithfulError where a file has other frames, times or pictures than its source."""
    with open_video(target) as video:
        try:
            look = video.look()
            order = look.presented()
        except DoubtError:
            raise UnfaithfulError("its packets do not say when they are shown") from None
        if len(order) != len(shown.times_s):
            raise UnfaithfulError(f"{len(order)} frames, of {len(shown.times_s)} in the source")
        time_base = video.stream.time_base
        times_s = np.array([float(look.shown_at[i] * time_base) for i in order])
        late_s = np.abs(times_s - np.array(shown.times_s))
        if late_s.max() > TIME_TOLERANCE_S:
            i = int(late_s.argmax())
            raise UnfaithfulError(
                f"frame {i} is shown at {times_s[i]:.4f} s, in the source at "
                f"{shown.times_s[i]:.4f} s"
            )
        pictures = video.pictures(look, {order[i] for i in shown.pictures})
    for i, expected in shown.pictures.items():
        off = np.abs(pictures[order[i]].astype(int) - expected).mean()
        if off > MEAN_LEVELS:
            raise UnfaithfulError(f"frame {i} is {off:.1f} grey levels off its source")


def is_readable(path: Path) -> bool:
    """Whether a file gives a first picture."""
    return read_picture(path).size > 0


class _Encoder:
    """Takes decoded frames; knows the size and colours only with the first."""

    def __init__(self, target: Path, recipe: Recipe, rate: Fraction) -> None:
        self.shown = Shown([], {})
        self._recipe, self._rate = recipe, rate
        self._container = av.open(str(target), "w", format="mp4", options={"movflags": "faststart"})
        self._stream: av.VideoStream | None = None

    def add(self, frame: "av.VideoFrame") -> None:
        """Encodes a frame."""
        pts, time_base = frame.pts, frame.time_base
        if pts is None:  # the container does not tell times; as reading in order does
            pts, time_base = len(self.shown.times_s), 1 / self._rate
        duration = frame.duration
        if frame.rotation:
            frame = av.VideoFrame.from_ndarray(upright(frame), format="rgb24")
        height, width = self._recipe.size(frame.height, frame.width)
        small = frame.reformat(
            width=width, height=height, format="yuv420p", interpolation="BICUBIC"
        )
        small.pts, small.time_base, small.duration = pts, time_base, duration
        small.pict_type = 0  # the encoder decides
        if self._stream is None:
            self._stream = self._open(small, frame)
        number = len(self.shown.times_s)
        if number in CHECKED_AT:
            self.shown.pictures[number] = small.to_ndarray(format="rgb24")
        self.shown.times_s.append(float(pts * time_base))
        self._container.mux(self._stream.encode(small))

    def close(self) -> None:
        """Writes what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def _open(self, small: "av.VideoFrame", source: "av.VideoFrame") -> "av.VideoStream":
        stream = self._container.add_stream(
            "libx264", rate=self._rate, options=self._recipe.options()
        )
        stream.width, stream.height, stream.pix_fmt = small.width, small.height, "yuv420p"
        context = stream.codec_context
        context.thread_count = 1
        context.time_base = small.time_base
        context.color_range = small.color_range
        if not source.format.is_rgb:
            context.colorspace = small.colorspace
        return stream
