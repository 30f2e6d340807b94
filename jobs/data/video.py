"""Reads the frames that are needed out of a media file.

decord reads first (fast random access). Two of its faults are silent: with an edit list or
broken time stamps it gives wrong frames without an error. Both show in its time stamps, so
those are checked and PyAV, reading in order, takes over. PyAV also reads what decord cannot
open: AV1, GIF, pictures.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import decord
import numpy as np
from numpy.typing import NDArray

from jobs.data.errors import UnreadableClipError

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


def read_clip(
    path: Path,
    frames: int,
    *,
    rng: np.random.Generator | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Clip:
    """Reads `frames` frames spread over a video, or over a part of it.

    Args:
        path: the file.
        frames: how many frames to give; a shorter clip repeats its last frame.
        rng: draws one frame in each interval (training); None takes the centres (test).
        start_s: only frames from this second on.
        end_s: only frames before this second.

    Raises:
        UnreadableClipError: for whatever is wrong with the file.
    """
    wish = _Wish(frames, rng, start_s, end_s)
    try:
        reader = _open_decord(path)
        return _read_decord(reader, wish) if reader else _read_pyav(path, wish)
    except DECODER_ERRORS as error:
        raise UnreadableClipError(path, type(error).__name__, _tidy(error)) from error


def read_image(path: Path) -> Clip:
    """Reads a picture as a clip of one frame.

    Raises:
        UnreadableClipError: for whatever is wrong with the file.
    """
    try:
        return _read_pyav(path, _Wish(1, None, None, None))
    except DECODER_ERRORS as error:
        raise UnreadableClipError(path, type(error).__name__, _tidy(error)) from error


def frame_indices(count: int, frames: int, rng: np.random.Generator | None = None) -> list[int]:
    """Chooses `frames` of `count` frames: one of each of `frames` equal intervals.

    With `rng` a random one in each interval, else the centre. A clip with fewer frames gives
    all of them and repeats the last.

    Raises:
        ValueError: if there is no frame to choose from.
    """
    if count < 1:
        raise ValueError("no frame to choose from")
    parts = min(count, frames)
    edges = np.linspace(0, count, parts + 1).astype(int)
    if rng is None:
        chosen = (edges[:-1] + edges[1:] - 1) // 2
    else:
        chosen = rng.integers(edges[:-1], edges[1:])
    return [int(i) for i in chosen] + [int(chosen[-1])] * (frames - parts)


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


@dataclass(frozen=True)
class _Wish:
    """Which frames are wanted, in words that need no knowledge of the file."""

    frames: int
    rng: np.random.Generator | None
    start_s: float | None
    end_s: float | None

    def choose(self, times_s: Sequence[float]) -> list[int]:
        start_s = -np.inf if self.start_s is None else self.start_s
        end_s = np.inf if self.end_s is None else self.end_s
        inside = [i for i, time_s in enumerate(times_s) if start_s <= time_s < end_s]
        if not inside:
            raise ValueError(f"none of {len(times_s)} frames lies in [{start_s} s, {end_s} s)")
        return [inside[i] for i in frame_indices(len(inside), self.frames, self.rng)]


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


def _read_decord(reader: "decord.VideoReader", wish: _Wish) -> Clip:
    times_s = _decord_times(reader)
    indices = wish.choose(times_s.tolist())
    frames_THWC = reader.get_batch(indices).asnumpy()
    return Clip(frames_THWC, "decord", tuple(float(times_s[i]) for i in indices))


def _open_pyav(path: Path) -> "av.container.InputContainer":
    # A damaged text tag is no reason to give up the pictures.
    return av.open(str(path), metadata_errors="replace")


def _video_stream(container: "av.container.InputContainer") -> "av.VideoStream":
    if not container.streams.video:
        raise ValueError("it holds no video")
    return container.streams.video[0]


def _read_pyav(path: Path, wish: _Wish) -> Clip:
    """Reads in order, twice: headers lie about the number of frames, a first pass does not."""
    times_s = [time_s for time_s, _ in _pyav_frames(path)]
    indices = wish.choose(times_s)
    last, wanted = max(indices), set(indices)
    pictures: dict[int, Frame] = {}
    for i, (_, frame) in enumerate(_pyav_frames(path)):
        if i in wanted:
            pictures[i] = _upright(frame)
        if i == last:
            break
    frames_THWC = np.stack([pictures[i] for i in indices])
    return Clip(frames_THWC, "pyav", tuple(times_s[i] for i in indices))


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
