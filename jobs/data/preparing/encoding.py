"""Encodes one video so that any frame of it is cheap to read, and verifies what came out.

Measured for reading 8 frames of 30 s: groups of 16 with seven B-frames in a row, none of which is
a reference, need at most five decoded frames for one that is wanted; the simpler entropy code
(`coder=vlc`) takes another third off. Against groups of 32 with x264's defaults the file is a third
larger and costs half. Only intra frames would cost a sixth less, but take three times the room.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from jobs.data.decoding import DoubtError, Frame, open_video, upright

TIME_TOLERANCE_S = 0.001
MEAN_LEVELS = 24.0
"""Grey levels that a picture may differ by on average: noise goes, another picture shows."""
CHECKED_AT = (0, 37, 400)
"""Numbers of the frames whose pixels are compared."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
VIDEO_OPTIONS = {
    "preset": "medium",
    "bf": "7",
    "b_strategy": "0",
    "b-pyramid": "none",
    "coder": "vlc",
}


class UnfaithfulError(Exception):
    """The encoded clip does not show what its source shows."""


class WritingError(Exception):
    """The disk that it writes to is full, or not to be written to."""


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
        WritingError: the disk does not take it.
        Exception: `jobs.data.video.DECODER_ERRORS`: the source cannot be read.
    """
    counted = not _tells_times(source)
    with open_video(source) as video:
        rate = video.stream.average_rate or Fraction(25)
        encoder = _Encoder(target, recipe, rate, counted=counted)
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
    try:
        with open_video(target) as video:
            look = video.look()
            order = look.presented()
            _compare_times([look.shown_at[i] * video.stream.time_base for i in order], shown)
            pictures = video.pictures(look, {order[i] for i in shown.pictures})
    except DoubtError:
        raise UnfaithfulError("its packets do not say what it shows") from None
    for i, expected in shown.pictures.items():
        off = np.abs(pictures[order[i]].astype(int) - expected).mean()
        if off > MEAN_LEVELS:
            raise UnfaithfulError(f"frame {i} is {off:.1f} grey levels off its source")


def _compare_times(times: Sequence[Fraction], shown: Shown) -> None:
    if len(times) != len(shown.times_s):
        raise UnfaithfulError(f"{len(times)} frames, of {len(shown.times_s)} in the source")
    for i, (time, expected_s) in enumerate(zip(times, shown.times_s, strict=True)):
        if abs(float(time) - expected_s) > TIME_TOLERANCE_S:
            raise UnfaithfulError(
                f"frame {i} is shown at {float(time):.4f} s, in the source at {expected_s:.4f} s"
            )


@contextmanager
def telling_full_disk() -> Iterator[None]:
    """Makes a WritingError of what is no fault of the source."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise WritingError(f"writing fails: {error}") from error
        raise


def _tells_times(source: Path) -> bool:
    """Whether a file says when its frames are shown; else they can but be counted."""
    try:
        with open_video(source) as video:
            video.look().presented()
    except DoubtError:  # of the packets; the frames that come of them may know
        with open_video(source) as video:
            times = [frame.time for frame in video.frames()]
        return None not in times and all(a < b for a, b in pairwise(times))
    return True


class _Encoder:
    """Takes decoded frames; knows the size and colours only with the first."""

    def __init__(self, target: Path, recipe: Recipe, rate: Fraction, *, counted: bool) -> None:
        self.shown = Shown([], {})
        self._recipe, self._rate, self._counted = recipe, rate, counted
        self._container = av.open(str(target), "w", format="mp4", options={"movflags": "faststart"})
        self._stream: av.VideoStream | None = None

    def add(self, frame: "av.VideoFrame") -> None:
        """Encodes a frame."""
        number = len(self.shown.times_s)
        pts, time_base, duration = frame.pts, frame.time_base, frame.duration
        if self._counted:
            pts, time_base, duration = number, 1 / self._rate, 1
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
        if number in CHECKED_AT:
            self.shown.pictures[number] = frame.to_ndarray(
                width=width, height=height, format="rgb24", interpolation="BICUBIC"
            )
        self.shown.times_s.append(float(pts * time_base))
        with telling_full_disk():
            self._container.mux(self._stream.encode(small))

    def close(self) -> None:
        """Writes what the encoder still holds."""
        with telling_full_disk():
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
