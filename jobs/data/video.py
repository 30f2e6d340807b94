"""Reads the frames that are needed out of a media file, and decodes no more than they need.

`jobs.data.decoding` has the plan. Where a file's packets cannot be trusted, every frame is decoded
in order, which trusts nothing; that is also how pictures are read.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from jobs.data.decoding import DoubtError, Frame, Video, open_video, upright
from jobs.data.errors import UnreadableClipError
from jobs.data.sampling import Draws, Sampling

# Decoders answer damage with errors of many families (all were seen in a fuzz of damaged files).
DECODER_ERRORS = (
    av.FFmpegError,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
)
RATE_TOLERANCE = 0.05
# Containers may leave out the length of the last frame; half a frame more for rounding.
RATE_SLACK_FRAMES = 1.5
MIDDLE = Sampling("middle")


@dataclass(frozen=True)
class Clip:
    """Frames out of a media file.

    Attributes:
        frames_THWC: uint8, RGB, (time, height, width, 3).
        seconds: when each frame is shown, counted from the start of the file.
        in_order: everything up to the last of them was decoded, because the file could not be
            trusted or is a picture.
    """

    frames_THWC: Frame  # noqa: N815 - the letters are its shape
    seconds: tuple[float, ...]
    in_order: bool = False


@dataclass(frozen=True)
class Wish:
    """Which frames are wanted, in words that need no knowledge of the file.

    Attributes:
        frames: how many; a shorter clip repeats its last frame.
        sampling: how they are spread.
        draws: where the draws of a random sampling come from.
        start_s: only frames from this second on.
        end_s: only frames before this second.
    """

    frames: int
    sampling: Sampling = MIDDLE
    draws: Draws | None = None
    start_s: float | None = None
    end_s: float | None = None

    def choose(self, times_s: Sequence[float], rate: float) -> list[int]:
        """Indices of the frames wanted.

        Args:
            times_s: when each frame of the file is shown.
            rate: frames a second, on average.

        Raises:
            ValueError: if there are none.
        """
        inside = self._inside(np.asarray(times_s), rate)
        if not inside:
            start_s, end_s = self.start_s or 0, np.inf if self.end_s is None else self.end_s
            raise ValueError(f"none of {len(times_s)} frames lies in [{start_s} s, {end_s} s)")
        chosen = self.sampling.choose(len(inside), self.frames, rate=rate, draws=self.draws)
        return [inside[i] for i in chosen]

    def _inside(self, times_s: NDArray[np.float64], rate: float) -> range:
        """By the frames' numbers, as the reference does, where these tell the time."""
        count = len(times_s)
        if (self.start_s is None and self.end_s is None) or _is_steady(times_s, rate):
            return self.sampling.within(count, rate, self.start_s, self.end_s)
        first = int(np.searchsorted(times_s, self.start_s or 0.0, "right")) - 1
        end = count if self.end_s is None else int(np.searchsorted(times_s, self.end_s))
        if (self.start_s or 0.0) >= times_s[-1] + 1 / rate:  # the last frame is over by then
            return range(0)
        return range(max(first, 0), max(first + 1, end))


def read_clip(path: Path, wish: Wish) -> Clip:
    """Reads the frames that are wished for out of a video or a GIF.

    Raises:
        UnreadableClipError: for whatever is wrong with the file.
    """
    with telling_decoder_errors(path), open_video(path) as video:
        try:
            return _read_needed(video, wish)
        except DoubtError:
            return _read_in_order(path, wish, video.stream.average_rate)


def read_picture(path: Path) -> Frame:
    """Reads the first picture of a file: uint8, RGB, (height, width, 3); raises DECODER_ERRORS."""
    for _, frame in _timed_frames(path):
        return upright(frame)
    raise ValueError("it holds no picture")


@contextmanager
def telling_decoder_errors(path: Path) -> Iterator[None]:
    """Makes an UnreadableClipError of what a decoder raises about `path`."""
    try:
        yield
    except DECODER_ERRORS as error:
        raise UnreadableClipError(path, type(error).__name__, _tidy(error)) from error


def _is_steady(times_s: NDArray[np.float64], rate: float) -> bool:
    """Whether each frame is shown within half a frame of where a constant rate has it."""
    expected_s = times_s[0] + np.arange(len(times_s)) / rate
    return bool((np.abs(times_s - expected_s) < 0.5 / rate).all())


def _read_needed(video: Video, wish: Wish) -> Clip:
    look = video.look()
    order, time_base = look.presented(), video.stream.time_base
    times_s = [look.shown_at[i] * time_base.numerator / time_base.denominator for i in order]
    indices = wish.choose(times_s, rate_of(times_s, video.stream.average_rate))
    pictures = video.pictures(look, {order[i] for i in indices})
    frames_THWC = np.stack([pictures[order[i]] for i in indices])
    return Clip(frames_THWC, tuple(times_s[i] for i in indices))


def _read_in_order(path: Path, wish: Wish, declared: Fraction | None) -> Clip:
    """Reads twice: headers lie about the number of frames, a first pass does not."""
    times_s = [time_s for time_s, _ in _timed_frames(path)]
    indices = wish.choose(times_s, rate_of(times_s, declared))
    last, wanted = max(indices), set(indices)
    pictures: dict[int, Frame] = {}
    for i, (_, frame) in enumerate(_timed_frames(path)):
        if i in wanted:
            pictures[i] = upright(frame)
        if i == last:
            break
    frames_THWC = np.stack([pictures[i] for i in indices])
    return Clip(frames_THWC, tuple(times_s[i] for i in indices), in_order=True)


def rate_of(times_s: Sequence[float], declared: Fraction | None) -> float:
    """Frames a second, on average.

    Args:
        times_s: when each frame is shown.
        declared: what the container says; taken where it fits the times, which it does not after
            a cut by an edit list.
    """
    took_s = times_s[-1] - times_s[0] if times_s else 0.0
    if declared:
        expected = (took_s + 1 / float(declared)) * float(declared)
        slack = max(RATE_TOLERANCE * expected, RATE_SLACK_FRAMES)
        if abs(len(times_s) - expected) <= slack:
            return float(declared)
    return (len(times_s) - 1) / took_s if took_s > 0 else 1.0


def _timed_frames(path: Path) -> Iterator[tuple[float, "av.VideoFrame"]]:
    """Each presentable frame and the second at which it is shown."""
    with open_video(path) as video:
        rate = float(video.stream.average_rate or 1)
        for i, frame in enumerate(video.frames()):
            yield (i / rate if frame.time is None else float(frame.time)), frame


def _tidy(error: BaseException) -> str:
    """The decoder's words without what differs from file to file: path, time, source line."""
    words = getattr(error, "strerror", None) or str(error)
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", words.strip().split("\n", 1)[0])
