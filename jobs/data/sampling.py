"""Which of a clip's frames are taken: a pure choice, without a look at any file.

Source: get_frame_indices in dataset/video_utils.py of the reference. Its random mode never draws
the last frame of an interval, and draws otherwise as soon as an interval holds one frame only;
that is `rand_reference` here, and `rand` is what it was meant to be.
"""

import re
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import numpy as np

from jobs.contract.sampling import SAMPLE

Mode = Literal["rand", "rand_reference", "middle", "mvbench", "start", "fps"]


class Draws(Protocol):
    """Where random choices come from."""

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high)."""

    def distinct(self, count: int, of: int) -> list[int]:
        """So many different integers in [0, of), in rising order."""


@dataclass(frozen=True)
class GeneratorDraws:
    """Draws of a numpy generator."""

    rng: np.random.Generator

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high)."""
        return int(self.rng.integers(low, high))

    def distinct(self, count: int, of: int) -> list[int]:
        """So many different integers in [0, of), in rising order."""
        return sorted(self.rng.choice(of, count, replace=False).tolist())


@dataclass(frozen=True)
class Sampling:
    """How frames are spread over a clip.

    Attributes:
        mode: `rand`: a random frame in each of n equal intervals; `middle`: their centres;
            `start`: the same distance into each; `fps`: at a fixed rate, from half a period
            on, the first n; `rand_reference`: the reference's `rand`, with its faults;
            `mvbench`: as the reference's MVBench notebook, whose centres lie a little differently.
        number: frames into each interval for `start`, frames a second for `fps`.
    """

    mode: Mode
    number: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Sampling":
        """What a recipe calls `rand`, `middle`, `fps<N>` and so on (`Mode`).

        Raises:
            ValueError: it is none of these.
        """
        if not re.fullmatch(SAMPLE, text):
            raise ValueError(
                f"sample: {text!r} is not known; write rand, middle, fps<N> (frames a second, as "
                "fps1 or fps0.5), start<N> (frames into each interval), mvbench or rand_reference"
            )
        mode = cast("Mode", text.rstrip("0123456789."))
        return cls(mode, float(text[len(mode) :] or 0))

    def choose(
        self, count: int, frames: int, *, rate: float = 1.0, draws: Draws | None = None
    ) -> list[int]:
        """Chooses among `count` frames; where there are fewer than `frames`, the last is repeated.

        Args:
            count: frames that there are.
            frames: frames to give.
            rate: frames a second of the clip; only `fps` asks for it.
            draws: for a random mode.

        Returns:
            `frames` indices, none smaller than the one before it.

        Raises:
            ValueError: if there is no frame to choose from, or nothing to draw with.
        """
        if count < 1:
            raise ValueError("no frame to choose from")
        if self.mode == "mvbench":
            each = (count - 1) / frames
            return [int(each / 2 + round(each * i)) for i in range(frames)]
        if self.mode == "fps":
            # A clip shorter than half a period gives its last frame, where the reference fails.
            chosen = at_rate(count, rate, self.number)[:frames] or [count - 1]
        else:
            chosen = self._spread(count, min(count, frames), draws)
        return chosen + [chosen[-1]] * (frames - len(chosen))

    def within(self, count: int, rate: float, start_s: float | None, end_s: float | None) -> range:
        """The frames of a clip of constant rate from second `start_s` to second `end_s`.

        The first is the one shown at `start_s`; of the length only whole frames count, but at
        least one. What lies behind the clip's end is left out, where the reference fails.
        MVBench rounds both ends to the nearest frame, and takes the last along.

        Args:
            count: frames of the whole clip.
            rate: frames a second.
            start_s: None for the clip's start.
            end_s: None for its end.
        """
        begin_s = start_s or 0.0
        if self.mode == "mvbench":
            first = round(begin_s * rate)
            end = count if end_s is None else round(end_s * rate) + 1
        else:
            first = int(begin_s * rate)
            end = count if end_s is None else first + max(1, int((end_s - begin_s) * rate))
        return range(min(first, count), min(max(first, end), count))

    def _spread(self, count: int, parts: int, draws: Draws | None) -> list[int]:
        edges = np.linspace(0, count, parts + 1).astype(int).tolist()
        lows, highs = edges[:-1], edges[1:]
        if self.mode == "middle":
            return [(low + high - 1) // 2 for low, high in zip(lows, highs, strict=True)]
        if self.mode == "start":
            return [min(low + int(self.number), count - 1) for low in lows]
        if draws is None:
            raise ValueError(f"{self.mode} needs something to draw with")
        if self.mode == "rand":
            return [draws.between(low, high) for low, high in zip(lows, highs, strict=True)]
        if any(high - low <= 1 for low, high in zip(lows, highs, strict=True)):
            return draws.distinct(parts, count)
        return [draws.between(low, high - 1) for low, high in zip(lows, highs, strict=True)]


def at_rate(count: int, rate: float, wanted: float) -> list[int]:
    """Frames that are shown half a period of `wanted` frames a second in, and each period on.

    Args:
        count: frames that there are.
        rate: how many of them make a second.
        wanted: how many are wanted of a second.
    """
    period_s = 1 / wanted
    seconds = np.arange(period_s / 2, count / rate + period_s / 2, period_s)
    indices = np.around(seconds * rate).astype(int)
    return [int(i) for i in indices if i < count]
