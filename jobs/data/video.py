"""Reads the frames that are needed out of a media file.

decord reads first (fast random access). Two of its faults are silent: with an edit list or
broken time stamps it gives wrong frames without an error. Both show in its time stamps, so
those are checked and PyAV, reading in order, takes over. PyAV also reads what decord cannot
open: AV1, GIF, pictures.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import decord
import numpy as np
from numpy.typing import NDArray

from jobs.data.errors import UnreadableClipError
from jobs.data.sampling import Draws, Sampling

Frame = NDArray[np.uint8]

# Both decoders answer damage with errors of many families (TypeError apart, all were seen in
# a fuzz of damaged files); those named here are what a broken file may cause.
DECODER_ERRORS = (
    av.FFmpegError,
    decord.DECORDError,
    decord.DECORDLimitReachedError,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
)
EARLIEST_START_S = -0.001
LENGTH_TOLERANCE = 0.05
# Containers may leave out the length of the last frame; half a frame more for rounding.
LENGTH_SLACK_FRAMES = 1.5
MIDDLE = Sampling("middle")


@dataclass(frozen=True)
class Clip:
    """Frames out of a media file.

    Attributes:
        frames_THWC: uint8, RGB, (time, height, width, 3).
        decoder: which of the two decoders read it.
        seconds: when each frame is shown, counted from the start of the file.
    """

    frames_THWC: Frame  # noqa: N815 - the letters are its shape
    decoder: Literal["decord", "pyav"]
    seconds: tuple[float, ...]


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
    with telling_decoder_errors(path):
        reader = _open_decord(path)
        return _read_decord(reader, wish) if reader else _read_pyav(path, wish)


def read_picture(path: Path) -> Frame:
    """Reads the first picture of a file: uint8, RGB, (height, width, 3); raises DECODER_ERRORS."""
    for _, frame in _pyav_frames(path):
        return _upright(frame)
    raise ValueError("it holds no picture")


@contextmanager
def telling_decoder_errors(path: Path) -> Iterator[None]:
    """Makes an UnreadableClipError of what a decoder raises about `path`."""
    try:
        yield
    except DECODER_ERRORS as error:
        raise UnreadableClipError(path, type(error).__name__, _tidy(error)) from error


def times_are_sound(starts_s: NDArray[np.float64], fps: float, length_s: float | None) -> bool:
    """Whether decord's time stamps say that its frames are the right ones.

    A start before 0 means an edit list that decord ignores, others a broken index. Measured:
    every file with wrong frames showed one of these, no sound file did.

    Args:
        starts_s: start of each frame in seconds, (frames,).
        fps: decord's average frame rate.
        length_s: length of the video by its container; None where it does not say.
    """
    if not len(starts_s) or not np.isfinite(starts_s).all() or starts_s[0] < EARLIEST_START_S:
        return False
    if not np.isfinite(fps) or fps <= 0 or (np.diff(starts_s) <= 0).any():
        return False
    if length_s is None:
        return True
    slack_s = max(LENGTH_TOLERANCE * length_s, LENGTH_SLACK_FRAMES / fps)
    return bool(abs(len(starts_s) / fps - length_s) <= slack_s)


def _is_steady(times_s: NDArray[np.float64], rate: float) -> bool:
    """Whether each frame is shown within half a frame of where a constant rate has it."""
    expected_s = times_s[0] + np.arange(len(times_s)) / rate
    return bool((np.abs(times_s - expected_s) < 0.5 / rate).all())


def _open_decord(path: Path) -> "decord.VideoReader | None":
    """A decord reader, or None where decord cannot read the file or is wrong about it."""
    length_s = _length_s(path)
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        starts_s = _decord_times(reader)
    except (decord.DECORDError, RuntimeError):
        return None
    return reader if times_are_sound(starts_s, reader.get_avg_fps(), length_s) else None


def _length_s(path: Path) -> float | None:
    with _open_pyav(path) as container:
        stream = _video_stream(container)
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        return None if container.duration is None else container.duration / av.time_base


def _decord_times(reader: "decord.VideoReader") -> NDArray[np.float64]:
    stamps = reader.get_frame_timestamp(range(len(reader)))
    return np.asarray(stamps, dtype=np.float64).reshape(len(reader), -1)[:, 0]


def _read_decord(reader: "decord.VideoReader", wish: Wish) -> Clip:
    times_s = _decord_times(reader)
    indices = wish.choose(times_s.tolist(), reader.get_avg_fps())
    frames_THWC = reader.get_batch(indices).asnumpy()
    return Clip(frames_THWC, "decord", tuple(float(times_s[i]) for i in indices))


def _open_pyav(path: Path) -> "av.container.InputContainer":
    # A damaged text tag is no reason to give up the pictures.
    return av.open(str(path), metadata_errors="replace")


def _video_stream(container: "av.container.InputContainer") -> "av.VideoStream":
    if not container.streams.video:
        raise ValueError("it holds no video")
    return container.streams.video[0]


def _read_pyav(path: Path, wish: Wish) -> Clip:
    """Reads in order, twice: headers lie about the number of frames, a first pass does not."""
    times_s = [time_s for time_s, _ in _pyav_frames(path)]
    indices = wish.choose(times_s, _rate(times_s))
    last, wanted = max(indices), set(indices)
    pictures: dict[int, Frame] = {}
    for i, (_, frame) in enumerate(_pyav_frames(path)):
        if i in wanted:
            pictures[i] = _upright(frame)
        if i == last:
            break
    frames_THWC = np.stack([pictures[i] for i in indices])
    return Clip(frames_THWC, "pyav", tuple(times_s[i] for i in indices))


def _rate(times_s: Sequence[float]) -> float:
    """Frames a second, on average, of what was really decoded."""
    took_s = times_s[-1] - times_s[0] if times_s else 0.0
    return (len(times_s) - 1) / took_s if took_s > 0 else 1.0


def _pyav_frames(path: Path) -> Iterator[tuple[float, "av.VideoFrame"]]:
    """Each presentable frame and the second at which it is shown."""
    with _open_pyav(path) as container:
        stream = _video_stream(container)
        stream.codec_context.thread_count = 1
        rate = float(stream.average_rate or 1)
        for i, frame in enumerate(container.decode(stream)):
            yield (i / rate if frame.time is None else float(frame.time)), frame


def _upright(frame: "av.VideoFrame") -> Frame:
    """RGB pixels, turned as the file says (phones film sideways); decord does so itself."""
    picture = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    return np.ascontiguousarray(np.rot90(picture, k=round(frame.rotation / 90)))


def _tidy(error: BaseException) -> str:
    """The decoder's words without what differs from file to file: path, time, source line."""
    words = getattr(error, "strerror", None) or str(error)
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", words.strip().split("\n", 1)[0])
